"""
What is counted while the node runs, in plain integers: an answer must not cost more for being counted. Whoever wants
them in another form reads them when he asks, see L{distributor.observe.metrics}.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping

from attrs import define, field

from distributor.model import CacheState, FaultKind

#: Upper bounds of the classes of times to the first byte, in seconds: a hit takes less than a millisecond, a miss as
#: long as a storage node, and a player gives up after some ten seconds.
FIRST_BYTE_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


# How counts are named on their way from one process to another.
_ANSWERS, _CLASS, _SENT, _SUM_US = "answers ", "first byte ", "bytes sent", "waited us"
_ASKED, _RECEIVED = "storage requests ", "bytes received"
_NO_STATE = "none"


def _word(cache: CacheState | None) -> str:
    return _NO_STATE if cache is None else cache.value


@define
class Histogram:
    """
    How many of some times were how long.

    @ivar counts: for each bound, how many were not longer and longer than the bound before; at the end, all others.
    @ivar sum_s: all together, in seconds.
    """

    bounds_s: tuple[float, ...] = FIRST_BYTE_BOUNDS_S
    counts: list[int] = field()
    sum_s: float = 0.0

    @counts.default
    def _none(self) -> list[int]:
        return [0] * (len(self.bounds_s) + 1)

    def note(self, seconds: float) -> None:
        """
        One more.
        """
        self.counts[bisect_left(self.bounds_s, seconds)] += 1
        self.sum_s += seconds


@define(eq=False)
class Tally:
    """
    Counts since the start of the process.

    @ivar answers: of requests for assets, by the state of the cache (L{None} where it was not looked for) and status.
    @ivar bytes_sent: of objects, to clients.
    @ivar first_byte: how long clients waited for the head of a 200 or 206.
    @ivar storage_requests: requests to storage nodes, by how they ended, in a word.
    @ivar bytes_received: of objects, from storage nodes.
    @ivar downloads_finished: those that have been verified.
    @ivar downloads_failed: those that could not go on; they may, another time.
    @ivar catalogue_requests: requests to the query node, by how they ended, in a word.
    @ivar faults: of storage nodes, by kind.
    @ivar evictions: objects that were deleted to make room.
    @ivar bytes_evicted: what they took.
    """

    answers: Counter[tuple[CacheState | None, int]] = field(factory=Counter)
    bytes_sent: int = 0
    first_byte: Histogram = field(factory=Histogram)
    storage_requests: Counter[str] = field(factory=Counter)
    bytes_received: int = 0
    downloads_finished: int = 0
    downloads_failed: int = 0
    catalogue_requests: Counter[str] = field(factory=Counter)
    faults: Counter[FaultKind] = field(factory=Counter)
    evictions: int = 0
    bytes_evicted: int = 0

    def answered(self, cache: CacheState | None, status: int, sent: int, first_byte_s: float | None = None) -> None:
        """
        A request for an asset has been answered, or its connection has ended meanwhile.

        @param sent: bytes of the object.
        @param first_byte_s: how long it took until the head went out; L{None} where there was nothing to wait for.
        """
        self.answers[cache, status] += 1
        self.bytes_sent += sent
        if first_byte_s is not None:
            self.first_byte.note(first_byte_s)

    # Of several processes that answer, one tells of them all.

    def take(self) -> dict[str, int]:
        """
        What has been counted of answers, and of what was passed through for them, since this was called last, for
        L{add} in another process; here that begins anew. What is not there is zero.
        """
        taken = {f"{_ANSWERS}{_word(cache)} {status}": count for (cache, status), count in self.answers.items()}
        taken |= {f"{_CLASS}{place}": count for place, count in enumerate(self.first_byte.counts) if count}
        taken |= {f"{_ASKED}{outcome}": count for outcome, count in self.storage_requests.items()}
        taken |= {_SENT: self.bytes_sent, _SUM_US: round(self.first_byte.sum_s * 1e6), _RECEIVED: self.bytes_received}
        self.answers.clear()
        self.storage_requests.clear()
        self.bytes_sent = self.bytes_received = 0
        self.first_byte = Histogram()
        return {name: count for name, count in taken.items() if count}

    def add(self, counts: Mapping[str, int]) -> None:
        """
        Count what L{take} has given in another process. What it did not name is no matter.
        """
        for name, count in counts.items():
            if name.startswith(_ANSWERS):
                word, status = name.removeprefix(_ANSWERS).split()
                self.answers[None if word == _NO_STATE else CacheState(word), int(status)] += count
            elif name.startswith(_CLASS):
                self.first_byte.counts[int(name.removeprefix(_CLASS))] += count
            elif name.startswith(_ASKED):
                self.storage_requests[name.removeprefix(_ASKED)] += count
        self.bytes_sent += counts.get(_SENT, 0)
        self.bytes_received += counts.get(_RECEIVED, 0)
        self.first_byte.sum_s += counts.get(_SUM_US, 0) / 1e6

    def evicted(self, size: int) -> None:
        """
        An object has been deleted to make room.

        @param size: bytes.
        """
        self.evictions += 1
        self.bytes_evicted += size
