"""
What the short way needs of the node: which objects are there, and what answers about them have in common.
"""

from __future__ import annotations

from time import time

from twisted.internet.interfaces import IReactorTime
from twisted.web.http import datetimeToString

from distributor.node import Node
from distributor.observe import AccessLog
from distributor.web.fast.prepared import Prepared
from distributor.web.gate import Gate

#: Some kilobytes each.
_MOST_PREPARED = 4096


class Hits:
    """
    Shared by all connections.

    @ivar node: the ordinary way to what is not a hit after all.
    @ivar gate: who may come in.
    """

    def __init__(self, node: Node, gate: Gate, clock: IReactorTime, access: AccessLog) -> None:
        self._prepared: dict[str, Prepared] = {}
        self._second = 0
        self._date = b""
        self.node = node
        self.gate = gate
        self.clock = clock
        self.access = access

    def prepared(self, object_id: str) -> Prepared | None:
        """
        What answers about a complete object have in common; L{None} where there is no such object.
        """
        entry = self.node.stored(object_id)
        # In the order of the last use.
        prepared = self._prepared.pop(object_id, None)
        if entry is None:
            return None
        if prepared is None or prepared.entry is not entry:
            prepared = Prepared.of(self.node.found(object_id, entry), entry)
            if len(self._prepared) >= _MOST_PREPARED:
                del self._prepared[next(iter(self._prepared))]
        self._prepared[object_id] = prepared
        return prepared

    def date(self) -> bytes:
        """
        The value of C{Date}.
        """
        second = int(time())
        if second != self._second:
            self._second = second
            self._date = datetimeToString(second)
        return self._date
