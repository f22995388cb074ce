"""
Fetching objects before anybody asks for them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import Enum

from attrs import define, evolve, field, frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from distributor.model import (
    CatalogueUnavailable,
    DistributorError,
    ObjectNotAccepted,
    ObjectNotDistributed,
    ObjectNotFound,
    Overloaded,
)
from distributor.operations.parts import Node, Store
from distributor.transfer import Downloads

#: How many are fetched at once: as with what is left from the time before a restart, viewers have the other places.
AT_ONCE = 4

#: How many may wait: a hundred requests full of them.
MOST_QUEUED = 100_000

#: How many that failed are remembered, for whoever asks.
MOST_FAILED = 1000

#: When to try again, in seconds, where the catalogue does not answer or viewers want all there is.
PAUSE_S = 10.0


class PrefetchState(Enum):
    """
    What has become of one object. The words are those of the API.
    """

    COMPLETE = "complete"
    STARTED = "started"
    QUEUED = "queued"
    UNKNOWN = "unknown"
    REFUSED = "refused"


@frozen
class Outcome:
    """
    What has become of one object so far.

    @ivar message: why, where that is not clear.
    """

    object_id: str
    state: PrefetchState
    message: str | None = None

    def shown(self) -> dict[str, object]:
        """
        As the API says it.
        """
        shown: dict[str, object] = {"objectId": self.object_id, "state": self.state.value}
        if self.message is not None:
            shown["message"] = self.message
        return shown


@define(eq=False)
class _Wish:
    """
    An object that somebody wants fetched.

    @ivar outcome: so far.
    @ivar decided: fires when there is one other than to wait for its turn.
    """

    object_id: str
    outcome: Outcome
    decided: Deferred[None] = field(factory=Deferred)

    def decide(self, state: PrefetchState, message: str | None = None) -> None:
        self.outcome = evolve(self.outcome, state=state, message=message)
        if not self.decided.called:
            self.decided.callback(None)


class Prefetch:
    """
    Fetches a few at a time, each a download without a reader, which readers may join: all bandwidth that viewers want
    is theirs, see L{distributor.transfer.plan}. What waits is forgotten when the node ends; what has begun is kept.
    """

    _log = Logger()

    def __init__(self, store: Store, downloads: Downloads, node: Node, clock: IReactorTime) -> None:
        self._store = store
        self._downloads = downloads
        self._node = node
        self._clock = clock
        self._queue: deque[_Wish] = deque()
        self._wishes: dict[str, _Wish] = {}
        self._running: dict[str, Deferred[None]] = {}
        self._failed: deque[Outcome] = deque(maxlen=MOST_FAILED)
        self._done = 0
        self._failures = 0
        self._choosing = False
        self._stopped = False

    async def add(self, object_ids: Sequence[str]) -> list[Outcome]:
        """
        Want some objects. Returns when it is known what becomes of those whose turn it is at once.
        """
        outcomes = {object_id: self._want(object_id) for object_id in object_ids}
        begun = [wish for wish in outcomes.values() if isinstance(wish, _Wish) and wish.object_id in self._running]
        for wish in begun:
            if not wish.decided.called:
                # Each who waits has a Deferred of its own.
                told: Deferred[None] = Deferred()
                wish.decided.addCallback(_pass_on, told)
                await told
        return [each.outcome if isinstance(each, _Wish) else each for each in outcomes.values()]

    def _want(self, object_id: str) -> _Wish | Outcome:
        if self._store.get(object_id) is not None:
            return Outcome(object_id, PrefetchState.COMPLETE)
        wish = self._wishes.get(object_id)
        if wish is not None:
            return wish
        if self._stopped:
            return Outcome(object_id, PrefetchState.REFUSED, "the node is shutting down")
        if len(self._queue) >= MOST_QUEUED:
            return Outcome(object_id, PrefetchState.REFUSED, f"{MOST_QUEUED} objects are waiting already")
        wish = self._wishes[object_id] = _Wish(object_id, Outcome(object_id, PrefetchState.QUEUED))
        self._queue.append(wish)
        self._next()
        return wish

    def _next(self) -> None:
        if self._choosing:
            # One that is over at once comes here again: the loop below goes on by itself.
            return
        self._choosing = True
        while self._queue and len(self._running) < AT_ONCE:
            wish = self._queue.popleft()
            running = self._running[wish.object_id] = Deferred.fromCoroutine(self._fetch(wish))
            running.addBoth(self._ended, wish)
        self._choosing = False

    def _ended(self, result: object, wish: _Wish) -> None:
        del self._running[wish.object_id]
        del self._wishes[wish.object_id]
        wish.decide(wish.outcome.state, wish.outcome.message)
        self._next()

    async def _fetch(self, wish: _Wish) -> None:
        """
        From the catalogue to the store, or to the reason why not.
        """
        try:
            while not await self._begin(wish):
                await deferLater(self._clock, PAUSE_S)
            if wish.outcome.state is PrefetchState.STARTED:
                await self._finish(wish)
        except CancelledError:
            return
        except Exception:
            self._log.failure("prefetching object {id}", id=wish.object_id)
            self._fail(wish, PrefetchState.REFUSED, "something unforeseen; the log says more")
        if wish.outcome.state in (PrefetchState.COMPLETE, PrefetchState.STARTED):
            self._done += 1

    async def _begin(self, wish: _Wish) -> bool:
        """
        @return: whether it is clear what becomes of it; if not, it is to be tried again.
        """
        object_id = wish.object_id
        if self._store.get(object_id) is not None:
            wish.decide(PrefetchState.COMPLETE)
            return True
        try:
            while (download := self._downloads.get(object_id)) is not None and download.error is not None:
                # It is putting its file away; the next one can go on from what there is.
                await self._downloads.over(download)
            if download is None:
                listing = await self._node.lookup(object_id)
                if not self._node.keeps(listing.object):
                    self._fail(wish, PrefetchState.REFUSED, "larger than limits.maxCachedItemSize")
                    return True
                if self._downloads.get(object_id) is None and self._store.get(object_id) is None:
                    self._downloads.start(listing, ()).close()
        except (CatalogueUnavailable, Overloaded) as error:
            wish.decide(PrefetchState.QUEUED, f"has to wait: {in_words(error)}")
            return False
        except ObjectNotFound as error:
            self._fail(wish, PrefetchState.UNKNOWN, in_words(error))
            return True
        except DistributorError as error:
            self._fail(wish, PrefetchState.REFUSED, in_words(error))
            return True
        wish.decide(PrefetchState.STARTED)
        return True

    async def _finish(self, wish: _Wish) -> None:
        download = self._downloads.get(wish.object_id)
        if download is None:
            return
        await self._downloads.over(download)
        if download.error is not None:
            self._fail(wish, PrefetchState.REFUSED, in_words(download.error))

    def _fail(self, wish: _Wish, state: PrefetchState, message: str) -> None:
        self._failures += 1
        wish.decide(state, message)
        self._failed.append(wish.outcome)

    def shown(self) -> dict[str, object]:
        """
        How it goes, as the API says it; counted since the start.
        """
        return {
            "queued": len(self._queue),
            "running": list(self._running),
            "done": self._done,
            "failed": self._failures,
            "failures": [outcome.shown() for outcome in self._failed],
        }

    def forget(self) -> None:
        """
        Begin none of those that wait.
        """
        for wish in self._queue:
            del self._wishes[wish.object_id]
        self._queue.clear()

    def stop(self) -> None:
        """
        Begin nothing any more, and wait for nothing. Downloads are ended by their owner.
        """
        self._stopped = True
        self.forget()
        for running in list(self._running.values()):
            running.cancel()


def _pass_on(result: None, told: Deferred[None]) -> None:
    told.callback(None)


def in_words(error: DistributorError) -> str:
    """
    Why, for people: some errors say no more than an id.
    """
    known: dict[type[DistributorError], str] = {
        ObjectNotFound: "the catalogue does not know it",
        ObjectNotAccepted: "it has not been uploaded yet",
        ObjectNotDistributed: "it is other nodes' to distribute",
        CatalogueUnavailable: "the catalogue cannot be reached",
    }
    return known.get(type(error)) or str(error) or type(error).__name__
