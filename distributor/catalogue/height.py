"""
How far the query node has come along the chain, and whether it falls behind.

Pure.
"""

from __future__ import annotations

from attrs import evolve, frozen

#: Copies behind one address differ by a few blocks, at a block every 6 s.
_TOLERATED = 10

#: A chain grows all the time; a query node that has not for so long does not keep up with it.
STANDS_STILL_S = 300.0


@frozen
class Height:
    """
    @ivar last: the last block that the query node had taken in when it was asked last.
    @ivar highest: the highest that it ever said.
    @ivar grew_at: when it said so first.
    """

    last: int | None = None
    highest: int = -1
    grew_at: float | None = None

    def seen(self, height: int | None, now: float) -> Height:
        """
        After it has said so.
        """
        if height is None:
            return evolve(self, last=None)
        if height > self.highest:
            return Height(height, height, now)
        return evolve(self, last=height)

    @property
    def behind(self) -> bool:
        """
        Whether it has fallen back behind what it had.
        """
        return self.last is not None and self.last < self.highest - _TOLERATED

    def stands_still(self, now: float) -> bool:
        """
        Whether it has not grown for long.
        """
        return self.last is not None and self.grew_at is not None and now - self.grew_at >= STANDS_STILL_S
