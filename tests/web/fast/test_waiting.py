"""
Tests for L{distributor.web.fast.waiting}: answers that wait for what is on its way.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent

from distributor.devnet.faults import Cut, Ending, Fault
from distributor.model import DiskFailed, DistributorError, IReader, NoRoom, Overloaded, SourcesFailed
from distributor.web.errors import SHUTTING_DOWN
from distributor.web.fast.coming import Coming
from distributor.web.fast.crowds import LONGEST_S
from distributor.web.fast.hits import Hits
from distributor.web.fast.waiting import WaitingVisit
from tests.delivery.sockets import Line
from tests.upstream import TIMEOUT_S
from tests.web.fast.cold import CAME, COLD, COLD_ASSET, ColdCase
from tests.web.fast.hits import SMALL, SMALL_ASSET
from tests.web.node_in_memory import Answer, answers

#: Where nothing has come, in bytes, and what would be sent of it; too far for the download to be there soon.
SOUGHT = 500_000
PART = COLD[SOUGHT : SOUGHT + 1000]
SEEK = f"Range: bytes={SOUGHT}-{SOUGHT + 999}"


class WaitingTests(ColdCase):
    """
    Somebody reads an object, of which some has come, and no more does; it is known by now that this takes time.
    """

    def setUp(self) -> None:
        super().setUp()
        self.stall()
        self.node.clock.advance(TIMEOUT_S / 2)
        self.ordinary.clear()
        self.other = self.line()
        self.asked = list(self.node.upstream.ranges)
        # A file with holes is longer than what is in it.
        self.addCleanup(self.complete)

    def complete(self) -> None:
        """
        Let the download come to its end.
        """
        self.faults.next.clear()
        self.faults.always = Fault()
        for _ in range(4):
            self.go_on()

    def seek(self, *faults: Fault) -> None:
        """
        Another one asks for what has not come.
        """
        self.faults.next.extend(faults)
        self.ask(self.other, COLD_ASSET, SEEK)
        self.reactor.settle()

    def found(self) -> Answer:
        """
        What it gets.
        """
        [answer] = self.find(self.other, "GET")
        return answer

    def break_off(self, error: DistributorError) -> None:
        """
        The download comes to its end.
        """
        download = self.node.downloads.get("9")
        assert download is not None
        download.failed(error)

    def test_seek(self) -> None:
        """
        Who seeks has a storage node asked at once, and the same answer as in the ordinary way.
        """
        self.seek()
        # Storage nodes in memory answer in the same moment.
        self.other.take(10_000)
        [answer] = answers(self.other.received, ["GET"])
        self.assertTrue(answer.body == PART)
        self.assertEqual(self.node.upstream.ranges, [*self.asked, f"bytes={SOUGHT}-{len(COLD) - 1}"])
        self.assertEqual((answer.status, answer["X-Cache"], answer["X-Data-Source"]), (206, "pending", "external"))
        self.assertEqual(self.ordinary, [])
        self.assertEqual(len(self.node.gate), 1)

    def test_as_in_the_ordinary_way(self) -> None:
        """
        It makes no difference which way an answer has gone.
        """
        said: list[tuple[Line, int]] = []
        for field in "Accept: */*", "X-Unheard-Of: 1":
            line = self.line()
            start = CAME + 10 * len(said)
            self.ask(line, COLD_ASSET, f"Range: bytes={start}-{start + 9}", field)
            self.reactor.settle()
            said.append((line, start))
        self.go_on()
        fields = []
        for line, start in said:
            [answer] = self.find(line, "GET")
            self.assertEqual((answer.body, answer["X-Data-Source"]), (COLD[start : start + 10], "local"))
            fields.append(answer.without("date", "x-request-id", "content-range"))
        self.assertEqual(fields[0], fields[1])
        self.assertEqual(self.ordinary, [COLD_ASSET.encode("ascii")])

    def test_type(self) -> None:
        """
        What the object is, is said as its first bytes have it.
        """
        picture = b"\x89PNG\r\n\x1a\n" + COLD
        self.node.list("10", picture)
        self.faults.next.append(Fault(delay_s=1))
        lines = [self.line(), self.line()]
        for line in lines:
            self.ask(line, "/api/v1/asset/10", f"Range: bytes={10 * lines.index(line)}-20")
        self.reactor.settle()
        self.node.clock.advance(1)
        for line in lines:
            [answer] = self.find(line, "GET")
            self.assertEqual(answer["Content-Type"], "image/png")
        self.assertEqual(answer["X-Cache"], "pending")

    def passed_through(self, error: DistributorError) -> None:
        """
        The disk fails while somebody waits, and the answer comes from a storage node.
        """
        self.seek(Fault(delay_s=1))
        self.break_off(error)
        answer = self.found()
        self.assertTrue(answer.body == PART)
        self.assertEqual((answer["X-Cache"], answer["X-Data-Source"]), ("miss", "external"))
        self.assertEqual(answer["Cache-Status"], "distributor; fwd=miss")

    def test_no_room(self) -> None:
        """
        Where there is no room any more, that is all that is wrong.
        """
        self.passed_through(NoRoom("full"))

    def test_disk(self) -> None:
        """
        Nor is anything else, where the disk has failed.
        """
        self.passed_through(DiskFailed("worn out"))

    def test_trouble(self) -> None:
        """
        Other trouble is told as in the ordinary way, and what comes behind is answered.
        """
        channel = self.other.transport.protocol
        channel.setTimeout(30)
        self.seek(Fault(delay_s=1))
        self.ask(self.other, SMALL_ASSET)
        self.assertIsNone(channel.timeOut)
        self.break_off(SourcesFailed("gone"))
        first, second = self.find(self.other, "GET", "GET")
        self.assertEqual((first.status, second.body == SMALL), (502, True))
        # A client may be idle again, for as long as before.
        self.assertEqual(channel.timeOut, 30)
        self.first.hang_up()
        self.reactor.settle()
        self.assertEqual(len(self.node.gate), 0)

    def test_patience(self) -> None:
        """
        Who has waited too long is asked to come again; nobody waits twice.
        """
        waits: list[Deferred[None]] = []

        def wait(reader: IReader, offset: int) -> Deferred[None]:
            waits.append(Deferred())
            return waits[-1]

        self.patch(self.node.node, "wait", wait)
        self.seek(Fault(delay_s=1))
        [waiting] = waits
        waiting.errback(Overloaded("no byte within 60 s"))
        answer = self.found()
        self.assertEqual((answer.status, answer["Retry-After"], len(waits)), (503, "5", 1))

    def test_leaves(self) -> None:
        """
        Who leaves meanwhile is inside no longer, nor does it read the download; the log has it.
        """
        self.node.access.flush()
        download = self.node.downloads.get("9")
        assert download is not None
        with capturedLogs() as events:
            self.seek(Fault(delay_s=1))
            first_bytes = sum(self.node.tally.first_byte.counts)
            self.assertEqual(download.reader_count, 2)
            self.other.hang_up()
            self.reactor.settle()
            self.node.access.flush()
        self.assertEqual((download.reader_count, len(self.node.gate)), (1, 1))
        [line] = [str(formatEvent(event)) for event in events]
        self.assertIn(f"{COLD_ASSET} 206 0 B", line)
        self.assertEqual(sum(self.node.tally.first_byte.counts), first_bytes)

    def test_thrown_out(self) -> None:
        """
        Who waits when the node stops does not keep it.
        """
        self.seek(Fault(delay_s=1))
        self.node.gate.throw_out()
        self.reactor.settle()
        self.assertEqual(len(self.node.gate), 0)

    def test_inside(self) -> None:
        """
        Who turns to storage nodes when the node has begun to stop, or when no more may come in, is inside already; and
        it is so throughout.
        """
        self.seek(Fault(delay_s=1))
        empty: list[None] = []
        self.node.gate.empty().addCallback(empty.append)
        self.first.hang_up()
        self.reactor.settle()
        self.node.gate.close(SHUTTING_DOWN)
        self.break_off(DiskFailed("worn out"))
        self.assertEqual(empty, [])
        self.assertTrue(self.found().body == PART)
        self.assertEqual((empty, len(self.node.gate)), ([None], 0))

    def test_how_long(self) -> None:
        """
        The time that was spent in vain is part of what it took.
        """
        self.seek(Fault(delay_s=1))
        self.node.clock.advance(0.5)
        self.break_off(DiskFailed("worn out"))
        self.assertIn("source;dur=500", self.found()["Server-Timing"])

    def test_queued(self) -> None:
        """
        Where a download has still to begin when it is joined, it is seen then who seeks.
        """
        self.patch(self.node.downloads, "_at_once", 1)
        self.node.list("10", COLD[::-1], type="video/mp4")
        lines = [self.line() for _ in range(3)]
        for line, field in zip(lines, ("Accept: */*", "Accept: */*", "X-Unheard-Of: 1"), strict=True):
            self.ask(line, "/api/v1/asset/10", SEEK, field)
            self.reactor.settle()
            self.node.clock.advance(LONGEST_S)
        self.go_on()
        said = [self.find(line, "GET")[0] for line in lines]
        self.assertEqual([(each.status, each["X-Data-Source"]) for each in said], [(206, "external")] * 3)

    def test_cut_when_in_vain(self) -> None:
        """
        On a connection that is being cut nothing is begun, and the log has it.
        """
        self.seek(Fault(delay_s=1))
        self.node.access.flush()
        lost = self.other.transport.protocol
        self.patch(lost, "_over", True)
        with capturedLogs() as events:
            self.break_off(DiskFailed("worn out"))
            self.node.settle()
            self.node.access.flush()
        self.assertIn(f"{COLD_ASSET} 206 0 B", "".join(str(formatEvent(event)) for event in events))
        self.first.hang_up()
        self.reactor.settle()
        self.assertEqual(len(self.node.gate), 0)

    def test_crowd(self) -> None:
        """
        Those who seek for the same at one instant follow the first, and have it when that has it.
        """
        lines = [self.line() for _ in range(3)]
        self.seek(Fault(delay_s=LONGEST_S / 2))
        for line in lines:
            self.ask(line, COLD_ASSET, SEEK)
        self.reactor.settle()
        self.assertEqual(len(self.node.gate), 2)
        self.node.clock.advance(LONGEST_S / 2)
        for line in [self.other, *lines]:
            self.assertTrue(self.find(line, "GET")[0].body == PART)
        self.assertEqual(len(self.node.upstream.ranges), len(self.asked) + 1)

    def test_crowd_that_wants_much(self) -> None:
        """
        Nor do those who follow wait until the first has had everything.
        """
        lines = [self.line() for _ in range(3)]
        self.faults.next.append(Fault(delay_s=LONGEST_S / 2, cut=Cut(50_000, Ending.STALL)))
        for line in [self.other, *lines]:
            self.ask(line, COLD_ASSET, f"Range: bytes={SOUGHT}-")
        self.reactor.settle()
        self.assertEqual(len(self.node.gate), 2)
        self.node.clock.advance(LONGEST_S / 2)
        self.node.upstream.pump()
        self.node.clock.advance(0)
        self.assertEqual(len(self.node.gate), 2 + len(lines))
        for line in [self.other, *lines]:
            self.come(line, 50_000)

    def test_crowd_of_one_who_leaves(self) -> None:
        """
        Those who follow do not wait for one who has gone.
        """
        line = self.line()
        self.seek(Fault(delay_s=1))
        self.ask(line, COLD_ASSET, SEEK)
        self.reactor.settle()
        self.other.hang_up()
        self.reactor.settle()
        self.assertEqual(len(self.node.gate), 2)
        self.node.clock.advance(1)
        self.assertTrue(self.find(line, "GET")[0].body == PART)

    def unforeseen(self, of: type, name: str) -> None:
        """
        Trouble that nobody has thought of ends the connection, and nobody is left inside.
        """

        def trouble(*_: object) -> None:
            raise RuntimeError("unforeseen")

        self.patch(of, name, trouble)
        self.seek()
        self.node.settle()
        self.other.take_to_the_end()
        self.assertEqual((self.other.received, self.other.ended), (b"", "reset"))
        self.assertEqual((len(self.node.gate), len(self.flushLoggedErrors(RuntimeError))), (1, 1))

    def test_trouble_with_the_head(self) -> None:
        """
        So where it is decided what to say.
        """
        self.unforeseen(Coming, "settled")

    def test_trouble_with_the_bytes(self) -> None:
        """
        So where they are sent.
        """
        self.unforeseen(WaitingVisit, "run")

    def test_trouble_behind(self) -> None:
        """
        So where what comes behind is looked at: nobody is left to wait for its time-out.
        """
        self.seek(Fault(delay_s=1))
        self.ask(self.other, SMALL_ASSET)
        self.reactor.settle()

        def trouble(*_: object) -> None:
            raise RuntimeError("unforeseen")

        self.patch(Hits, "decide", trouble)
        self.node.clock.advance(1)
        self.node.settle()
        self.other.take_to_the_end()
        self.assertEqual((answers(self.other.received, ["GET"])[0].body, self.other.ended), (PART, "reset"))
        self.assertEqual((len(self.node.gate), len(self.flushLoggedErrors(RuntimeError))), (1, 1))
