"""
How fast something has been lately.
"""

from __future__ import annotations

from collections import deque

#: What "lately" is, in seconds: long enough to even out bursts, short enough to notice a storage node that slows down.
WINDOW_S = 2.0

#: Less than this tells nothing, in seconds.
SHORTEST_S = 0.1


class Rate:
    """
    Bytes per second over the last L{WINDOW_S}. It is told the time, and has no clock of its own.
    """

    def __init__(self, now: float) -> None:
        # When so many bytes had come in all, at most one mark for each SHORTEST_S.
        self._marks: deque[tuple[float, int]] = deque([(now, 0)])
        self._last_at = now
        self.total = 0

    def add(self, now: float, length: int) -> None:
        """
        So many bytes have come.
        """
        self.total += length
        self._last_at = now
        if now - self._marks[-1][0] >= SHORTEST_S:
            self._marks.append((now, self.total))
            while now - self._marks[0][0] > WINDOW_S and len(self._marks) > 2:
                self._marks.popleft()

    def lately(self, now: float) -> float | None:
        """
        The rate; L{None} where there is not enough to tell it from.
        """
        # Not down to a mark that is too young: a trickle is no news with each of its drops.
        while now - self._marks[0][0] > WINDOW_S and len(self._marks) > 1 and now - self._marks[1][0] >= SHORTEST_S:
            self._marks.popleft()
        if now - self._last_at > WINDOW_S:
            return 0.0
        since, before = self._marks[0]
        if now - since < SHORTEST_S:
            return None
        return (self.total - before) / (now - since)
