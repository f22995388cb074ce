"""
What a node distributes, asked for again and again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from distributor.catalogue.delays import Delay
from distributor.catalogue.facts import DistributionBucket
from distributor.catalogue.gathering import Gathered, Gatherer
from distributor.catalogue.graphql import QueryFailed
from distributor.catalogue.height import STANDS_STILL_S, Height
from distributor.catalogue.holding_back import AGREEING, Ours, chosen, refreshed
from distributor.catalogue.interface import Selection
from distributor.catalogue.object_ids import ObjectIds
from distributor.model import InThread, StorageNode

T = TypeVar("T")

#: After a refresh that has failed; the longest is no longer than the usual time between two, within bounds.
_FIRST_DELAY_S, _LEAST_LONGEST_S, _MOST_LONGEST_S = 2.0, 5.0, 60.0


class Distribution:
    """
    Knows which objects are ours, from L{start} to L{stop}.

    @ivar selection: which buckets.
    @ivar height: of the query node.
    @ivar storage_nodes: all that there are.
    @ivar gathered: what the last refresh came to.
    @ivar refreshed_at: when it began.
    """

    _log = Logger()

    def __init__(
        self,
        gatherer: Gatherer,
        clock: IReactorTime,
        in_thread: InThread,
        interval_s: float,
        selection: Selection,
        changed: Callable[[], None],
        answered: Callable[[], None],
    ) -> None:
        """
        @param interval_s: between two refreshes.
        @param changed: is called when what is ours has changed.
        @param answered: is called when the query node has answered.
        """
        self._gatherer = gatherer
        self._clock = clock
        self._in_thread = in_thread
        self._interval_s = interval_s
        self._changed = changed
        self._answered = answered
        self.selection = selection
        self.height = Height()
        self.storage_nodes: tuple[StorageNode, ...] = ()
        self.gathered: Gathered | None = None
        self.refreshed_at: float | None = None
        self._ours = Ours()
        # Whether what is ours is that of the present selection, and whether that was changed while the node ran.
        self._settled = False
        self._reselected = False
        # What single lookups have shown to be ours since the last refresh, and when.
        self._since: dict[str, float] = {}
        longest_s = min(max(interval_s, _LEAST_LONGEST_S), _MOST_LONGEST_S)
        self._delay = Delay(min(interval_s, _FIRST_DELAY_S), longest_s)
        self._waiting: list[Deferred[bool]] = []
        self._running = False
        self._run: Deferred[None] = succeed(None)
        # What the loop waits for: the query node, or the time of the next refresh.
        self._awaited: Deferred[Any] | None = None
        self._resting = False
        self._at_once = False
        self._stood_still = False

    # What is known.

    @property
    def object_count(self) -> int | None:
        """
        How many objects are ours; L{None}: not known, or all.
        """
        return len(self._ours.ids) if self._settled and not self.selection.everything else None

    @property
    def held_back(self) -> int:
        """
        How many objects are still ours only because a large loss has not been agreed on.
        """
        return len(self._ours.doubted)

    def serves(self, object_id: str) -> bool | None:
        """
        Whether an object is ours; L{None}: not known.
        """
        if self.selection.everything:
            return True
        if not self._settled:
            return None
        return object_id in self._since or object_id in self._ours.ids

    def judge(self, object_id: str, buckets: Iterable[DistributionBucket], asked_at: float) -> bool:
        """
        Whether an object that was asked for is ours: what was heard last decides.

        @param buckets: those of its bag, as it was then.
        """
        if self.selection.everything:
            return True
        if self._settled and self.refreshed_at is not None and asked_at < self.refreshed_at:
            return self.serves(object_id) is True
        taken = any(self.selection.takes(bucket.id, bucket.workers) for bucket in buckets)
        if taken:
            self._since[object_id] = asked_at
        else:
            self._since.pop(object_id, None)
        return taken

    # The loop.

    def start(self, presumed: Iterable[str] = ()) -> None:
        """
        Begin to ask.

        @param presumed: objects that were ours when the node ran last: a first answer that lacks many of them is held
            back as any other is.
        """
        self._running = True
        self._run = Deferred.fromCoroutine(self._loop(tuple(presumed)))
        self._run.addErrback(lambda failure: self._log.failure("refreshing what is distributed", failure))

    def stop(self) -> Deferred[None]:
        """
        Ask no more; fires when nothing is on its way.
        """
        self._running = False
        self._interrupt()
        return self._run

    def select(self, selection: Selection) -> None:
        """
        Distribute other buckets; they are asked for at once.
        """
        if selection == self.selection:
            return
        self.selection = selection
        self._settled = False
        self._reselected = True
        self._since.clear()
        self._at_once = True
        self._interrupt()

    def refresh(self) -> Deferred[bool]:
        """
        Ask now.

        @return: fires when a refresh that begins after this call is over, with whether it succeeded.
        """
        mine: Deferred[bool] = Deferred(self._leave)
        self._waiting.append(mine)
        if self._resting:
            self._interrupt()
        return mine

    def _leave(self, waiter: Deferred[bool]) -> None:
        if waiter in self._waiting:
            self._waiting.remove(waiter)

    def _interrupt(self) -> None:
        if self._awaited is not None:
            self._awaited.cancel()

    async def _interruptible(self, awaited: Deferred[T]) -> T:
        """
        @raise CancelledError: it was interrupted.
        """
        self._awaited = awaited
        try:
            return await awaited
        finally:
            self._awaited = None

    async def _loop(self, presumed: tuple[str, ...]) -> None:
        with suppress(CancelledError):
            self._ours = Ours(await self._interruptible(self._in_thread(ObjectIds.of, presumed)))
        while self._running:
            waiting, self._waiting = self._waiting, []
            self._at_once = False
            _fire(waiting, await self._round())
            if self._running and not self._at_once and not self._waiting:
                await self._rest()
        waiting, self._waiting = self._waiting, []
        _fire(waiting, False)

    async def _rest(self) -> None:
        now = self._clock.seconds()
        rest_s = self._delay.until - now if self._delay.holds(now) else self._interval_s
        self._resting = True
        with suppress(CancelledError):
            await self._interruptible(deferLater(self._clock, rest_s))
        self._resting = False

    async def _round(self) -> bool:
        selection = self.selection
        began = self._clock.seconds()
        try:
            gathered, ours = await self._interruptible(Deferred.fromCoroutine(self._ask(selection)))
        except (CancelledError, QueryFailed) as error:
            # An interruption may look like any trouble by the time it arrives here.
            if self._running and selection is self.selection:
                self._failed(error)
            return False
        except Exception:
            self._log.failure("What this node distributes could not be found out.")
            self._delay = self._delay.failed(self._clock.seconds())
            return False
        if self._delay.failures:
            self._log.info("The query node answers again.")
        self._delay = self._delay.succeeded()
        self._answered()
        self._take(gathered, ours, began)
        return True

    async def _ask(self, selection: Selection) -> tuple[Gathered | None, Ours]:
        state = await self._gatherer.state()
        self._note_height(None if state is None else state.height)
        if selection.everything:
            await self._list_storage_nodes(patient=False)
            return None, self._ours
        gathered = await self._gatherer.gather(selection)
        judged = chosen if self._reselected else refreshed
        behind = self.height.behind
        ours = await self._in_thread(judged, self._ours, gathered.ids, behind=behind)
        await self._list_storage_nodes(patient=True)
        return gathered, ours

    async def _list_storage_nodes(self, *, patient: bool) -> None:
        try:
            self.storage_nodes = await self._gatherer.storage_nodes()
        except QueryFailed as error:
            if error.general and not patient:
                raise

    # What comes of it.

    def _failed(self, error: Exception) -> None:
        self._delay = self._delay.failed(self._clock.seconds())
        if self._delay.failures == 1:
            self._log.warn(
                "What this node distributes cannot be found out at present; it will be tried again: {error}",
                error=str(error),
            )

    def _note_height(self, height: int | None) -> None:
        now = self._clock.seconds()
        was_behind = self.height.behind
        self.height = self.height.seen(height, now)
        if self.height.behind and not was_behind:
            self._log.warn(
                "The query node has fallen back to block {last} from {highest}: nothing is given up until it is back.",
                last=self.height.last,
                highest=self.height.highest,
            )
        still = self.height.stands_still(now)
        if still and not self._stood_still:
            self._log.warn(
                "The query node has been at block {highest} for more than {still_s:g} s: what is newer is not known.",
                highest=self.height.highest,
                still_s=STANDS_STILL_S,
            )
        self._stood_still = still

    def _take(self, gathered: Gathered | None, ours: Ours, began: float) -> None:
        before, settled = self._ours, self._settled
        self._ours = ours
        self._settled, self._reselected = True, False
        self.refreshed_at = began
        overruled = [object_id for object_id, at in self._since.items() if at < began]
        for object_id in overruled:
            del self._since[object_id]
        if gathered is not None:
            self._tell(gathered, before, ours)
        self.gathered = gathered
        if settled and before.ids == ours.ids and all(object_id in ours.ids for object_id in overruled):
            return
        try:
            self._changed()
        except Exception:
            self._log.failure("What is distributed has changed, and that could not be acted on.")

    def _tell(self, gathered: Gathered, before: Ours, ours: Ours) -> None:
        missing = sorted(set(map(str, self.selection.buckets or ())) - set(gathered.buckets))
        if self.gathered is None or self.gathered.buckets != gathered.buckets:
            self._log.info(
                "This node distributes {objects} objects of the buckets {buckets}.",
                objects=len(ours.ids),
                buckets=", ".join(gathered.buckets) or "(none)",
            )
            if missing:
                self._log.warn(
                    "The query node does not know these configured buckets: {buckets}", buckets=", ".join(missing)
                )
        if ours.doubted and ours.refreshes != before.refreshes:
            self._log.warn(
                "{doubted} of {objects} objects would not be distributed here any more: held back until the next"
                " refreshes agree ({refreshes} of {agreeing} so far).",
                doubted=len(ours.doubted),
                objects=len(ours.ids),
                refreshes=ours.refreshes,
                agreeing=AGREEING,
            )
        elif before.doubted and len(ours.ids) < len(before.ids):
            self._log.warn("{lost} objects are not distributed here any more.", lost=len(before.ids) - len(ours.ids))


def _fire(waiting: list[Deferred[bool]], succeeded: bool) -> None:
    for waiter in waiting:
        # It may have left meanwhile.
        if not waiter.called:
            waiter.callback(succeeded)
