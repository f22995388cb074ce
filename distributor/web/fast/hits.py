"""
What the short way needs of the node, and what it remembers of the answers that it has given.
"""

from __future__ import annotations

import re
from functools import lru_cache
from time import time

from twisted.web.http import datetimeToString

from distributor.web.asset import Assets
from distributor.web.asset_request import asset_request
from distributor.web.fast.coming import Coming
from distributor.web.fast.head import PlainHead, plain_head
from distributor.web.fast.prepared import Decided, Prepared

#: Objects of which something is remembered, about two kilobytes each.
_MOST_PREPARED = 4096

#: Heads of which the answer is remembered, and the longest of them: three kilobytes each, with their answers.
_MOST_DECIDED = 2048
_LONGEST_DECIDED = 1024

#: Up to here, to read a body and to write it with its head costs less than to have the kernel copy; through TLS, this
#: is what is read at once.
SMALL = 32 * 1024
SMALL_ELSEWHERE = 64 * 1024
PAGE = 4096
_LONGEST_HEAD = 4096

_plain_head_again = lru_cache(maxsize=64)(plain_head)

_RANGE = re.compile(rb"\r\nRange: (bytes=[0-9]*-[0-9]*)(?=\r\n)")


def _plain_head(data: bytes) -> PlainHead | None:
    # A crowd of one kind of player sends the same head at one instant.
    return _plain_head_again(data) if len(data) <= _LONGEST_DECIDED else plain_head(data)


class Hits:
    """
    Shared by all connections.

    @ivar assets: answers what is no hit.
    @ivar coming: answers what is on its way.
    @ivar node: where objects are.
    @ivar gate: who may come in.
    @ivar scratch: where an answer is put together that has gone out before anything else happens.
    """

    def __init__(self, assets: Assets) -> None:
        self._prepared: dict[str, Prepared] = {}
        self._decided: dict[bytes, Decided] = {}
        self._second = 0
        self._date = b""
        self.assets = assets
        self.coming = Coming(assets.node, assets.clock)
        self.node = assets.node
        self.gate = assets.gate
        self.scratch = memoryview(bytearray(_LONGEST_HEAD + SMALL_ELSEWHERE))

    def decide(self, data: bytes) -> Decided | PlainHead | None:
        """
        What to answer to the head that C{data} begins with. Where it is plain, but no hit, or the answer is an unusual
        one: the head. L{None}: it is not plain, or not all there.
        """
        decided = self._known(data)
        if decided is not None:
            return decided
        field = _RANGE.search(data)
        if field is None or data.find(b"\r\n\r\n") != len(data) - 4:
            return self._decide_anew(data)
        # Who seeks sends the same head over and over, but for this field, which takes nothing from its being plain.
        rest = data[: field.start()] + data[field.end() :]
        decided = self._known(rest)
        if decided is None:
            plain = _plain_head(data)
            if plain is None or self.node.stored(plain.object_id) is None:
                return plain
            known = self._decide_anew(rest)
            decided = known if isinstance(known, Decided) else None
        if decided is not None and "Range" not in decided.plain.fields:
            decided = decided.with_range(field[1].decode("ascii"), len(data))
            if decided is not None:
                return decided
        return plain_head(data)

    def _known(self, data: bytes) -> Decided | None:
        """
        What has been answered to the same head before, if that is still so.
        """
        decided = self._decided.get(data)
        if decided is not None and self.node.stored(decided.plain.object_id) is not decided.prepared.entry:
            del self._decided[data]
            return None
        return decided

    def _decide_anew(self, data: bytes) -> Decided | PlainHead | None:
        plain = _plain_head(data)
        if plain is None:
            return None
        prepared = self._prepare(plain.object_id)
        if prepared is None:
            return plain
        asked = asset_request(plain.method, plain.object_id, plain.fields.get, b"", str)
        decided = prepared.decide(plain, asked, plain.length)
        if decided is None:
            return plain
        if plain.length == len(data) <= _LONGEST_DECIDED:
            if len(self._decided) >= _MOST_DECIDED:
                del self._decided[next(iter(self._decided))]
            self._decided[data] = decided
        return decided

    def _prepare(self, object_id: str) -> Prepared | None:
        entry = self.node.stored(object_id)
        # In the order of the last use.
        prepared = self._prepared.pop(object_id, None)
        if entry is None:
            return None
        if prepared is None or prepared.entry is not entry:
            prepared = Prepared(self.node.found(object_id, entry), entry)
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
