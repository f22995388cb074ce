"""
What was asked of a query node about single objects, remembered.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from attrs import evolve, frozen
from twisted.internet.defer import CancelledError, DeferredSemaphore
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from distributor.catalogue.delays import Delay
from distributor.catalogue.facts import DistributionBucket, ObjectFacts, Unusable
from distributor.catalogue.graphql import Bounds, QueryFailed
from distributor.catalogue.query_node import QueryNode
from distributor.catalogue.recent import Recent
from distributor.catalogue.sharing import Shared
from distributor.model import CatalogueUnavailable, StorageNode

#: Objects whose facts are kept, about a kilobyte each; and as many ids that stand for nothing, of which anybody can
#: make up as many as they like, and which must not push the others out.
_MOST_REMEMBERED = 20_000

#: Questions about objects that are on their way at once.
_AT_ONCE = 32

#: How many may wait for that. A query node answers some hundreds in a second, so this is a few seconds' work.
_MOST_WAITING = 1000

#: After a failure that concerns all questions, and how much it can become; in seconds.
_FIRST_DELAY_S, _LONGEST_DELAY_S = 1.0, 30.0

#: So many questions in a row that failed each for itself are a failure of all.
_OF_ALL = 3

#: An answer about one object is some kilobytes; a thousand buckets of its bag would fit.
_MOST_BYTES = 1024 * 1024


@frozen
class Entry:
    """
    An answer about one object.

    @ivar facts: L{None}: there is no such object.
    @ivar at: when it was asked for.
    @ivar expires: when it has to be asked for again.
    @ivar doubted: the query node has since said that there is no such object.
    """

    facts: ObjectFacts | Unusable | None
    at: float
    expires: float
    doubted: bool = False


@frozen
class _Failing:
    delay: Delay
    error: QueryFailed


@frozen
class Times:
    """
    For how long answers hold, in seconds.

    @ivar source: where an object is.
    @ivar negative: that there is no such object, or that it has not been uploaded yet.
    @ivar other: that what is said of it makes no sense.
    """

    source: float
    negative: float
    other: float


def learned(known: Entry | None, found: ObjectFacts | Unusable | None, now: float, times: Times, behind: bool) -> Entry:
    """
    What to keep of an answer. What is known of an object is not lost because a query node that is behind, or one of
    several copies, does not know it: it has to say so twice.

    @param known: what was kept until now.
    @param now: when it was asked for.
    """
    if known is None or not isinstance(known.facts, ObjectFacts):
        return Entry(found, now, now + _holds(found, times))
    if isinstance(found, ObjectFacts):
        same = found.object.content_hash == known.facts.object.content_hash
        if same and known.facts.object.accepted and not found.object.accepted:
            # No object goes back to not being uploaded.
            found = evolve(found, object=known.facts.object)
        return Entry(found, now, now + _holds(found, times))
    if found is None and known.doubted and not behind:
        return Entry(None, now, now + times.negative)
    return evolve(known, expires=now + times.negative, doubted=found is None)


def _holds(found: ObjectFacts | Unusable | None, times: Times) -> float:
    if isinstance(found, ObjectFacts):
        return times.source if found.object.accepted else min(times.source, times.negative)
    return times.negative if found is None else times.other


class Lookups:
    """
    Answers about single objects: from memory, else from the query node, which is asked once for all who want to know.
    """

    def __init__(
        self,
        query_node: QueryNode,
        clock: IReactorTime,
        times: Times,
        timeout_s: float,
        behind: Callable[[], bool],
        *,
        most_remembered: int = _MOST_REMEMBERED,
    ) -> None:
        """
        @param timeout_s: for an answer.
        @param behind: whether the query node is known to be behind what it knew.
        """
        self._query_node = query_node
        self._clock = clock
        self._times = times
        self._bounds = Bounds(_MOST_BYTES, timeout_s)
        self._behind = behind
        self._known: Recent[Entry] = Recent(most_remembered)
        self._absent: Recent[Entry] = Recent(most_remembered)
        self._failing: Recent[_Failing] = Recent(most_remembered)
        self._all_failing: QueryFailed | None = None
        self._delay = Delay(_FIRST_DELAY_S, _LONGEST_DELAY_S)
        self._failures_of_one = 0
        self._places = DeferredSemaphore(_AT_ONCE)
        self._asking: Shared[str, Entry] = Shared()
        # Many objects have the same storage nodes and buckets.
        self._nodes_once = lru_cache(4096)(_itself_nodes)
        self._buckets_once = lru_cache(4096)(_itself_buckets)

    def __len__(self) -> int:
        return len(self._known) + len(self._absent)

    def peek(self, object_id: str) -> Entry | None:
        """
        What is in memory, however old.
        """
        return self._known.peek(object_id) or self._absent.peek(object_id)

    def trouble(self, object_id: str) -> str | None:
        """
        Why an object is not asked for at present.
        """
        error = self._held_up(object_id)
        return None if error is None else str(error)

    def recovered(self) -> None:
        """
        The query node has answered something else.
        """
        self._delay = self._delay.succeeded()

    def cancel(self) -> None:
        """
        Give all questions up.
        """
        self._asking.cancel()

    async def get(self, object_id: str) -> Entry:
        """
        What is known of an object: fresh, or old, while the query node does not answer.

        @raise CatalogueUnavailable: nothing is known, and the query node does not answer.
        """
        entry = self._known.get(object_id) or self._absent.get(object_id)
        if entry is not None and self._clock.seconds() < entry.expires:
            return entry
        try:
            if object_id not in self._asking:
                held_up = self._held_up(object_id)
                if held_up is not None:
                    raise held_up
                if len(self._asking) >= _MOST_WAITING:
                    raise CatalogueUnavailable(f"{_MOST_WAITING} objects are being asked for already")
            return await self._asking.ask(object_id, lambda: self._ask(object_id))
        except (QueryFailed, CatalogueUnavailable) as failed:
            # What is not here, or not yet, may be so by now.
            if entry is not None and isinstance(entry.facts, ObjectFacts) and entry.facts.object.accepted:
                return entry
            raise CatalogueUnavailable(str(failed)) from failed

    def _held_up(self, object_id: str) -> QueryFailed | None:
        now = self._clock.seconds()
        if self._delay.holds(now):
            error = self._all_failing
        else:
            failing = self._failing.peek(object_id)
            error = failing.error if failing is not None and failing.delay.holds(now) else None
        return None if error is None else error.again()

    async def _ask(self, object_id: str) -> Entry:
        try:
            turn = self._places.acquire()
            waited = not turn.called
            await turn
            try:
                if waited:
                    # Else each who fails at once would let in the next from within, a thousand deep.
                    await deferLater(self._clock, 0)
                return await self._put(object_id)
            finally:
                self._places.release()
        except CancelledError:
            # Nobody but this catalogue cancels the work itself.
            raise CatalogueUnavailable("the catalogue is being stopped") from None

    async def _put(self, object_id: str) -> Entry:
        held_up = self._held_up(object_id)
        if held_up is not None:
            raise held_up
        # What becomes known meanwhile may not be in the answer.
        now = self._clock.seconds()
        try:
            found = await self._query_node.ask(lambda dialect: dialect.object(object_id), self._bounds)
        except QueryFailed as error:
            self._failed(object_id, error)
            raise
        self._delay = self._delay.succeeded()
        self._failures_of_one = 0
        self._failing.drop(object_id)
        return self._learn(object_id, found, now)

    def _failed(self, object_id: str, error: QueryFailed) -> None:
        now = self._clock.seconds()
        if not error.general:
            failing = self._failing.peek(object_id)
            delay = Delay(_FIRST_DELAY_S, _LONGEST_DELAY_S) if failing is None else failing.delay
            self._failing.put(object_id, _Failing(delay.failed(now), error.again()))
            self._failures_of_one += 1
        if error.general or self._failures_of_one >= _OF_ALL:
            self._all_failing = error.again()
            self._delay = self._delay.failed(now)

    def _learn(self, object_id: str, found: ObjectFacts | Unusable | None, now: float) -> Entry:
        if isinstance(found, ObjectFacts):
            found = evolve(
                found,
                storage_nodes=self._nodes_once(found.storage_nodes),
                buckets=self._buckets_once(found.buckets),
            )
        entry = learned(self._known.peek(object_id), found, now, self._times, self._behind())
        kept, other = (self._absent, self._known) if entry.facts is None else (self._known, self._absent)
        kept.put(object_id, entry)
        other.drop(object_id)
        return entry


def _itself_nodes(nodes: tuple[StorageNode, ...]) -> tuple[StorageNode, ...]:
    return nodes


def _itself_buckets(buckets: tuple[DistributionBucket, ...]) -> tuple[DistributionBucket, ...]:
    return buckets
