"""
Connections on which a storage node's answer is expected any moment.
"""

from __future__ import annotations

from itertools import islice

from twisted.internet.interfaces import IReadDescriptor

#: How many are looked at: a look costs as much as the kernel takes to say that there is nothing, on each of them.
_MOST = 4


class Expected:
    """
    Lets who has much to do in one turn of the reactor look meanwhile whether a storage node has answered: somebody
    waits for that, and what has come may save some of the work.
    """

    def __init__(self) -> None:
        # The last that was asked comes last.
        self._descriptors: dict[IReadDescriptor, None] = {}

    def add(self, descriptor: IReadDescriptor) -> None:
        """
        A request has gone out on this one.
        """
        self.discard(descriptor)
        self._descriptors[descriptor] = None

    def discard(self, descriptor: IReadDescriptor) -> None:
        """
        Something has come, or never will.
        """
        self._descriptors.pop(descriptor, None)

    def look(self) -> None:
        """
        Take what has come on those that were asked last.
        """
        for descriptor in list(islice(reversed(self._descriptors), _MOST)):
            # One may take another with it.
            if descriptor in self._descriptors:
                # That a connection is over, the reactor finds anew.
                descriptor.doRead()
