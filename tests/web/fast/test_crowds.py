"""
Tests for L{distributor.web.fast.crowds}: who follows whom, and many readers of one object at one instant.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from distributor.devnet.faults import Cut, Ending, Fault
from distributor.model import FIRST_STEP, DiskFailed
from distributor.web.errors import SHUTTING_DOWN
from distributor.web.fast.crowds import LONGEST_S, Crowds
from distributor.web.fast.head import PlainHead, plain_head
from tests.web.fast.test_exchange import CAME, COLD, COLD_ASSET, ColdCase
from tests.web.node_in_memory import answers


def head(target: str = "/api/v1/asset/7", *fields: str, method: str = "GET") -> PlainHead:
    """
    The head of a request.
    """
    lines = [f"{method} {target} HTTP/1.1", "Host: node", *fields, "", ""]
    plain = plain_head("\r\n".join(lines).encode("ascii"))
    assert plain is not None
    return plain


class CrowdsTests(SynchronousTestCase):
    """
    Who follows whom, and for how long.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.crowds = Crowds(self.clock)
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))

    def follow(self, plain: PlainHead) -> Deferred[float]:
        """
        Follow somebody.
        """
        waiting = self.crowds.follow(plain)
        assert waiting is not None
        return waiting

    def test_let_go(self) -> None:
        """
        Those who ask for the same, whatever else they say, follow the first until it has had something, in the order in
        which they have come.
        """
        self.assertIsNone(self.crowds.follow(head()))
        self.crowds.lead(head())
        begun: list[str] = []
        waiting = self.follow(head()).addCallback(lambda waited_s: begun.append(f"second, {waited_s * 1000:g} ms"))
        self.follow(head("/api/v1/asset/7", "User-Agent: other")).addCallback(lambda _: begun.append("third"))
        self.clock.advance(LONGEST_S / 2)
        self.assertEqual(begun, [])
        self.crowds.let_go(head())
        self.assertEqual(begun, [f"second, {LONGEST_S * 500:g} ms", "third"])
        self.successResultOf(waiting)
        self.assertIsNone(self.crowds.follow(head()))
        self.crowds.let_go(head())

    def test_not_for_long(self) -> None:
        """
        Where the first gets nothing soon, the others begin without it, and follow no more; until then, it leads those
        who come late, too.
        """
        self.crowds.lead(head())
        early = self.follow(head())
        self.clock.advance(LONGEST_S * 0.9)
        self.crowds.lead(head())
        late = self.follow(head())
        self.assertNoResult(early)
        self.clock.advance(LONGEST_S * 0.2)
        self.assertAlmostEqual(self.successResultOf(early), LONGEST_S * 1.1)
        self.successResultOf(late)
        self.assertIsNone(self.crowds.follow(head()))

    def test_others(self) -> None:
        """
        Who asks for another object, for another part, or for the head alone follows nobody.
        """
        self.crowds.lead(head())
        for other in head("/api/v1/asset/8"), head("/api/v1/asset/7", "Range: bytes=5-"), head(method="HEAD"):
            self.assertIsNone(self.crowds.follow(other))
            self.crowds.let_go(other)
        waiting = self.follow(head())
        self.crowds.let_go(head())
        self.successResultOf(waiting)

    def test_one_goes_away(self) -> None:
        """
        Who goes away takes nobody with it, whether it was its turn or not.
        """
        self.crowds.lead(head())
        gone, first, second = (self.follow(head()) for _ in range(3))
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        first.addCallback(lambda _: second.cancel())
        self.crowds.let_go(head())
        self.successResultOf(first)
        self.failureResultOf(second, CancelledError)


class CrowdTests(ColdCase):
    """
    Many who want the same of what is on its way, over real connections.
    """

    def setUp(self) -> None:
        super().setUp()
        # Nothing comes from the storage node before it is told to settle.
        self.ask(self.first, COLD_ASSET)
        self.reactor.settle()
        self.asked = list(self.node.upstream.ranges)
        self.crowd = [self.line() for _ in range(5)]

    def ask_all(self, *fields: str) -> None:
        """
        All ask for the object.
        """
        for line in self.crowd:
            self.ask(line, COLD_ASSET, *fields)
        self.reactor.settle()

    def test_one_request(self) -> None:
        """
        They follow the first for a moment, and the storage node is asked once; each gets everything.
        """
        self.ask_all()
        # Those who follow are not inside yet.
        self.assertEqual(len(self.node.gate), 1)
        self.node.clock.advance(LONGEST_S)
        self.assertEqual(len(self.node.gate), 1 + len(self.crowd))
        for line in self.crowd:
            [answer] = self.find(line, "GET")
            self.assertTrue(answer.body == COLD)
        self.assertTrue(self.find(self.first, "GET")[0].body == COLD)
        self.assertEqual(self.node.upstream.ranges, self.asked)

    def test_who_leads_leaves(self) -> None:
        """
        The others do not wait for one who has gone.
        """
        self.ask_all()
        self.first.hang_up()
        self.reactor.settle()
        self.assertEqual(len(self.node.gate), len(self.crowd))

    def test_who_follows_leaves(self) -> None:
        """
        It was never inside, and nothing is said of it.
        """
        self.ask_all()
        with capturedLogs() as events:
            for line in self.crowd[1:]:
                line.hang_up()
            self.reactor.settle()
            self.node.clock.advance(LONGEST_S)
        self.assertEqual(len(self.node.gate), 2)
        self.assertEqual([formatEvent(event) for event in events], [])

    def test_nobody_may_come_in_any_more(self) -> None:
        """
        Who follows when the node begins to stop is told so.
        """
        self.ask_all()
        self.node.gate.close(SHUTTING_DOWN)
        self.node.clock.advance(LONGEST_S)
        for line in self.crowd:
            line.take_to_the_end()
            [answer] = answers(line.received, ["GET"])
            self.assertEqual((answer.status, answer["Connection"]), (503, "close"))

    def test_requests_in_a_row(self) -> None:
        """
        What comes behind a request that follows is answered behind it.
        """
        line = self.crowd[0]
        self.ask(line, COLD_ASSET, "Range: bytes=0-9")
        self.ask(self.crowd[1], COLD_ASSET, "Range: bytes=0-9")
        self.ask(self.crowd[1], "/api/v1/asset/8", "Range: bytes=0-9")
        self.reactor.settle()
        self.assertEqual(self.crowd[1].received, b"")
        first, second = self.find(self.crowd[1], "GET", "GET")
        self.assertEqual((first.body, first["X-Cache"] in ("pending", "hit")), (COLD[:10], True))
        self.assertEqual(second["X-Cache"], "hit")


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

    def test_leaves_between(self) -> None:
        """
        Who leaves with its first bytes, before its turn for more, is inside no longer, and keeps no file.
        """
        hits = self.node.site._hits
        assert hits is not None
        turn = hits.coming.next_turn
        left = iter(self.lines)

        def leave() -> Deferred[None]:
            line = next(left)
            # Before the turn that is asked for.
            self.node.clock.callLater(0, line.transport.connectionLost, Failure(ConnectionDone()))
            return turn()

        self.patch(hits.coming, "next_turn", leave)
        self.begin()
        self.come(self.first, CAME)
        self.assertEqual((list(left), len(self.node.gate)), ([], 1))
        download = self.node.downloads.get("9")
        assert download is not None
        self.assertEqual(download.reader_count, 1)
