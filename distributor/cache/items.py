"""
What a store may have of an object: a complete one, an unfinished one, or a file that nobody has verified.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import define, field, frozen

from distributor.cache.database import Run


@define(weakref_slot=False)
class Entry:
    """
    A complete object whose hash was verified. There may be hundreds of thousands: it holds only what an answer needs,
    and its place in the order of eviction.

    @ivar size: bytes.
    @ivar content_hash: a base58 multihash.
    @ivar type: the media type, if it is known.
    @ivar last_access: seconds since 1970; changed by L{Inventory} alone, and nothing else is ever changed.
    """

    size: int
    content_hash: str
    type: str | None
    last_access: float = field(default=0.0, eq=False)

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
    @ivar added_at: seconds since 1970, as C{last_access}.
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
    last_access: float = field(default=0.0, eq=False, kw_only=True)

    @occupied.default
    def _sum_of_extents(self) -> int:
        return sum(stop - start for start, stop in self.extents)


@frozen(weakref_slot=False)
class Unverified:
    """
    A complete file of which the index knows nothing.

    @ivar size: bytes.
    @ivar last_access: seconds since 1970, as the file system or another program says.
    @ivar type: the media type that another program says.
    @ivar hits: how often it was read, as another program says.
    """

    size: int
    last_access: float = field(default=0.0, eq=False)
    type: str | None = None
    hits: int = 0

    @property
    def occupied(self) -> int:
        """
        Bytes on disk.
        """
        return self.size


Item = Entry | Partial | Unverified


@frozen
class Batch:
    """
    Many items that come at once.

    @ivar items: all of them, by id, in their order.
    @ivar partials: those of them that are unfinished.
    @ivar unverified: those of them that are not verified.
    @ivar occupied: what all of them take, in bytes on disk.
    """

    items: Mapping[str, Item]
    partials: Mapping[str, Partial]
    unverified: Mapping[str, Unverified]
    occupied: int


class Sizes(Mapping[str, int]):
    """
    The sizes of unverified files, by id.
    """

    def __init__(self, items: Mapping[str, Unverified]) -> None:
        self._items = items

    def __getitem__(self, object_id: str) -> int:
        return self._items[object_id].size

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return repr(dict(self))
