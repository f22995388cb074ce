"""
How a store comes to know what it has, after a start: the index first, so that hits can be served; then the files.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from functools import partial

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from distributor.cache.allocation import Parts
from distributor.cache.argus import ArgusState
from distributor.cache.cache_json import Told
from distributor.cache.departures import Departures
from distributor.cache.disk import BATCH, Listing
from distributor.cache.index import Index
from distributor.cache.items import Partial
from distributor.cache.order import RUN, batches, by_last_access, merged, used
from distributor.cache.reconcile import believe, compare, leftovers
from distributor.model import DiskFailed, InThread


class _Point:
    """
    Something that comes once, and is waited for.
    """

    def __init__(self) -> None:
        self._waiting: list[Deferred[None]] | None = []

    def wait(self) -> Deferred[None]:
        """
        Fires when it comes.
        """
        if self._waiting is None:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._waiting.append(waiter)
        return waiter

    def fire(self) -> None:
        """
        It has come.
        """
        waiting, self._waiting = self._waiting, None
        for waiter in waiting or ():
            # Those who were cancelled have been called already.
            if not waiter.called:
                waiter.callback(None)


class Survey:
    """
    L{load} takes the rows of the index for what they say, which costs a second for hundreds of thousands. L{begin}
    looks at the files meanwhile, which on a cold disk may take minutes: whoever wants to write waits for L{looked}.
    Then it hears what Argus knew, and puts all in order: whoever wants to evict waits for L{over}.

    @ivar complete: whether all files have been looked at.
    @ivar finished: whether all that Argus knew has been heard, too.
    @ivar left_off: whether the rest is not wanted any more. What should be evicted first is not known then, unless it
        has been L{finished}.
    """

    _log = Logger("distributor.cache.store")

    def __init__(
        self,
        parts: Parts,
        departures: Departures,
        index: Index,
        argus: ArgusState | None,
        in_thread: InThread,
        settled: Callable[[], object],
    ) -> None:
        """
        @param argus: what Argus knows of the files.
        @param settled: is called whenever much has come that is going to stay.
        """
        self._disk = parts.disk
        self._inventory = parts.inventory
        self._ledger = parts.ledger
        self._departures = departures
        self._index = index
        self._argus = argus
        self._in_thread = in_thread
        self._settled = settled
        self._listing: Listing | None = None
        # The ids of complete objects whose files are still to be seen.
        self._awaited: set[str] = set()
        self._looked = _Point()
        self._over = _Point()
        self.complete = False
        self.finished = False
        self.left_off = False

    async def load(self) -> None:
        """
        Read the index, and list unfinished files.

        @raise DiskFailed: one of them, or the directory of files, cannot be read.
        """
        unfinished = await self._disk.scan_partial()
        stale: list[str] = []
        async with aclosing(self._index.load(partial(believe, unfinished=unfinished))) as rows:
            async for believed in rows:
                stale += believed.stale
                self._inventory.keep_all(believed.batch)
                self._awaited.update(believed.batch.items)
                self._awaited.difference_update(believed.batch.partials)
                self._settled()
        left = leftovers(self._inventory.items, unfinished)
        for object_id, error in (await self._disk.unlink_partial(left.useless)).items():
            self._log.error("unfinished object {id} cannot be deleted: {error}", id=object_id, error=error)
        for object_id, error in (await self._disk.shorten_partial(left.overlong)).items():
            self._log.error("unfinished object {id} cannot be shortened: {error}", id=object_id, error=error)
        await self._ledger.delete(stale)
        self._listing = await self._disk.scan_complete()

    def begin(self) -> None:
        """
        Look at the files. Never fails.
        """
        surveying = Deferred.fromCoroutine(self._survey())
        surveying.addErrback(lambda failure: self._log.failure("looking at the files", failure))
        surveying.addCallback(lambda _: self._over.fire())

    def looked(self) -> Deferred[None]:
        """
        Fires when no more files will be looked at. Cancelling concerns this caller alone.
        """
        return self._looked.wait()

    def over(self) -> Deferred[None]:
        """
        Fires when all is in order, or will not be. Cancelling concerns this caller alone.
        """
        return self._over.wait()

    def leave_off(self) -> None:
        """
        The node is about to stop, before anybody has had a use for the rest.
        """
        self.left_off = True
        if self._listing is None:
            # It may never begin.
            self._looked.fire()
            self._over.fire()

    async def _survey(self) -> None:
        assert self._listing is not None
        try:
            self.complete = await self._look(self._listing)
        except DiskFailed as error:
            # A row whose file has not been seen may be right all the same.
            self._log.error("some files cannot be looked at: {error}", error=error)
        finally:
            self._listing.close()
            self._looked.fire()
        if self.left_off:
            return
        news = self._argus is not None and (len(self._inventory.unverified) > 0 or await self._argus.is_news())
        if self._argus is not None and news:
            async with aclosing(self._argus.read()) as pieces:
                async for told in pieces:
                    self._take(told)
                    self._settled()
                    if self.left_off:
                        return
        if news or self._inventory.unverified:
            await self._put_in_order()
        self.finished = self.complete
        self._log.info(
            "{entries} objects, {partials} unfinished, {unverified} to be verified: {used} of {capacity} bytes",
            entries=self._inventory.entry_count,
            partials=self._inventory.partial_count,
            unverified=len(self._inventory.unverified),
            used=self._inventory.used,
            capacity=self._inventory.capacity,
        )
        await self._departures.shrink()

    async def _look(self, listing: Listing) -> bool:
        """
        @return: whether all have been seen.
        """
        inventory = self._inventory
        awaited, self._awaited = self._awaited, set()
        while files := await self._disk.read(listing):
            if self.left_off:
                return False
            compared = compare(files, inventory.items, awaited)
            await self._drop(compared.replaced)
            inventory.keep_all(compared.batch)
            self._settled()
        await self._drop(list(awaited))
        if listing.strange_count:
            self._log.warn(
                "{count} files are not the store's: {some} ...",
                count=listing.strange_count,
                some=", ".join(listing.strange),
            )
        return True

    async def _drop(self, object_ids: list[str]) -> None:
        """
        What the index says of C{object_ids} is not, or no longer, so.
        """
        if not object_ids:
            return
        unfinished = []
        for object_id in object_ids:
            item = self._inventory.take(object_id)
            if item is not None:
                # It may have been opened, and gone since.
                self._departures.hold_while_read(object_id, item.occupied)
            if isinstance(item, Partial):
                unfinished.append(object_id)
        await self._disk.unlink_partial(unfinished)
        await self._ledger.delete(object_ids)

    def _take(self, told: Told) -> None:
        for use in told.uses:
            self._inventory.tell(use.object_id, use.last_access, use.hits)
        for object_id, type in told.types.items():
            self._inventory.tell_type(object_id, type)

    async def _put_in_order(self) -> None:
        """
        By the last access, verified or not. What is asked for meanwhile comes last, as always.
        """
        began = self._inventory.begin_order()
        items = self._inventory.items
        runs = [await self._in_thread(by_last_access, used(run, items)) for run in batches(began, RUN)]
        ordered = batches(merged(runs), BATCH)
        while batch := await self._in_thread(next, ordered, None):
            self._inventory.order(batch)
        self._inventory.end_order()
