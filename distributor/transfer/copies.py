"""
Which copies of an object there have been, and who is to blame for the wrong ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from distributor.model import StorageNode
from distributor.transfer.extents import Extents

#: Is told who gave wrong bytes, and all that it gave of that copy.
Blame = Callable[[StorageNode, Extents], None]


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
        self._replacements = 0
        self._mixed: Mapping[StorageNode, Extents] = {}

    def next(self, brought: Mapping[StorageNode, Extents], blame: Blame) -> StorageNode | None:
        """
        A copy was wrong, or did not come.

        @param brought: who had which part in it; nobody, where it cannot be called wrong.
        @param blame: is told of a node that was the only one.
        @return: where to take the next copy from; L{None} if there is nobody left.
        """
        mixed = len(brought) > 1 or self._inherited
        self._inherited = False
        if self._left is None:
            others = [source for source in self._sources if source not in brought]
            # One who gave all of it has nothing better to give.
            self._left = others + (list(brought) if mixed else [])
            self._mixed = dict(brought) if mixed else {}
        if not mixed:
            for node, part in brought.items():
                blame(node, part)
        self._replacements += 1
        return self._left.pop(0) if self._left else None

    def tell_apart(self, differences: Extents, blame: Blame) -> None:
        """
        A copy was right: blame those who brought what differs from it.

        @param differences: where each copy differed from the one before; so they tell of the first one only if the
            second was right.
        """
        if self._replacements > 1:
            return
        for node, part in self._mixed.items():
            if part.overlaps(differences):
                blame(node, part)
