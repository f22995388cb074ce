"""
What of the index and of the files agrees, after a start.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from distributor.cache.disk import Stock
from distributor.cache.index import Row
from distributor.cache.inventory import Entry, Item, Partial, Unverified
from distributor.model import is_object_id


@frozen
class Reconciled:
    """
    @ivar items: what the store consists of, by id, the least recently wanted first.
    @ivar stale_rows: ids of rows to delete.
    @ivar useless_partials: ids of unfinished files to delete.
    @ivar overlong_partials: where to cut unfinished files off, by id.
    """

    items: dict[str, Item]
    stale_rows: list[str]
    useless_partials: list[str]
    overlong_partials: dict[str, int]


def reconcile(rows: Iterable[Row], stock: Stock) -> Reconciled:
    """
    Bring rows and files together. Whatever moment a node is killed at, it leaves one of these:

      - row and file agree: it is in the store;
      - a complete file without a row that says so, as between the rename and the row of a new object, or as Argus
        leaves it: nothing is known of its bytes;
      - a row without its file, as between the deletion of the one and of the other: the row goes;
      - an unfinished file with a row: it holds at least what the row says, since the row came after C{fdatasync}.
        What is to be verified is verified anew, from its first byte; what stands behind that is cut off, because
        nobody has counted it;
      - an unfinished file without a row: nothing is known of where its holes are, so it goes.
    """
    items: dict[str, Item] = {}
    stale_rows = []
    for row in rows:
        item = _item(row, stock)
        if item is None:
            stale_rows.append(row.id)
        else:
            items[row.id] = item
    for object_id, size in stock.complete.items():
        if object_id not in items:
            items[object_id] = Unverified(size)
    useless = [object_id for object_id in stock.partial if not isinstance(items.get(object_id), Partial)]
    overlong = {
        object_id: item.extents[-1][1]
        for object_id, item in items.items()
        if isinstance(item, Partial) and item.extents[-1][1] < stock.partial[object_id]
    }
    return Reconciled(items, stale_rows, useless, overlong)


def _item(row: Row, stock: Stock) -> Entry | Partial | None:
    if not is_object_id(row.id):
        return None
    if row.state == "complete":
        return Entry(row.size, row.content_hash, row.type) if stock.complete.get(row.id) == row.size else None
    if row.id in stock.complete or not row.extents:
        return None
    present = stock.partial.get(row.id)
    if present is None or not row.extents[-1][1] <= present <= row.size:
        return None
    return Partial(row.size, row.content_hash, row.type, row.extents, row.added_at, readers=row.hits)
