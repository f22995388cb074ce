"""
The catalogue that asks a query node.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.web.iweb import IAgent
from zope.interface import implementer

from distributor.catalogue.distribution import Distribution
from distributor.catalogue.facts import Generation, ObjectFacts, Unusable
from distributor.catalogue.gathering import Gatherer
from distributor.catalogue.graphql import Endpoint
from distributor.catalogue.interface import ICatalogue, Selection, explained_listing
from distributor.catalogue.lookups import Entry, Lookups, Times
from distributor.catalogue.query_node import QueryNode
from distributor.model import CatalogueUnavailable, InThread, Listing, ObjectNotFound, StorageNode, is_object_id

#: For how long it is remembered that there is no such object, at most: one that was uploaded just now is wanted soon.
_LONGEST_NEGATIVE_S = 15


@implementer(ICatalogue)
class QueryNodeCatalogue:
    """
    The catalogue of a query node, from L{start} to L{stop}. It answers before its first refresh, and without a query
    node from what it remembers.
    """

    def __init__(
        self,
        agent: IAgent,
        url: str,
        clock: IReactorTime,
        in_thread: InThread,
        user_agent: str,
        *,
        timeout_s: float,
        source_ttl_s: float,
        cache_ttl_s: float,
        selection: Selection,
        changed: Callable[[], None],
        generation: Generation | None = None,
        counts: Counter[str] | None = None,
    ) -> None:
        """
        @param agent: what makes the requests; it owns the pool, and must not refuse private addresses.
        @param url: where queries are posted to.
        @param timeout_s: for the answer about one object.
        @param source_ttl_s: for how long it is remembered where an object is.
        @param cache_ttl_s: for how long everything else is; and how often it is asked what this node distributes.
        @param selection: which buckets' objects are ours.
        @param changed: is called when what is ours has changed; see L{serves}.
        @param generation: L{None}: the query node is asked.
        @param counts: where questions are counted, by what became of them, in words.
        """
        self._clock = clock
        self.negative_ttl_s = self.negative_ttl_of(cache_ttl_s)
        endpoint = Endpoint(agent, url, clock, in_thread, user_agent, counts)
        self._query_node = QueryNode(endpoint, clock, timeout_s, generation)
        times = Times(source_ttl_s, min(cache_ttl_s, _LONGEST_NEGATIVE_S), cache_ttl_s)
        self._lookups = Lookups(self._query_node, clock, times, timeout_s, lambda: self._distribution.height.behind)
        gatherer = Gatherer(self._query_node, clock, in_thread)
        self._distribution = Distribution(
            gatherer, clock, in_thread, cache_ttl_s, selection, changed, self._lookups.recovered
        )

    @staticmethod
    def negative_ttl_of(cache_ttl_s: float) -> int:
        """
        C{negative_ttl_s}, for a process that has no catalogue of its own.
        """
        return int(min(cache_ttl_s, _LONGEST_NEGATIVE_S))

    def start(self, presumed: Iterable[str] = ()) -> None:
        """
        Begin to ask what this node distributes.

        @param presumed: the ids of the objects in the store; a first answer that lacks many of them is held back.
        """
        self._distribution.start(presumed)

    def stop(self) -> Deferred[None]:
        """
        Give up what is on its way; fires when nothing is. Whoever waits for a lookup is told that there is no catalogue
        any more.
        """
        stopped = self._distribution.stop()
        self._lookups.cancel()
        self._query_node.cancel()
        return stopped

    def refresh(self) -> Deferred[bool]:
        """
        Ask now what this node distributes.

        @return: fires, when that is over, with whether there was an answer.
        """
        return self._distribution.refresh()

    # ICatalogue

    @property
    def selection(self) -> Selection:
        return self._distribution.selection

    @property
    def bucket_ids(self) -> tuple[str | int, ...]:
        if self.selection.buckets is not None:
            return self.selection.buckets
        gathered = self._distribution.gathered
        return () if gathered is None else gathered.buckets

    @property
    def storage_nodes(self) -> tuple[StorageNode, ...]:
        return self._distribution.storage_nodes

    def set_buckets(self, buckets: Iterable[str | int] | None) -> None:
        self._distribution.select(evolve(self.selection, buckets=None if buckets is None else tuple(buckets)))

    def set_worker(self, worker_id: int | None) -> None:
        self._distribution.select(evolve(self.selection, worker_id=worker_id))

    def serves(self, object_id: str) -> bool | None:
        return self._distribution.serves(object_id) if is_object_id(object_id) else False

    async def lookup(self, object_id: str) -> Listing:
        if not is_object_id(object_id):
            raise ObjectNotFound(object_id)
        entry = await self._lookups.get(object_id)
        facts = entry.facts
        if facts is None:
            raise ObjectNotFound(object_id)
        if isinstance(facts, Unusable):
            raise CatalogueUnavailable(f"what the query node says of object {object_id} is no use: {facts.reason}")
        ours = self._distribution.judge(object_id, facts.buckets, entry.at)
        return Listing(facts.object, facts.storage_nodes, ours)

    def explain(self, object_id: str) -> dict[str, object]:
        explained: dict[str, object] = {"source": "query node", "ours": self.serves(object_id)}
        entry = self._lookups.peek(object_id)
        if entry is None:
            explained["state"] = "not asked for lately"
        else:
            now = self._clock.seconds()
            explained |= {"ageS": round(now - entry.at, 1), "stale": now >= entry.expires} | _explained(entry)
        explained["why"] = self._why(object_id, entry)
        refreshed_at = self._distribution.refreshed_at
        explained["refreshAgeS"] = self._age(refreshed_at)
        trouble = self._lookups.trouble(object_id)
        if trouble is not None:
            explained["lastError"] = trouble
        return explained

    def _why(self, object_id: str, entry: Entry | None) -> str:
        selection = self.selection
        if selection.everything:
            return "this node distributes everything"
        if selection.buckets is not None:
            which = f"of the buckets {', '.join(map(str, selection.buckets)) or '(none)'}"
        else:
            which = f"of the buckets of worker {selection.worker_id}"
        if entry is not None and isinstance(entry.facts, ObjectFacts):
            buckets = entry.facts.buckets
            taken = [bucket.id for bucket in buckets if selection.takes(bucket.id, bucket.workers)]
            if taken:
                return f"its bag {entry.facts.bag_id} is in {', '.join(taken)}, {which}"
            listed = ", ".join(bucket.id for bucket in buckets) or "no bucket"
            return f"its bag {entry.facts.bag_id} is in {listed}; this node distributes objects {which}"
        known = {True: "the last refresh had it among", False: "the last refresh did not have it among", None: None}
        said = known[self.serves(object_id)]
        if said is None:
            return f"it is not known yet which objects are {which}"
        return f"{said} the objects {which}"

    def status(self) -> dict[str, object]:
        node, distribution = self._query_node, self._distribution
        failure = node.failure
        height = distribution.height
        return {
            "url": node.url,
            "generation": None if node.dialect is None else node.dialect.generation.value,
            "version": node.version,
            "height": height.last,
            "highestHeight": None if height.highest < 0 else height.highest,
            "behind": height.behind,
            "heightAgeS": self._age(height.grew_at),
            "lastSuccessAgeS": self._age(node.succeeded_at),
            "lastError": None if failure is None else failure.reason,
            "lastErrorAgeS": None if failure is None else self._age(failure.at),
            "lastRefreshAgeS": self._age(distribution.refreshed_at),
            "buckets": [str(bucket) for bucket in self.bucket_ids],
            "objectsDistributed": distribution.object_count,
            "objectsHeldBack": distribution.held_back,
            "lookupsRemembered": len(self._lookups),
        }

    def _age(self, at: float | None) -> float | None:
        return None if at is None else round(self._clock.seconds() - at, 1)


def _explained(entry: Entry) -> dict[str, object]:
    facts = entry.facts
    if facts is None:
        return {"state": "not found"}
    if isinstance(facts, Unusable):
        return {"state": "unusable", "reason": facts.reason}
    return {
        "state": "known",
        "bag": facts.bag_id,
        "distributionBuckets": [{"id": each.id, "workers": list(each.workers)} for each in facts.buckets],
        "ignored": list(facts.ignored),
    } | explained_listing(facts.object, facts.storage_nodes)
