"""
What a node catches up with after it has started.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from twisted.logger import Logger

from distributor.cache import Store
from distributor.model import CatalogueUnavailable, DistributorError, Listing, Overloaded
from distributor.transfer.download import Download
from distributor.transfer.downloads import Downloads

#: How many interrupted downloads go on at once: those whom viewers wait for have the other places.
_AT_ONCE = 4


class Backlog:
    """
    Goes on with the objects for whose rest somebody waited when the node was stopped; then verifies, one by one, the
    files that nobody has verified. Both are downloads without a reader, which a reader may join.
    """

    _log = Logger()

    def __init__(self, store: Store, downloads: Downloads, lookup: Callable[[str], Awaitable[Listing]]) -> None:
        """
        @param lookup: gives the listing of an object that this node distributes.
        """
        self._store = store
        self._downloads = downloads
        self._lookup = lookup

    async def run(self) -> None:
        """
        Do all of it. What cannot be done waits for the next request, or the next start.
        """
        interrupted = self._store.interrupted()
        if interrupted:
            self._log.info("going on with {count} interrupted downloads", count=len(interrupted))
        going: list[Download] = []
        for object_id in interrupted:
            if len(going) == _AT_ONCE:
                await self._downloads.over(going.pop(0))
            if await self._begin(object_id) and (download := self._downloads.get(object_id)) is not None:
                going.append(download)
        unverified = list(self._store.unverified)
        if unverified:
            self._log.info("verifying {count} files", count=len(unverified))
        for object_id in unverified:
            if object_id in self._store.unverified and await self._begin(object_id):
                download = self._downloads.get(object_id)
                if download is not None:
                    await self._downloads.over(download)

    async def _begin(self, object_id: str) -> bool:
        """
        Start a download that nobody reads.
        """
        try:
            listing = await self._lookup(object_id)
            if self._downloads.get(object_id) is None and self._store.get(object_id) is None:
                self._downloads.start(listing, ()).close()
        except (CatalogueUnavailable, Overloaded) as error:
            self._log.warn("object {id} has to wait: {error}", id=object_id, error=error)
            return False
        except DistributorError as error:
            # It may be listed again one day: the file stays until its space is wanted.
            self._log.info("object {id} is left alone: {error!r}", id=object_id, error=error)
            return False
        return True
