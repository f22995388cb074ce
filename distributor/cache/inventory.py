"""
What is in the store, and the bytes that it takes: in memory, without a file or a clock.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from sys import intern

from distributor.cache.items import Batch, Entry, Item, Partial, Sizes, Unverified


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

    @ivar changes: how often something that a list of all would show has changed.
    """

    def __init__(self, capacity: int) -> None:
        """
        @param capacity: how many bytes the store may take.
        """
        self.capacity = capacity
        # All there is, in the order of the last access, the least recent first.
        self._items: dict[str, Item] = {}
        # Those of them that are not verified.
        self._unverified: dict[str, Unverified] = {}
        self._disowned: dict[str, None] = {}
        self._partials: dict[str, Partial] = {}
        # The ids of what has been touched while all is being put in order.
        self._touched: dict[str, None] | None = None
        self._kept = 0
        self._written = 0
        self._reserved = 0
        self._leaving = 0
        self._held = 0
        self._watchers: list[Callable[[str], object]] = []
        self.changes = 0

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

    def _changed(self, object_id: str, item: Item) -> None:
        self.changes += 1
        if isinstance(item, Entry):
            for changed in self._watchers:
                changed(object_id)

    def complete(self) -> list[str]:
        """
        The ids of all complete objects.
        """
        return [object_id for object_id, item in self._items.items() if isinstance(item, Entry)]

    def complete_files(self) -> list[str]:
        """
        The ids of complete files, verified or not.
        """
        return [object_id for object_id, item in self._items.items() if not isinstance(item, Partial)]

    def occupied(self, object_ids: Iterable[str]) -> int:
        """
        The bytes on disk of those of C{object_ids} that are there. May be called in a thread.
        """
        return sum(item.occupied for each in object_ids if (item := self._items.get(each)) is not None)

    @property
    def entry_count(self) -> int:
        """
        How many complete, verified objects there are.
        """
        return len(self._items) - len(self._partials) - len(self._unverified)

    @property
    def partial_count(self) -> int:
        """
        How many unfinished objects there are that nobody fills.
        """
        return len(self._partials)

    @property
    def items(self) -> Mapping[str, Item]:
        """
        All there is, by id; only to look at.
        """
        return self._items

    @property
    def unverified(self) -> Mapping[str, int]:
        """
        The sizes of complete files which the index does not know, by id.
        """
        return Sizes(self._unverified)

    def unverified_item(self, object_id: str) -> Unverified | None:
        """
        What is known of one of them.
        """
        return self._unverified.get(object_id)

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
        return [
            object_id for object_id, item in self._partials.items() if item.readers or item.extents == ((0, item.size),)
        ]

    def get(self, object_id: str) -> Entry | None:
        """
        The complete object of this id.
        """
        item = self._items.get(object_id)
        return item if isinstance(item, Entry) else None

    def candidates(self) -> Iterator[tuple[str, int]]:
        """
        Ids and bytes on disk of all that could be evicted, in the order in which they can be spared: what is other
        nodes' to distribute, then the least recently wanted, verified or not.
        """
        for object_id in self._disowned:
            item = self._items.get(object_id)
            if item is not None:
                yield object_id, item.occupied
        for object_id, item in self._items.items():
            if object_id not in self._disowned:
                yield object_id, item.occupied

    def keep(self, object_id: str, item: Item) -> None:
        """
        Take in a file of an id that there is none of; as the most recently wanted one.
        """
        assert object_id not in self._items, object_id
        self._kept += item.occupied
        self._items[object_id] = item
        if isinstance(item, Unverified):
            self._unverified[object_id] = item
        elif isinstance(item, Partial):
            self._partials[object_id] = item
        if self._touched is not None:
            self._touched[object_id] = None
        self._changed(object_id, item)

    def keep_all(self, batch: Batch) -> None:
        """
        Take in many at once, none of whose ids is here. Nobody may be watching yet, unless no object among them is
        complete; nor may all be being put in order.
        """
        assert self._touched is None and not (self._watchers and len(batch.items) > len(batch.unverified))
        self._items.update(batch.items)
        self._partials.update(batch.partials)
        self._unverified.update(batch.unverified)
        self._kept += batch.occupied
        self.changes += 1

    def take(self, object_id: str) -> Item | None:
        """
        The opposite: what there is of an id is no longer here. The caller accounts for its bytes.
        """
        item = self._items.pop(object_id, None)
        if item is None:
            return None
        if isinstance(item, Unverified):
            del self._unverified[object_id]
        elif isinstance(item, Partial):
            del self._partials[object_id]
        self._kept -= item.occupied
        self._changed(object_id, item)
        return item

    def confirm(self, object_id: str, entry: Entry) -> None:
        """
        An unverified file is C{entry}, of the same size. It keeps its place: that is no use of it.
        """
        del self._unverified[object_id]
        self._items[object_id] = entry
        self._changed(object_id, entry)

    def touch(self, object_id: str, now: float) -> bool:
        """
        Make it the most recently wanted one.

        @return: whether there is a complete object of this id.
        """
        entry = self.get(object_id)
        if entry is None:
            return False
        entry.last_access = now
        self._move_to_end(object_id)
        if self._touched is not None:
            self._touched.pop(object_id, None)
            self._touched[object_id] = None
        self.changes += 1
        return True

    def _move_to_end(self, object_id: str) -> None:
        item = self._items.pop(object_id, None)
        if item is not None:
            self._items[object_id] = item

    def begin_order(self) -> list[str]:
        """
        Begin to put all in order, which takes more than one turn.

        @return: the ids of what there is.
        """
        self._touched = {}
        return list(self._items)

    def order(self, object_ids: Iterable[str]) -> None:
        """
        The next of them, the least recently wanted first.
        """
        for object_id in object_ids:
            self._move_to_end(object_id)

    def end_order(self) -> None:
        """
        All have been put in order; what has been touched meanwhile comes last.
        """
        touched, self._touched = self._touched, None
        self.order(touched or ())

    # What others say of objects.

    def tell(self, object_id: str, last_access: float, hits: int) -> bool:
        """
        Another program has used an object: to be followed by putting all in order.

        @return: whether that is news.
        """
        item = self._items.get(object_id)
        if isinstance(item, Unverified):
            # What the file system says may be the time of a copy.
            self._replace(object_id, Unverified(item.size, last_access, item.type, hits))
            return True
        if isinstance(item, Entry) and item.last_access < last_access:
            item.last_access = last_access
            return True
        return False

    def tell_type(self, object_id: str, type: str) -> None:
        """
        Another program has found out the media type of a file.
        """
        item = self._unverified.get(object_id)
        if item is not None:
            self._replace(object_id, Unverified(item.size, item.last_access, intern(type), item.hits))

    def _replace(self, object_id: str, item: Unverified) -> None:
        self._unverified[object_id] = self._items[object_id] = item

    def disown(self, object_ids: Iterable[str]) -> None:
        """
        Other nodes distribute C{object_ids}: what there is of them, or will be, can be spared first.
        """
        self._disowned.update(dict.fromkeys(object_ids))

    def own(self, object_ids: Iterable[str]) -> None:
        """
        The opposite.
        """
        for object_id in object_ids:
            self._disowned.pop(object_id, None)

    @property
    def disowned(self) -> Collection[str]:
        """
        The ids of what other nodes distribute; those of what is not here any more may be among them.
        """
        return self._disowned.keys()

    # Bytes.

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
