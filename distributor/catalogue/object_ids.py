"""
Sets of object ids, eight bytes each: a node may distribute a million objects, and a C{set} of texts that long would be
larger than the rest of the program.

Pure. Making one, and the arithmetic, take time with hundreds of thousands of ids, and belong into a thread.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from heapq import merge

from attrs import field, frozen

_LARGEST = 2**64 - 1

#: Two sets are mostly the same; runs of so many ids are compared at once.
_RUN = 4096


def _ascending(numbers: Iterable[int]) -> array[int]:
    """
    An array of these, each once; they come in ascending order.
    """
    found = array("Q")
    last = -1
    for number in numbers:
        if number != last:
            found.append(number)
            last = number
    return found


@frozen(eq=False)
class ObjectIds:
    """
    A set of object ids that does not change.
    """

    _numbers: array[int] = field(factory=lambda: array("Q"))

    @classmethod
    def of_numbers(cls, *numbers: array[int]) -> ObjectIds:
        """
        The set of all the ids in some arrays, each of which is in ascending order. To sort a million numbers at once
        would stop the reactor, even from a thread.
        """
        return cls(_ascending(merge(*numbers)))

    @classmethod
    def of(cls, ids: Iterable[str]) -> ObjectIds:
        """
        The set of these; one beyond 64 bits is none of the chain's, and left out.
        """
        return cls(_ascending(sorted(number for number in map(int, ids) if number <= _LARGEST)))

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[str]:
        return map(str, self._numbers)

    def __contains__(self, object_id: str) -> bool:
        number = int(object_id)
        position = bisect_left(self._numbers, number)
        return position < len(self._numbers) and self._numbers[position] == number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ObjectIds) and self._numbers == other._numbers

    def __sub__(self, other: ObjectIds) -> ObjectIds:
        """
        What is in this set and not in the other.
        """
        mine, theirs = self._numbers, other._numbers
        left = array("Q")
        here = there = 0
        end = len(theirs)
        while here < len(mine):
            if mine[here : here + _RUN] == theirs[there : there + _RUN]:
                here += _RUN
                there += _RUN
                continue
            stop = min(here + _RUN, len(mine))
            while here < stop:
                number = mine[here]
                while there < end and theirs[there] < number:
                    there += 1
                if there == end:
                    left.extend(mine[here:])
                    return ObjectIds(left)
                if theirs[there] == number:
                    # Behind it, so that whole runs can be the same again.
                    there += 1
                else:
                    left.append(number)
                here += 1
        return ObjectIds(left)

    def __or__(self, other: ObjectIds) -> ObjectIds:
        """
        What is in either set.
        """
        new = other - self
        return self if not new else ObjectIds(_ascending(merge(self._numbers, new._numbers)))

    def __and__(self, other: ObjectIds) -> ObjectIds:
        """
        What is in both sets.
        """
        return self - (self - other)
