"""
What of the index and of the files agrees, after a start.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from sys import intern

from attrs import frozen

from distributor.cache.database import RawRow, Row
from distributor.cache.disk import File
from distributor.cache.items import Batch, Entry, Item, Partial, Unverified
from distributor.model import is_object_id


@frozen
class Believed:
    """
    What rows of the index are worth.

    @ivar batch: complete and unfinished objects, in the order of the rows.
    @ivar stale: ids of rows to delete.
    """

    batch: Batch
    stale: list[str]


def believe(rows: Iterable[RawRow], unfinished: Mapping[str, int]) -> Believed:
    """
    Take rows for what they are worth, before anybody has looked for the complete files.

    A complete file that is opened must have the size that its row says, so nothing wrong is served from a row whose
    file has gone; L{compare} finds those later. Unfinished files have been listed, as there are few of them:

      - an unfinished file with a row: it holds at least what the row says, since the row came after C{fdatasync}.
        What is to be verified is verified anew, from its first byte;
      - such a row without its file, as between the deletion of the one and of the other: the row goes.

    @param unfinished: the sizes of unfinished files, by id.
    """
    items: dict[str, Item] = {}
    partials: dict[str, Partial] = {}
    stale = []
    occupied = 0
    for row in rows:
        object_id, size, content_hash, type, state, _, _, last_access, _ = row
        if not is_object_id(object_id):
            stale.append(object_id)
        elif state == "complete":
            # There may be hundreds of thousands of rows, and there are few types: each is held once.
            items[object_id] = Entry(size, content_hash, intern(type) if type is not None else None, last_access)
            occupied += size
        elif (partial := _partial(Row.of(row), unfinished)) is not None:
            items[object_id] = partials[object_id] = partial
            occupied += partial.occupied
        else:
            stale.append(object_id)
    return Believed(Batch(items, partials, {}, occupied), stale)


def _partial(row: Row, unfinished: Mapping[str, int]) -> Partial | None:
    present = unfinished.get(row.id)
    if present is None or not row.extents or not row.extents[-1][1] <= present <= row.size:
        return None
    return Partial(
        row.size,
        row.content_hash,
        row.type,
        row.extents,
        row.added_at,
        readers=row.hits,
        last_access=row.last_access,
    )


@frozen
class Leftovers:
    """
    What to do with unfinished files.

    @ivar useless: ids of those to delete.
    @ivar overlong: where to cut others off, by id.
    """

    useless: list[str]
    overlong: dict[str, int]


def leftovers(items: Mapping[str, Item], unfinished: Mapping[str, int]) -> Leftovers:
    """
    An unfinished file without a row goes, as nothing is known of where its holes are. What stands behind the last byte
    that a row speaks of is cut off, because nobody has counted it.
    """
    useless = []
    overlong = {}
    for object_id, size in unfinished.items():
        item = items.get(object_id)
        if not isinstance(item, Partial):
            useless.append(object_id)
        elif item.extents[-1][1] < size:
            overlong[object_id] = item.extents[-1][1]
    return Leftovers(useless, overlong)


@frozen
class Compared:
    """
    What some of the complete files are worth.

    @ivar batch: those of whose bytes nothing is known.
    @ivar replaced: ids of items that are not what there is; where it is an unfinished one, its file is of no use.
    """

    batch: Batch
    replaced: list[str]


def compare(files: Iterable[File], items: Mapping[str, Item], awaited: set[str]) -> Compared:
    """
    Bring complete files and rows together. Whatever moment a node is killed at, it leaves one of these:

      - row and file agree: it is in the store;
      - a complete file without a row that says so, as between the rename and the row of a new object, or as Argus
        leaves it: nothing is known of its bytes. A row that says something else of the id goes;
      - a row without its file, as between the deletion of the one and of the other, stays among C{awaited}.

    @param awaited: the ids of complete objects; those that are found are taken out.
    """
    unverified = {}
    replaced = []
    occupied = 0
    for object_id, size, last_access in files:
        item = items.get(object_id)
        awaited.discard(object_id)
        if isinstance(item, Entry) and item.size == size:
            continue
        if item is not None:
            replaced.append(object_id)
        unverified[object_id] = Unverified(size, last_access)
        occupied += size
    return Compared(Batch(unverified, {}, unverified, occupied), replaced)
