"""
Tests for L{distributor.web.fast.visit}: the first bytes of many answers, of an object that is on its way.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure

from distributor.devnet.faults import Cut, Ending, Fault
from distributor.model import FIRST_STEP, DiskFailed
from distributor.web.errors import SHUTTING_DOWN
from distributor.web.fast.coming import Coming
from distributor.web.fast.crowds import LONGEST_S
from distributor.web.fast.visit import Visit
from tests.web.fast.cold import CAME, COLD, COLD_ASSET, ColdCase
from tests.web.node_in_memory import answers


class FirstBytesTests(ColdCase):
    """
    What has come is sent to all who have had nothing before anybody gets more.
    """

    def setUp(self) -> None:
        super().setUp()
        self.lines = [self.line() for _ in range(3)]

    def begin(self, *fields: str) -> None:
        """
        Let all ask at one instant for an object of which some comes a little later, and then nothing.
        """
        self.faults.next.append(Fault(cut=Cut(CAME, Ending.STALL), delay_s=LONGEST_S / 2))
        for line in [self.first, *self.lines]:
            self.ask(line, COLD_ASSET, *fields)
        self.reactor.settle()
        self.assertEqual(len(self.node.gate), 1)
        self.node.clock.advance(LONGEST_S / 2)

    def test_heads(self) -> None:
        """
        They get the same head as everybody who joins a download; the first is a miss.
        """
        self.begin()
        for line in [self.first, *self.lines]:
            self.come(line, CAME)
        other = self.line()
        self.ask(other, COLD_ASSET, "X-Unheard-Of: 1")
        self.come(other, CAME)
        self.assertEqual(self.ordinary, [COLD_ASSET.encode("ascii")])
        [expected] = answers(other.received, ["GET"])
        for line in self.lines:
            [answer] = answers(line.received, ["GET"])
            made_up = "date", "x-request-id"
            self.assertEqual(answer.without(*made_up), expected.without(*made_up))
            self.assertEqual((answer["X-Cache"], answer["Content-Type"]), ("pending", "video/mp4"))
            self.assertTrue(answer.body == COLD[: len(answer.body)])
        self.assertEqual(answers(self.first.received, ["GET"])[0]["X-Cache"], "miss")
        self.assertEqual(self.node.upstream.ranges.count(None), 3)
        self.go_on()
        for line in [self.first, *self.lines]:
            self.assertTrue(self.find(line, "GET")[0].body == COLD)

    def test_little(self) -> None:
        """
        A range that is there as a whole is answered, and done with, at once; what was waited for is in the log.
        """
        self.node.access.flush()
        with capturedLogs() as events:
            self.begin("Range: bytes=100-1099", "X-Request-Id: little-1")
            for line in [self.first, *self.lines]:
                [answer] = self.find(line, "GET")
                self.assertTrue(answer.body == COLD[100:1100])
            self.node.access.flush()
        said = "".join(str(formatEvent(event)) for event in events)
        self.assertEqual(said.count(" 206 1000 B 0.003 s little-1"), 4, said)
        self.assertEqual(len(self.node.gate), 0)

    def test_in_the_file(self) -> None:
        """
        Who comes when much is in the file gets no more at once than the others.
        """
        self.begin()
        self.come(self.first, CAME)
        late = self.line()
        sent: list[int] = []
        run = Visit.run

        def watched(visit: Visit) -> Deferred[None] | None:
            running = run(visit)
            sent.append(visit.sent)
            return running

        self.patch(Visit, "run", watched)
        self.ask(late, COLD_ASSET)
        self.come(late, CAME)
        self.assertEqual(sent, [FIRST_STEP])

    def test_a_disk_that_fails(self) -> None:
        """
        Where the disk fails behind the first bytes of an answer, it goes on from a storage node.
        """
        self.begin()
        self.come(self.lines[0], FIRST_STEP)
        download = self.node.downloads.get("9")
        assert download is not None
        download.failed(DiskFailed("worn out"))
        for line in self.lines:
            self.assertTrue(self.find(line, "GET")[0].body == COLD)

    def test_nobody_may_come_in(self) -> None:
        """
        What is there is no reason to let anybody in.
        """
        self.begin()
        self.node.gate.close(SHUTTING_DOWN)
        self.come(self.first, CAME)
        for line in self.lines:
            line.take_to_the_end()
            self.assertEqual([each.status for each in answers(line.received, ["GET"])], [503])

    def test_unforeseen(self) -> None:
        """
        Trouble that nobody has thought of, behind the first bytes, cuts the connection; and nobody is left inside.
        """

        def trouble(*_: object) -> None:
            raise RuntimeError("unforeseen")

        self.patch(Visit, "_pump", trouble)
        self.begin()
        self.come(self.first, CAME)
        for line in self.lines:
            line.take_to_the_end()
            [answer] = answers(line.received, ["GET"])
            self.assertEqual((answer.body, line.ended), (COLD[:FIRST_STEP], "reset"))
        self.assertEqual(len(self.node.gate), 1)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), len(self.lines))

    def test_leaves_between(self) -> None:
        """
        Who leaves with its first bytes, before its turn for more, is inside no longer, and keeps no file.
        """
        turn = Coming._turn
        pumped: list[Visit] = []

        def leave(coming: Coming) -> None:
            for line in self.lines:
                line.transport.connectionLost(Failure(ConnectionDone()))
            turn(coming)

        self.patch(Coming, "_turn", leave)
        self.patch(Visit, "_pump", lambda visit, _: pumped.append(visit))
        self.begin()
        self.come(self.first, CAME)
        self.assertEqual((pumped, len(self.node.gate)), ([], 1))
        download = self.node.downloads.get("9")
        assert download is not None
        self.assertEqual(download.reader_count, 1)
