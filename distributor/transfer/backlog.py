"""
What a node catches up with after it has started.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from distributor.cache import Store
from distributor.model import DistributorError, InThread, Listing, Overloaded
from distributor.transfer.download import Download
from distributor.transfer.downloads import Downloads
from distributor.transfer.filling import UNATTENDED_RATE
from distributor.transfer.patience import LONGEST_DELAY_S, PatientLookup
from distributor.transfer.verification import Verification

#: How many interrupted downloads go on at once: those whom viewers wait for have the other places.
_AT_ONCE = 4


class Backlog:
    """
    Goes on with the objects for whose rest somebody waited when the node was stopped, by downloads without a reader,
    which a reader may join; then verifies, one by one, the files that nobody has verified, and fetches those that are
    wrong.
    """

    _log = Logger()

    def __init__(
        self,
        store: Store,
        downloads: Downloads,
        lookup: Callable[[str], Awaitable[Listing]],
        clock: IReactorTime,
        in_thread: InThread,
    ) -> None:
        """
        @param lookup: gives the listing of an object that this node distributes.
        """
        self._store = store
        self._downloads = downloads
        self._lookup = PatientLookup(lookup, clock)
        self._clock = clock
        self._verification = Verification(store, lookup, clock, in_thread, found_wrong=self._fetch)

    async def run(self) -> None:
        """
        Do all of it. What cannot be done waits for the next request, or the next start. May be cancelled.
        """
        interrupted = self._store.interrupted()
        if interrupted:
            self._log.info("going on with {count} interrupted downloads", count=len(interrupted))
        going: list[Download] = []
        for object_id in interrupted:
            if len(going) == _AT_ONCE:
                await self._downloads.over(going.pop(0))
            await self._go_on(object_id)
            if (download := self._downloads.get(object_id)) is not None:
                going.append(download)
        await self._store.surveyed()
        unverified = list(self._store.unverified)
        if unverified:
            self._log.info("verifying {count} files", count=len(unverified))
            await self._verification.run(unverified, UNATTENDED_RATE)
            self._log.info(
                "{checked} files verified: {bad} were wrong, {left} are left alone",
                checked=self._verification.progress.checked,
                bad=len(self._verification.progress.bad),
                left=self._verification.progress.left_alone,
            )

    async def _go_on(self, object_id: str) -> None:
        while True:
            try:
                self._fetch(await self._lookup(object_id))
            except Overloaded as error:
                self._log.warn("object {id} has to wait: {error}", id=object_id, error=error)
                await deferLater(self._clock, LONGEST_DELAY_S)
                continue
            except DistributorError as error:
                # It may be listed again one day: the file stays until its space is wanted.
                self._log.info("object {id} is left alone: {error!r}", id=object_id, error=error)
            return

    def _fetch(self, listing: Listing) -> None:
        """
        Start a download that nobody reads, unless there is one, or no need.

        @raise Overloaded: too many are waiting.
        """
        object_id = listing.object.id
        if self._downloads.get(object_id) is None and self._store.get(object_id) is None:
            self._downloads.start(listing, ()).close()
