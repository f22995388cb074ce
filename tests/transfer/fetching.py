"""
What the tests of fetching share: a download without a disk, whose storage nodes do what the test says.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from distributor.model import BLAKE3_256, ContentHash, DataObject, SourcesFailed, StorageNode
from distributor.transfer.extents import Extents
from distributor.transfer.fetch import Fetch
from distributor.transfer.plan import Reading
from tests.transfer.arriving import Answer, ArrivingNodes
from tests.upstream import payload

SIZE = 4_000_000
CONTENT = payload(SIZE)
TIMEOUT_S = 5.0
PATIENCE_S = 60.0
A, B, C = (StorageNode(name, f"http://{name}.example/") for name in "abc")


class Sink:
    """
    The other side of a download, without a disk.
    """

    def __init__(self) -> None:
        self.wanted: list[Reading] = []
        self.got = bytearray(SIZE)
        self.lengths: list[int] = []
        self.told: list[int] = []
        self.errors: list[SourcesFailed] = []
        self.asked_what_is_wanted = 0

    def readings(self) -> list[Reading]:
        self.asked_what_is_wanted += 1
        return self.wanted

    def arrived(self) -> None:
        """
        How much is there is what matters.
        """
        self.told.append(sum(self.lengths))

    def received(self, offset: int, data: bytes) -> None:
        self.got[offset : offset + len(data)] = data
        self.lengths.append(len(data))

    def answered(self, type: str | None) -> None:
        pass

    def planned(self) -> None:
        pass

    def fetch_failed(self, error: SourcesFailed) -> None:
        self.errors.append(error)


class FetchCase(SynchronousTestCase):
    """
    One fetch, whose storage nodes do what the test says.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.nodes = ArrivingNodes(self.clock, CONTENT, TIMEOUT_S)
        self.sink = Sink()

    def begin(self, *sources: StorageNode, arrived: Extents | None = None) -> Fetch:
        """
        One that has made its first plan.
        """
        object = DataObject("7", SIZE, ContentHash(BLAKE3_256, bytes(32)))
        fetch = Fetch(object, sources or (A,), self.nodes, self.clock, arrived or Extents(), self.sink, PATIENCE_S)
        self.addCleanup(self.assert_nothing_left, fetch)
        self.fetch = fetch
        self.plan()
        return fetch

    def assert_nothing_left(self, fetch: Fetch) -> None:
        """
        After its end, nothing waits and no place is taken.
        """
        fetch.stop()
        fetch.stop()
        self.assertEqual((self.clock.getDelayedCalls(), self.nodes.taken), ([], 0))

    def plan(self) -> None:
        """
        Facts have changed.
        """
        self.fetch.plan_soon()
        self.clock.advance(0)

    def read(self, *wanted: tuple[int, int]) -> None:
        """
        From now on this is what readers want.
        """
        self.sink.wanted = [Reading(*each) for each in wanted]
        self.plan()

    @property
    def last(self) -> Answer:
        """
        The answer to the last request.
        """
        return self.nodes.answers[-1]

    def trickle(self, answer: Answer, seconds: int, length: int = 10_000) -> None:
        """
        Let so many bytes come each second, in equal parts.
        """
        for _ in range(8 * seconds):
            if not answer.dropped:
                answer.give(length // 8)
            self.clock.advance(0.125)
        self.clock.advance(0)
