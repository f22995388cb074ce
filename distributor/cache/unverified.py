"""
Complete files of which the index knows nothing, on their way into it.
"""

from __future__ import annotations

from sys import intern

from distributor.cache.allocation import Parts
from distributor.cache.database import Row
from distributor.cache.items import Entry
from distributor.cache.open_file import OpenFile, StoredReader
from distributor.model import DataObject, DiskFailed, IReader


class UnverifiedFiles:
    """
    Opens them, to be verified where they are, and takes those that were. Which there are is the inventory's to know.
    """

    def __init__(self, parts: Parts) -> None:
        self._disk = parts.disk
        self._files = parts.files
        self._inventory = parts.inventory
        self._ledger = parts.ledger
        self._seconds = parts.seconds

    async def open(self, object_id: str) -> IReader:
        """
        Open one.

        @raise DiskFailed: it cannot be opened, or has vanished.
        """
        size = self._inventory.unverified.get(object_id, -1)
        try:
            fd = await self._disk.open(object_id, size)
        except LookupError as error:
            raise DiskFailed(str(error)) from error
        # Not among those that are shared: somebody may have it adopted meanwhile.
        return StoredReader(OpenFile(object_id, fd, self._files), size)

    async def confirm(self, object: DataObject, type: str | None) -> bool:
        """
        One has been found to be C{object}: it is complete from now on.

        @param type: the media type, if it is known.
        @return: whether it is; not so if it has been adopted, or evicted, meanwhile.
        """
        item = self._inventory.unverified_item(object.id)
        if item is None or item.size != object.size:
            return False
        content_hash = str(object.content_hash)
        type = intern(type) if type is not None else None
        self._inventory.confirm(object.id, Entry(item.size, content_hash, type, item.last_access))
        now = self._seconds()
        row = Row(object.id, item.size, content_hash, type, "complete", (), now, item.last_access, item.hits)
        # When the index refuses, the object is there all the same, until the node ends.
        await self._ledger.put(row)
        return True
