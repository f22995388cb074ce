"""
What has been learnt of each storage node since the start.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from distributor.model import StorageNode
from distributor.sources.breaker import Breaker, BreakerState
from distributor.sources.ranking import Candidate, Performance, order

#: For so long, in seconds, what a node gave is a measure for what others give.
LATELY_S = 60.0

#: Of how many endpoints something is remembered: more than there are storage nodes, fewer than would matter.
_MOST = 1000

#: How much of what went wrong is kept for the operator, in characters.
_LONGEST_REASON = 300

# Why a node is asked after all others, the least grave reason first.
_CRAWLED, _FAILS, _IGNORES_RANGES, _LIED = 1, 2, 4, 8


#: How many requests for an object a node is busy with.
Busy = Callable[[StorageNode], int]


def _idle(node: StorageNode) -> int:
    return 0


@define(eq=False)
class Standing:
    """
    What has been learnt of one storage node.

    @ivar node: as it was listed last.
    @ivar buckets: the ids under which it has been listed.
    @ivar failures: how many requests have failed.
    @ivar asked_at: when it was last asked for anything, in seconds.
    @ivar lately: the rate that counts for comparison with others, and when that was noted.
    """

    node: StorageNode
    buckets: dict[str, None] = field(factory=dict)
    performance: Performance = field(factory=Performance)
    breaker: Breaker = field(factory=Breaker)
    failures: int = 0
    lies: int = 0
    ignores_ranges: bool = False
    last_error: str | None = None
    version: str | None = None
    asked_at: float | None = None
    lately: tuple[float, float] | None = None


class Standings:
    """
    Remembers of storage nodes what matters for whom to ask next, and what an operator wants to know. A node is known by
    its endpoint, whatever the id.
    """

    def __init__(self, clock: IReactorTime, timeout_s: float) -> None:
        """
        @param timeout_s: for how long a node may be silent.
        """
        self._clock = clock
        self._timeout_s = timeout_s
        # Those seen last are last.
        self._standings: dict[str, Standing] = {}

    def of(self, node: StorageNode) -> Standing:
        """
        What is known of C{node}.
        """
        key = node.endpoint.rstrip("/")
        standing = self._standings.pop(key, None) or Standing(node)
        standing.node = node
        standing.buckets[node.id] = None
        self._standings[key] = standing
        if len(self._standings) > _MOST:
            del self._standings[next(iter(self._standings))]
        return standing

    def __iter__(self) -> Iterator[Standing]:
        return iter(list(self._standings.values()))

    # Whom to ask.

    def best(
        self,
        nodes: Sequence[StorageNode],
        *,
        first: bool,
        ranged: bool,
        busy: Busy = _idle,
        crawled: Collection[StorageNode] = (),
    ) -> StorageNode:
        """
        Which of C{nodes} to ask now.

        @param first: it is for the first bytes of an object that are asked for. Only then a node may be tried because
            little is known of it: it is better that all bytes of an object come from one, since then it is clear whose
            they were, if they are wrong.
        @param ranged: bytes are wanted that do not begin with the object.
        @param busy: how many requests for this object each is busy with.
        @param crawled: those that were too slow with this object.
        """
        chosen = nodes[self._order(nodes, first, ranged, busy, crawled)[0]]
        if first:
            for node in nodes:
                if node != chosen:
                    standing = self.of(node)
                    standing.performance = standing.performance.not_chosen()
        return chosen

    def second(
        self,
        nodes: Sequence[StorageNode],
        *,
        ranged: bool,
        busy: Busy = _idle,
        crawled: Collection[StorageNode] = (),
    ) -> StorageNode | None:
        """
        Which of C{nodes} to ask beside one that does not answer; L{None} where nothing good is to be expected of any.
        """
        good = [node for node in nodes if not self._shunned(node, ranged, crawled)]
        return good[self._order(good, False, ranged, busy, crawled)[0]] if good else None

    def _order(
        self,
        nodes: Sequence[StorageNode],
        in_turn: bool,
        ranged: bool = False,
        busy: Busy = _idle,
        crawled: Collection[StorageNode] = (),
    ) -> list[int]:
        candidates = [
            Candidate(self.of(node).performance, self._shunned(node, ranged, crawled), busy(node)) for node in nodes
        ]
        return order(candidates, in_turn=in_turn)

    def _shunned(self, node: StorageNode, ranged: bool, crawled: Collection[StorageNode]) -> int:
        standing = self.of(node)
        return (
            _LIED * (standing.lies > 0)
            + _IGNORES_RANGES * (ranged and standing.ignores_ranges)
            + _CRAWLED * (node in crawled)
            + _FAILS * (standing.breaker.state(self._clock.seconds()) is BreakerState.OPEN)
        )

    def usual_s(self, node: StorageNode) -> float:
        """
        After how many seconds without an answer of C{node} another one is asked as well.
        """
        return self.of(node).performance.usual_s(self._timeout_s)

    # What happens.

    def asked(self, node: StorageNode) -> None:
        """
        A request is made of C{node}.
        """
        standing = self.of(node)
        standing.asked_at = now = self._clock.seconds()
        standing.performance = standing.performance.chosen()
        standing.breaker = standing.breaker.asked(now)

    def answered(self, node: StorageNode, after_s: float) -> None:
        """
        The head of its answer has come.
        """
        standing = self.of(node)
        standing.performance = standing.performance.answered(after_s)

    def unanswered(self, node: StorageNode, for_s: float) -> None:
        """
        It had not come when another one's did.
        """
        standing = self.of(node)
        standing.performance = standing.performance.unanswered(for_s)

    def succeeded(self, node: StorageNode) -> None:
        """
        It has brought what it was asked for.
        """
        standing = self.of(node)
        standing.performance = standing.performance.succeeded()
        standing.breaker = standing.breaker.succeeded()

    def failed(self, node: StorageNode, reason: str, *, well: bool = False) -> None:
        """
        It has not.

        @param well: there is nothing wrong with the node itself; it does not have the object.
        """
        standing = self.of(node)
        standing.failures += 1
        standing.last_error = reason[:_LONGEST_REASON]
        standing.performance = standing.performance.failed()
        if not well:
            standing.breaker = standing.breaker.failed(self._clock.seconds())

    def ignores_ranges(self, node: StorageNode) -> bool:
        """
        Whether C{node} has been seen to answer a request for a part with the whole.
        """
        return self.of(node).ignores_ranges

    def remember_ignoring_ranges(self, node: StorageNode) -> None:
        """
        It just did.
        """
        self.of(node).ignores_ranges = True

    def distrusts(self, node: StorageNode) -> bool:
        """
        Whether C{node} has given wrong bytes.
        """
        return self.of(node).lies > 0

    def lied(self, node: StorageNode) -> int:
        """
        It just did.

        @return: how often it has by now.
        """
        standing = self.of(node)
        standing.lies += 1
        return standing.lies

    # How fast they are.

    def note_rate(self, node: StorageNode, rate: float) -> None:
        """
        What C{node} gives at present, in bytes per second.
        """
        standing = self.of(node)
        standing.lately = rate, self._clock.seconds()
        standing.performance = standing.performance.gave(rate)

    def forget_rate(self, node: StorageNode) -> None:
        """
        What C{node} gave is no measure for others any more: it has failed.
        """
        self.of(node).lately = None

    def best_rate(self, nodes: Iterable[StorageNode]) -> float | None:
        """
        What the best of C{nodes} lately gave; L{None} where that is not known of any.
        """
        now = self._clock.seconds()
        known = (standing.lately for standing in map(self.of, nodes) if standing.lately is not None)
        return max((rate for rate, noted_at in known if now - noted_at <= LATELY_S), default=None)

    # What the operator is told.

    def ranking(self) -> list[dict[str, object]]:
        """
        What is known of every node, the one that would be asked first first; what C{GET /storage-nodes} answers.
        """
        nodes = [standing.node for standing in self]
        positions = self._order(nodes, True)
        return [self._told(nodes[position], rank) for rank, position in enumerate(positions, 1)]

    def explain(self, nodes: Iterable[StorageNode]) -> list[dict[str, object]]:
        """
        The same of C{nodes} alone, such as those of one object; C{rank} is among them.
        """
        listed = list(nodes)
        positions = self._order(listed, True)
        return [self._told(listed[position], rank) for rank, position in enumerate(positions, 1)]

    def _told(self, node: StorageNode, rank: int) -> dict[str, object]:
        standing, now = self.of(node), self._clock.seconds()
        performance, breaker = standing.performance, standing.breaker
        retry_in_s = breaker.retry_in_s(now)
        return {
            "endpoint": node.endpoint,
            "buckets": list(standing.buckets),
            "rank": rank,
            "timeToFirstByteMs": None
            if performance.first_byte_s is None
            else round(1000 * performance.first_byte_s, 1),
            "bytesPerSecond": None if performance.rate is None else round(performance.rate),
            "failures": standing.failures,
            "breaker": breaker.state(now).value,
            "retryInS": None if retry_in_s is None else round(retry_in_s, 1),
            "lastError": standing.last_error,
            "version": standing.version,
            "ignoresRanges": standing.ignores_ranges,
            "lies": standing.lies,
        }
