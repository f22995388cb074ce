"""
Connections on which an answer is expected any moment: of storage nodes, and of query nodes.
"""

from __future__ import annotations

from itertools import islice

from twisted.internet.tcp import Connection
from twisted.logger import Logger

#: How many are looked at: a look costs as much as the kernel takes to say that there is nothing, on each of them.
_MOST = 4


class Expected:
    """
    Lets who has much to do in one turn of the reactor look meanwhile whether somebody has answered: others wait for
    that, and what has come may save some of the work.
    """

    _log = Logger()

    def __init__(self) -> None:
        # The last that was asked comes last.
        self._descriptors: dict[Connection, None] = {}

    def add(self, descriptor: Connection) -> None:
        """
        A request has gone out on this one.
        """
        self.discard(descriptor)
        self._descriptors[descriptor] = None

    def discard(self, descriptor: Connection) -> None:
        """
        Something has come, or never will, or is not wanted for now.
        """
        self._descriptors.pop(descriptor, None)

    def look(self) -> None:
        """
        Take what has come on those that were asked last.
        """
        for descriptor in list(islice(reversed(self._descriptors), _MOST)):
            # One may take another with it.
            if descriptor in self._descriptors:
                self._read(descriptor)

    def _read(self, descriptor: Connection) -> None:
        try:
            # Where a connection has ended, the reactor finds that anew; of one that was reset, no more than that.
            descriptor.doRead()
        except Exception:
            # Not the trouble of who looks.
            self._log.failure("reading from a connection")
            descriptor.abortConnection()
