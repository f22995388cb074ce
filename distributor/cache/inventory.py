"""
What is in the store, and the bytes that it takes: in memory, without a file or a clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from attrs import field, frozen

from distributor.cache.index import Run


@frozen(weakref_slot=False)
class Entry:
    """
    A complete object whose hash was verified. There may be hundreds of thousands: it holds only what an answer needs.

    @ivar size: bytes.
    @ivar content_hash: a base58 multihash.
    @ivar type: the media type, if it is known.
    """

    size: int
    content_hash: str
    type: str | None

    @property
    def occupied(self) -> int:
        """
        Bytes on disk.
        """
        return self.size


@frozen
class Partial:
    """
    An unfinished object which nobody fills at present.

    @ivar size: of the whole object, in bytes.
    @ivar extents: the runs that are there; none, where the file is of no use and could not be deleted.
    @ivar added_at: seconds since 1970.
    @ivar occupied: bytes on disk. A file may have bytes between its extents, when a node was killed; they are not
        counted, as they will be written over.
    @ivar readers: how many waited for the rest when it was left.
    """

    size: int
    content_hash: str
    type: str | None
    extents: tuple[Run, ...]
    added_at: float
    occupied: int = field()
    readers: int = field(default=0, kw_only=True)

    @occupied.default
    def _sum_of_extents(self) -> int:
        return sum(stop - start for start, stop in self.extents)


@frozen
class Unverified:
    """
    A complete file of which the index knows nothing.

    @ivar size: bytes.
    """

    size: int

    @property
    def occupied(self) -> int:
        """
        Bytes on disk.
        """
        return self.size


Item = Entry | Partial | Unverified


class Inventory:
    """
    Each byte is in one of five accounts:

      - I{kept}: files that stand in the store and can be evicted;
      - I{written}: what allocations have written;
      - I{reserved}: what they may still write;
      - I{leaving}: files that are being deleted;
      - I{held}: files that were deleted, and that somebody still reads.

    All but the reserved ones are on disk. An allocation counts for its whole size, written and reserved, from its
    beginning to its end; so writing never changes how much room there is.
    """

    def __init__(self, capacity: int) -> None:
        """
        @param capacity: how many bytes the store may take.
        """
        self.capacity = capacity
        # In the order of the last access, the least recent first.
        self._wanted: dict[str, Entry | Partial] = {}
        self._unverified: dict[str, int] = {}
        self._partial_count = 0
        self._kept = 0
        self._written = 0
        self._reserved = 0
        self._leaving = 0
        self._held = 0
        self._watchers: list[Callable[[str], object]] = []

    def watch(self, changed: Callable[[str], object]) -> None:
        """
        Have C{changed} called with the id of each complete object that comes or goes.
        """
        self._watchers.append(changed)

    def unwatch(self, changed: Callable[[str], object]) -> None:
        """
        The opposite.
        """
        self._watchers.remove(changed)

    def _tell(self, object_id: str, item: Item) -> None:
        if isinstance(item, Entry):
            for changed in self._watchers:
                changed(object_id)

    def complete(self) -> list[str]:
        """
        The ids of all complete objects.
        """
        return [object_id for object_id, item in self._wanted.items() if isinstance(item, Entry)]

    @property
    def entry_count(self) -> int:
        """
        How many complete, verified objects there are.
        """
        return len(self._wanted) - self._partial_count

    @property
    def partial_count(self) -> int:
        """
        How many unfinished objects there are that nobody fills.
        """
        return self._partial_count

    @property
    def unverified(self) -> Mapping[str, int]:
        """
        The sizes of complete files which the index does not know, by id.
        """
        return MappingProxyType(self._unverified)

    @property
    def used(self) -> int:
        """
        Bytes on disk.
        """
        return self._kept + self._written + self._leaving + self._held

    @property
    def reserved(self) -> int:
        """
        Bytes that may still be written by those who have been given their space.
        """
        return self._reserved

    @property
    def kept(self) -> int:
        """
        Bytes that could be freed by evicting everything.
        """
        return self._kept

    @property
    def room(self) -> int:
        """
        Bytes that can be given away, once what is leaving has left; negative where there is too much already.
        """
        return self.capacity - self._kept - self._written - self._reserved - self._held

    def interrupted(self) -> list[str]:
        """
        The ids of unfinished objects for the rest of which somebody waited, and of those that have only to be verified.
        """
        partials = ((object_id, item) for object_id, item in self._wanted.items() if isinstance(item, Partial))
        return [object_id for object_id, item in partials if item.readers or item.extents == ((0, item.size),)]

    def get(self, object_id: str) -> Entry | None:
        """
        The complete object of this id.
        """
        item = self._wanted.get(object_id)
        return item if isinstance(item, Entry) else None

    def candidates(self) -> Iterator[tuple[str, int]]:
        """
        Ids and bytes on disk of all that could be evicted, in the order in which they can be spared: files that nobody
        may be served yet, then the least recently wanted.
        """
        yield from self._unverified.items()
        for object_id, item in self._wanted.items():
            yield object_id, item.occupied

    def keep(self, object_id: str, item: Item) -> None:
        """
        Take in a file of an id that there is none of; as the most recently wanted one.
        """
        assert object_id not in self._wanted and object_id not in self._unverified, object_id
        self._kept += item.occupied
        if isinstance(item, Unverified):
            self._unverified[object_id] = item.size
            return
        self._wanted[object_id] = item
        if isinstance(item, Partial):
            self._partial_count += 1
        self._tell(object_id, item)

    def take(self, object_id: str) -> Item | None:
        """
        The opposite: what there is of an id is no longer here. The caller accounts for its bytes.
        """
        item: Item | None = self._wanted.pop(object_id, None)
        if item is None:
            size = self._unverified.pop(object_id, None)
            if size is None:
                return None
            item = Unverified(size)
        elif isinstance(item, Partial):
            self._partial_count -= 1
        self._kept -= item.occupied
        self._tell(object_id, item)
        return item

    def touch(self, object_id: str) -> bool:
        """
        Make it the most recently wanted one.

        @return: whether there is a complete object of this id.
        """
        entry = self.get(object_id)
        if entry is None:
            return False
        del self._wanted[object_id]
        self._wanted[object_id] = entry
        return True

    def reserve(self, size: int, written: int) -> None:
        """
        An allocation begins, of which C{written} bytes are there.
        """
        self._written += written
        self._reserved += size - written

    def grew(self, growth: int) -> None:
        """
        An allocation has written more; or, where C{growth} is negative, has to write it again.
        """
        self._written += growth
        self._reserved -= growth

    def release(self, size: int, written: int) -> None:
        """
        An allocation ends. The caller accounts for what it has written.
        """
        self.reserve(-size, -written)

    def leave(self, occupied: int) -> None:
        """
        A file is being deleted. A negative number of bytes: it is, or it could not be.
        """
        self._leaving += occupied

    def hold(self, occupied: int) -> None:
        """
        A deleted file is still being read. A negative number of bytes: no longer.
        """
        self._held += occupied
