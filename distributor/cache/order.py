"""
Objects in the order of their last access, found a little at a time: one call of C{sort} for a million of them would
stop all threads for a second.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import merge
from itertools import islice
from operator import itemgetter

from distributor.cache.items import Item
from distributor.model import T

#: How many are sorted in one go: that takes a few milliseconds.
RUN = 5000

#: When objects were used last, and their ids. Tuples of such values are nothing to the garbage collector.
Sorted = list[tuple[float, str]]


def used(object_ids: Iterable[str], items: Mapping[str, Item]) -> Sorted:
    """
    When those of C{object_ids} that are among C{items} were used last; not in order yet.
    """
    return [(item.last_access, object_id) for object_id in object_ids if (item := items.get(object_id)) is not None]


def by_last_access(run: Sorted) -> Sorted:
    """
    One run, in order; those of the same time as they come.
    """
    return sorted(run, key=itemgetter(0))


def merged(runs: Sequence[Sorted]) -> Iterator[str]:
    """
    All ids in order; those of the same time as they came.
    """
    return (object_id for _, object_id in merge(*runs, key=itemgetter(0)))


def batches(things: Iterable[T], length: int) -> Iterator[list[T]]:
    """
    C{things}, so many at a time.
    """
    rest = iter(things)
    while batch := list(islice(rest, length)):
        yield batch
