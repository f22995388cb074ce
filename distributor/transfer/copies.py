"""
Which copies of an object there have been, and who is to blame for the wrong ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol as TypingProtocol

from distributor.model import StorageNode
from distributor.transfer.extents import Extents


class Brought(TypingProtocol):
    """
    What a storage node has contributed to a copy: the bytes from C{first} up to C{position}.
    """

    node: StorageNode
    first: int
    position: int


class Copies:
    """
    After a copy that turned out wrong, another is taken from one storage node alone: so that it is clear whose it is.
    Nodes that had no part in the first come first; each is asked once.
    """

    def __init__(self, sources: Sequence[StorageNode], *, inherited: bool = False) -> None:
        """
        @param inherited: a part of the first copy is from before, and nobody knows whose it is.
        """
        self._sources = tuple(sources)
        self._inherited = inherited
        self._left: list[StorageNode] | None = None
        self._mixed: list[Brought] = []

    def next(self, brought: Sequence[Brought], blame: Callable[[StorageNode], None]) -> StorageNode | None:
        """
        A copy was wrong.

        @param brought: who had a part in it.
        @param blame: is told of a node that was the only one.
        @return: where to take the next copy from; L{None} if there is nobody left.
        """
        parts = [each for each in brought if each.position > each.first]
        contributors = list(dict.fromkeys(each.node for each in parts))
        mixed = len(contributors) > 1 or self._inherited
        self._inherited = False
        if self._left is None:
            others = [source for source in self._sources if source not in contributors]
            # One who gave all of it has nothing better to give.
            self._left = others + (contributors if mixed else [])
            self._mixed = parts if mixed else []
        if not mixed:
            for node in contributors:
                blame(node)
        return self._left.pop(0) if self._left else None

    def tell_apart(self, differences: Extents, blame: Callable[[StorageNode], None]) -> None:
        """
        A copy was right: blame those who brought what differs from it.
        """
        liars = [each.node for each in self._mixed if Extents(((each.first, each.position),)).overlaps(differences)]
        for node in dict.fromkeys(liars):
            blame(node)
