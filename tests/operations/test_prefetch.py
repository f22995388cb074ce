"""
Tests for L{distributor.operations.prefetch}.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from distributor.devnet import Fault
from distributor.model import (
    ByteRange,
    CatalogueUnavailable,
    DataObject,
    Listing,
    ObjectNotAccepted,
    ObjectNotDistributed,
    SourcesFailed,
)
from distributor.operations import prefetch
from distributor.operations.prefetch import AT_ONCE, PAUSE_S, Prefetch
from distributor.transfer import DownloadReader
from tests.operations.operated import Operated


class WaitingNode:
    """
    A node whose catalogue takes as long as a test wants.
    """

    def __init__(self, operated: Operated) -> None:
        self._operated = operated
        self.waiting: dict[str, Deferred[None]] = {}

    async def lookup(self, object_id: str) -> Listing:
        waiting = self.waiting[object_id] = Deferred()
        await waiting
        return await self._operated.lookup(object_id)

    def keeps(self, object: DataObject) -> bool:
        return True


class PrefetchCase(SynchronousTestCase):
    """
    A node that fetches before it is asked.
    """

    queue_length = 10
    at_once = 10

    def setUp(self) -> None:
        self.operated = Operated(self, queue_length=self.queue_length, at_once=self.at_once)
        self.operated.start()
        self.prefetch = Prefetch(self.operated.store, self.operated.downloads, self.operated, self.operated.clock)
        self.addCleanup(self.prefetch.stop)

    def want(self, *object_ids: str) -> dict[str, tuple[str, str | None]]:
        """
        What is answered.
        """
        return self.told(self.begin(*object_ids))

    def begin(self, *object_ids: str) -> Deferred[list[prefetch.Outcome]]:
        return Deferred.fromCoroutine(self.prefetch.add(object_ids))

    def told(self, asked: Deferred[list[prefetch.Outcome]]) -> dict[str, tuple[str, str | None]]:
        outcomes: list[prefetch.Outcome] = self.successResultOf(asked)
        return {outcome.object_id: (outcome.state.value, outcome.message) for outcome in outcomes}

    def shown(self, *names: str) -> list[object]:
        shown = self.prefetch.shown()
        return [shown[name] for name in names]


class OutcomeTests(PrefetchCase):
    """
    What becomes of an object.
    """

    def test_fetched(self) -> None:
        """
        An object that is not here comes, without a reader; then it is here.
        """
        self.assertEqual(self.want("7"), {"7": ("started", None)})
        [download] = self.operated.downloads
        self.assertEqual(download.reader_count, 0)
        self.assertEqual(self.shown("running", "done"), [["7"], 0])
        self.operated.settle()
        self.assertIsNotNone(self.operated.store.get("7"))
        self.assertEqual(self.shown("queued", "running", "done", "failed"), [0, [], 1, 0])
        self.assertEqual(self.want("7"), {"7": ("complete", None)})
        self.assertEqual(self.operated.looked_up, ["7"])

    def test_joined(self) -> None:
        """
        One that comes for somebody else is not fetched twice; nor is one that is wanted twice.
        """
        reader = self.operated.read("7")
        self.assertEqual(self.want("7"), {"7": ("started", None)})
        self.assertEqual(self.want("7"), {"7": ("started", None)})
        self.operated.settle()
        reader.close()
        self.assertEqual(len(self.operated.upstream.requests), 1)
        self.assertEqual(self.shown("done"), [1])

    def test_not_to_be_had(self) -> None:
        """
        What cannot be fetched says why, and is remembered.
        """
        self.operated.troubles = {"2": ObjectNotDistributed("2"), "3": ObjectNotAccepted("3")}
        expected = {
            "10": ("unknown", "the catalogue does not know it"),
            "2": ("refused", "it is other nodes' to distribute"),
            "3": ("refused", "it has not been uploaded yet"),
        }
        self.assertEqual(self.want("10", "2", "3"), expected)
        self.operated.largest = 10
        self.assertEqual(self.want("4"), {"4": ("refused", "larger than limits.maxCachedItemSize")})
        [failed, failures] = self.shown("failed", "failures")
        assert isinstance(failures, list)
        self.assertEqual((failed, [each["objectId"] for each in failures]), (4, ["10", "2", "3", "4"]))
        self.assertEqual(list(self.operated.downloads), [])

    def test_storage_nodes_fail(self) -> None:
        """
        A download that fails is a failure; the next wish is another try.
        """
        faults = self.operated.upstream.nodes[0].faults
        faults.always = Fault(status=500)
        self.want("7")
        self.operated.settle()
        self.assertEqual(self.shown("done", "failed", "running"), [0, 1, []])
        faults.always = Fault()
        self.want("7")
        self.operated.settle()
        self.assertEqual(self.shown("done"), [1])

    def test_unforeseen(self) -> None:
        """
        What nobody has thought of is logged, and the others go on.
        """
        self.operated.troubles["2"] = ZeroDivisionError()
        told = self.want("2", "7")
        self.assertEqual(told["2"][0], "refused")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.operated.settle()
        self.assertEqual(self.shown("done", "failed"), [1, 1])


class FeedingTests(PrefetchCase):
    """
    Many objects.
    """

    def test_a_few_at_a_time(self) -> None:
        """
        The others wait, and come one after another; a wish for one of those changes nothing.
        """
        told = self.want(*"123456789")
        self.assertEqual([told[each][0] for each in "123456789"], ["started"] * AT_ONCE + ["queued"] * (9 - AT_ONCE))
        self.assertEqual(len(self.operated.downloads), AT_ONCE)
        self.assertEqual(self.want("9"), {"9": ("queued", None)})
        seen = []
        start = self.operated.downloads.start

        def started(listing: Listing, ranges: Sequence[ByteRange]) -> DownloadReader:
            reader = start(listing, ranges)
            seen.append(len(self.operated.downloads))
            return reader

        self.patch(self.operated.downloads, "start", started)
        self.operated.settle()
        self.assertEqual(seen, [AT_ONCE] * (9 - AT_ONCE))
        self.assertEqual(self.shown("done", "queued"), [9, 0])
        self.assertEqual(sorted(self.operated.looked_up), list("123456789"))

    def test_ten_thousand(self) -> None:
        """
        Ten thousand that nobody knows are dealt with one after another, and not within each other.
        """
        told = self.want(*(str(number) for number in range(10, 10_010)))
        self.assertEqual({state for state, _ in told.values()}, {"unknown"})
        [failures] = self.shown("failures")
        assert isinstance(failures, list)
        self.assertEqual(len(failures), prefetch.MOST_FAILED)

    def test_bounded(self) -> None:
        """
        Beyond some number they are refused.
        """
        self.patch(prefetch, "MOST_QUEUED", 2)
        told = self.want(*"12345678")
        self.assertEqual([told[each][0] for each in "12345678"], ["started"] * 4 + ["queued"] * 2 + ["refused"] * 2)

    def test_forget(self) -> None:
        """
        Those that wait can be forgotten; those that come, come.
        """
        self.want(*"12345678")
        self.prefetch.forget()
        self.operated.settle()
        self.assertEqual(self.shown("done", "queued"), [4, 0])
        self.assertEqual(self.want("8")["8"][0], "started")

    def test_stop(self) -> None:
        """
        At the end nothing begins any more.
        """
        self.want(*"12345678")
        self.prefetch.stop()
        self.assertEqual(self.want("9"), {"9": ("refused", "the node is shutting down")})
        self.operated.settle()
        self.assertEqual(self.shown("done", "queued", "running"), [0, 0, []])


class WaitingTests(PrefetchCase):
    """
    What takes its time.
    """

    queue_length = 0
    at_once = 1

    def test_catalogue_is_down(self) -> None:
        """
        While the catalogue does not answer, it is asked now and then.
        """
        self.operated.troubles["7"] = CatalogueUnavailable()
        self.assertEqual(self.want("7"), {"7": ("queued", "has to wait: the catalogue cannot be reached")})
        self.operated.clock.advance(PAUSE_S)
        self.assertEqual(self.operated.looked_up, ["7", "7"])
        self.operated.troubles.clear()
        self.operated.clock.advance(PAUSE_S)
        self.operated.settle()
        self.assertEqual(self.shown("done"), [1])

    def test_viewers_first(self) -> None:
        """
        While viewers want all there is, a prefetch waits.
        """
        reader = self.operated.read("1")
        state, message = self.want("7")["7"]
        self.assertEqual(state, "queued")
        self.assertIn("has to wait", str(message))
        self.operated.settle()
        reader.close()
        self.operated.clock.advance(PAUSE_S)
        self.operated.settle()
        self.assertEqual(self.shown("done"), [1])

    def test_stop_while_it_waits(self) -> None:
        """
        The end does not wait for the next try.
        """
        self.operated.troubles["7"] = CatalogueUnavailable()
        self.want("7")
        self.prefetch.stop()
        self.assertEqual(self.operated.clock.getDelayedCalls(), [])
        self.assertEqual(self.shown("running", "failed"), [[], 0])

    def test_slow_catalogue(self) -> None:
        """
        The answer comes when it is known what becomes of those whose turn it was; each who waits gets it; and those who
        leave do not take it from others.
        """
        node = WaitingNode(self.operated)
        self.prefetch = Prefetch(self.operated.store, self.operated.downloads, node, self.operated.clock)
        self.addCleanup(self.prefetch.stop)
        first, second = self.begin(*"12345"), self.begin("2", "5")
        third = self.begin("2")
        self.assertNoResult(first)
        third.cancel()
        self.failureResultOf(third)
        self.assertEqual(list(node.waiting), list("1234"))
        self.operated.troubles["2"] = ObjectNotAccepted()
        node.waiting["2"].callback(None)
        self.assertEqual(self.told(second)["2"][0], "refused")
        self.assertNoResult(first)
        self.prefetch.stop()
        told = self.told(first)
        self.assertEqual((told["2"][0], told["5"][0]), ("refused", "queued"))

    def test_somebody_was_faster(self) -> None:
        """
        While the catalogue is asked, a viewer may have begun what is to be fetched.
        """
        node = WaitingNode(self.operated)
        self.prefetch = Prefetch(self.operated.store, self.operated.downloads, node, self.operated.clock)
        asked = self.begin("7")
        reader = self.operated.read("7")
        node.waiting["7"].callback(None)
        self.assertEqual(self.told(asked), {"7": ("started", None)})
        self.operated.settle()
        reader.close()
        self.assertEqual((self.shown("done"), len(self.operated.upstream.requests)), ([1], 1))

    def test_many_at_once(self) -> None:
        """
        Many that are dealt with as soon as it is their turn are so one after another, and not within each other.
        """
        node = WaitingNode(self.operated)
        self.prefetch = Prefetch(self.operated.store, self.operated.downloads, node, self.operated.clock)
        asked = self.begin(*(str(number) for number in range(10, 3010)))
        self.patch(node, "lookup", self.operated.lookup)
        for waiting in list(node.waiting.values()):
            waiting.callback(None)
        self.told(asked)
        self.assertEqual(self.shown("failed", "queued"), [3000, 0])
        [failures] = self.shown("failures")
        assert isinstance(failures, list)
        self.assertEqual({each["state"] for each in failures}, {"unknown"})

    def test_a_failed_one_is_being_put_away(self) -> None:
        """
        One whose download has just failed is tried once that has left.
        """
        reader = self.operated.read("7")
        [failing] = self.operated.downloads
        leaving: Deferred[None] = Deferred()
        self.patch(self.operated.downloads, "over", lambda download: leaving)
        self.patch(failing, "error", SourcesFailed())
        asked = self.begin("7")
        self.assertNoResult(asked)
        self.patch(self.operated.downloads, "get", lambda object_id: None)
        self.patch(self.operated.downloads, "start", lambda listing, ranges: reader)
        leaving.callback(None)
        self.assertEqual(self.told(asked), {"7": ("started", None)})
        self.assertEqual(self.operated.looked_up, ["7"])
