"""
Which bytes of a file are there: runs of them, as a value.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from operator import itemgetter

from attrs import field, frozen

Run = tuple[int, int]

_START, _STOP = itemgetter(0), itemgetter(1)


def _sorted_and_apart(instance: object, attribute: object, runs: tuple[Run, ...]) -> None:
    last = -1
    for start, stop in runs:
        if not last < start < stop:
            raise ValueError(f"runs {runs!r} are not sorted, not apart or empty")
        last = stop


@frozen
class Extents:
    """
    The bytes that are present: sorted runs C{(start, stop)} which neither overlap nor touch.
    """

    runs: tuple[Run, ...] = field(default=(), validator=_sorted_and_apart)

    @classmethod
    def of(cls, runs: Iterable[Run]) -> Extents:
        """
        The union of C{runs}, which may come in any order and overlap.
        """
        extents = cls()
        for start, stop in runs:
            extents = extents.add(start, stop)
        return extents

    def add(self, start: int, stop: int) -> Extents:
        """
        These, and the bytes from C{start} up to C{stop}.
        """
        if start >= stop:
            return self
        runs = self.runs
        # The runs from first to last touch or overlap the new one, and become one with it.
        first = bisect_left(runs, start, key=_STOP)
        last = bisect_right(runs, stop, key=_START)
        if first < last:
            start = min(start, runs[first][0])
            stop = max(stop, runs[last - 1][1])
        return Extents((*runs[:first], (start, stop), *runs[last:]))

    def stop_at(self, offset: int) -> int:
        """
        Where the run that holds C{offset} ends; C{offset} itself where none does.
        """
        index = bisect_right(self.runs, offset, key=_START) - 1
        return max(offset, self.runs[index][1]) if index >= 0 else offset

    def holes(self, start: int, stop: int) -> Iterator[Run]:
        """
        The runs that are missing between C{start} and C{stop}, in order.
        """
        for present_start, present_stop in self.runs:
            if present_stop <= start:
                continue
            if present_start >= stop:
                break
            if start < present_start:
                yield start, present_start
            start = present_stop
        if start < stop:
            yield start, stop

    def overlaps(self, other: Extents) -> bool:
        """
        Whether there is a byte that both have.
        """
        return any(len(list(self.holes(*run))) != 1 or next(self.holes(*run)) != run for run in other.runs)

    def __len__(self) -> int:
        return sum(stop - start for start, stop in self.runs)
