"""
Which storage node to ask next, and when to give up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from distributor.model import SourcesFailed, SourcesTimedOut, StorageNode


class Round:
    """
    Storage nodes in their order; each may fail once in a round.

    A round in which bytes came is followed by another one, so that a node which breaks off again and again still gets
    an object through. A round without any is the last.
    """

    def __init__(self, nodes: Sequence[StorageNode]) -> None:
        self._nodes = tuple(nodes)
        self._failures: dict[StorageNode, tuple[str, bool]] = {}
        self._progressed = False

    def choose(self, best: Callable[[Sequence[StorageNode]], StorageNode] = lambda left: left[0]) -> StorageNode:
        """
        The node to ask: the C{best} of those that have not failed in this round.

        @raise SourcesTimedOut: a whole round has failed without a byte, each node by time-out.
        @raise SourcesFailed: the same, with another reason among them; or there are no nodes.
        """
        if self._progressed and len(self._failures) == len(self._nodes):
            self.restart()
        left = self.left()
        if left:
            return best(left)
        if not self._nodes:
            raise SourcesFailed("no storage node has this object")
        reasons = "; ".join(f"{node.endpoint}: {reason}" for node, (reason, _) in self._failures.items())
        if all(timed_out for _, timed_out in self._failures.values()):
            raise SourcesTimedOut(reasons)
        raise SourcesFailed(reasons)

    def left(self) -> list[StorageNode]:
        """
        The nodes that have not failed in this round.
        """
        return [node for node in self._nodes if node not in self._failures]

    def restart(self) -> None:
        """
        Begin another round.
        """
        self._failures.clear()
        self._progressed = False

    def progressed(self) -> None:
        """
        A byte that was missing has come.
        """
        self._progressed = True

    def failed(self, node: StorageNode, reason: str, *, timed_out: bool = False) -> None:
        """
        C{node} could not go on.
        """
        self._failures[node] = (reason, timed_out)
