"""
What a worker knows of the store: the complete objects, which it opens by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from distributor.cache import MOST_SPARE, Disk, Entry, OpenFile, OpenFiles, StoredReader
from distributor.model import InThread, IReader


class Mirror:
    """
    The complete objects of the owner's store, as far as it has told. It looks like a store to those who only read.
    """

    #: Only the owner's store has files that are to be verified.
    unverified: Mapping[str, int] = MappingProxyType({})

    def __init__(self, assets: Path, in_thread: InThread) -> None:
        """
        @param assets: the directory of the complete objects.
        """
        self.files = OpenFiles(Disk(assets, in_thread), MOST_SPARE)
        self._entries: dict[str, Entry] = {}
        self._touched: Counter[str] = Counter()
        # Files that are read here though their objects are gone.
        self._leaving: dict[OpenFile, None] = {}
        # What the owner believes to be read here.
        self._told: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self._entries)

    def tell(self, entries: Iterable[tuple[str, Entry | None]]) -> None:
        """
        Objects have come or, without an entry, gone.
        """
        for object_id, entry in entries:
            known = self._entries.pop(object_id, None)
            if entry is not None:
                self._entries[object_id] = entry
            if known is not None:
                # Also where there is one: that it has gone meanwhile, and come again, is told as one.
                # Whoever reads it goes on; another file of this id is another file.
                file = self.files.forget(object_id)
                if file is not None:
                    self._leave(file)

    def _leave(self, file: OpenFile) -> None:
        self._leaving[file] = None
        file.unused.addCallback(lambda _: self._leaving.pop(file))

    def get(self, object_id: str) -> Entry | None:
        """
        A complete and verified object.
        """
        return self._entries.get(object_id)

    def touch(self, object_id: str) -> None:
        """
        An object is being read.
        """
        self._touched[object_id] += 1

    async def open(self, object_id: str) -> IReader:
        """
        Open a complete object for reading. May be cancelled.

        @raise LookupError: it is not, or no longer, there.
        @raise DiskFailed: it is there, and cannot be opened.
        """
        entry = self._entries.get(object_id)
        if entry is None:
            raise LookupError(f"object {object_id} is not in the store")
        return StoredReader(await self.files.open(object_id, entry.size), entry.size)

    def news(self) -> tuple[Mapping[str, int], list[tuple[str, bool]]]:
        """
        What the owner has not been told yet.

        @return: how often objects were read; and which files are in use, or no longer.
        """
        touched, self._touched = self._touched, Counter()
        told, self._told = self._told, frozenset((*self.files.in_use(), *(each.object_id for each in self._leaving)))
        return touched, [(each, True) for each in self._told - told] + [(each, False) for each in told - self._told]
