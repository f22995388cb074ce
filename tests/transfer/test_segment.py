"""
Tests for L{distributor.transfer.segment}, against a storage node in memory.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from distributor.devnet import Cut, Ending, Fault
from distributor.model import ByteRange, FaultKind
from distributor.transfer.segment import Segment
from tests.transfer.segment_sink import Sink
from tests.upstream import AT_ONCE, TIMEOUT_S, Upstream, payload

CONTENT = payload(300_000)


class SegmentTests(SynchronousTestCase):
    """
    A segment passes on a run of bytes, in order, and ends once.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.upstream = Upstream(self, self.clock, CONTENT)
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))

    def segment(self, sink: Sink, start: int = 0, stop: int = len(CONTENT), fault: Fault | None = None) -> Segment:
        """
        One that has been started.
        """
        if fault is not None:
            self.upstream.nodes[0].faults.always = fault
        segment = Segment(
            self.upstream.client,
            self.upstream.addresses[0],
            "7",
            len(CONTENT),
            ByteRange(start, stop),
            sink,
            self.clock,
        )
        segment.start()
        self.upstream.flush()
        return segment

    def test_all_of_it(self) -> None:
        """
        All bytes come, then the end without an error.
        """
        sink = Sink()
        self.segment(sink)
        self.assertTrue(sink.data == CONTENT)
        self.assertEqual(sink.ends, [None])

    def test_a_part(self) -> None:
        """
        A part comes under its offset.
        """
        sink = Sink()
        self.segment(sink, 1000, 200_000)
        self.assertTrue(sink.data == CONTENT[1000:200_000])
        self.assertEqual((sink.start, sink.ends), (1000, [None]))

    def test_range_ignored(self) -> None:
        """
        Where the node ignores C{Range}, the whole object comes, under its own offsets.
        """
        sink = Sink()
        segment = self.segment(sink, 1000, 2000, Fault(ignore_range=True))
        self.assertTrue(sink.data == CONTENT)
        self.assertEqual((sink.start, segment.stop_offset, sink.ends), (0, len(CONTENT), [None]))

    def test_broken_off(self) -> None:
        """
        A body that ends early, in order or not, is an error; what had come stays.
        """
        for ending in (Ending.CLOSE, Ending.RESET):
            sink = Sink()
            self.segment(sink, fault=Fault(cut=Cut(100_000, ending)))
            self.clock.advance(1)
            self.upstream.flush()
            self.assertTrue(sink.data == CONTENT[:100_000])
            [error] = sink.ends
            self.assertIn("broke off at 100000 of 300000", str(error))
            evidence = self.upstream.reported.pop()
            self.assertEqual(
                (evidence.kind, evidence.expected, evidence.got), (FaultKind.EARLY_END, "300000", "100000")
            )
            self.assertEqual((evidence.object_id, evidence.bucket, evidence.bytes), ("7", "0", 100_000))
        self.assertEqual(self.upstream.reported, [])

    def test_standing(self) -> None:
        """
        It is remembered of the node whether it brought what it was to; one that was stopped in the middle had brought
        what there was time for.
        """
        [told] = self.after(lambda: self.segment(Sink(), fault=Fault(cut=Cut(100_000, Ending.CLOSE))))
        self.assertEqual((told["failures"], told["breaker"]), (1, "closed"))
        self.assertIn("broke off", str(told["lastError"]))
        self.after(lambda: self.segment(Sink(), fault=Fault(status=500)))
        [told] = self.after(lambda: self.segment(Sink(), fault=Fault(status=500)))
        self.assertEqual((told["failures"], told["breaker"]), (3, "open"))
        [told] = self.after(lambda: self.segment(Sink(), fault=Fault()))
        self.assertEqual((told["failures"], told["breaker"]), (3, "closed"))

    def after(self, begin: Callable[[], Segment]) -> list[dict[str, object]]:
        """
        What is known of the node when a segment is over.
        """
        begin()
        self.clock.advance(1)
        self.upstream.flush()
        return self.upstream.client.standings.explain(self.upstream.addresses)

    def test_silence(self) -> None:
        """
        A body that stops coming is an error after the time-out.
        """
        sink = Sink()
        self.segment(sink, fault=Fault(cut=Cut(100_000, Ending.STALL)))
        self.clock.advance(TIMEOUT_S - 0.1)
        self.assertEqual(sink.ends, [])
        self.clock.advance(0.2)
        [error] = sink.ends
        assert error is not None
        self.assertTrue(error.timed_out)
        # It might have gone on.
        self.assertEqual(self.upstream.reported, [])

    def test_refused(self) -> None:
        """
        An answer that is not usable is an error, and none of it comes.
        """
        sink = Sink()
        self.segment(sink, fault=Fault(status=404))
        self.assertEqual((sink.data, [str(end) for end in sink.ends]), (b"", ["status 404"]))

    def test_a_place_for_each(self) -> None:
        """
        No more segments than the limit ask at once; another one does when one of them is over, or never, if it is
        stopped before.
        """
        asking = [self.segment(Sink(), fault=Fault(hang=True)) for _ in range(AT_ONCE)]
        waiting, stopped = self.segment(Sink()), self.segment(Sink())
        self.assertEqual(len(self.upstream.requests), AT_ONCE)
        stopped.stop()
        for segment in asking:
            segment.stop()
        self.upstream.flush()
        self.assertEqual(len(self.upstream.requests), AT_ONCE + 1)
        waiting.stop()

    def test_stop_while_asking(self) -> None:
        """
        A segment can be stopped before there is an answer.
        """
        sink = Sink()
        segment = self.segment(sink, fault=Fault(hang=True))
        segment.stop()
        segment.stop()
        self.clock.advance(2 * TIMEOUT_S)
        self.assertEqual((sink.data, sink.ends), (b"", []))
