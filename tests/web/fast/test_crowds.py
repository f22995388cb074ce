"""
Tests for L{distributor.web.fast.crowds}: who follows whom, and many readers of one object at one instant.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from distributor.web.errors import SHUTTING_DOWN
from distributor.web.fast.crowds import LONGEST_S, Crowds
from distributor.web.fast.head import PlainHead
from tests.web.fast.cold import COLD, COLD_ASSET, ColdCase, head
from tests.web.fast.hits import SMALL, SMALL_ASSET
from tests.web.node_in_memory import answers


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
        self.assertAlmostEqual(self.successResultOf(late), LONGEST_S * 0.2)
        self.assertIsNone(self.crowds.follow(head()))

    def test_others(self) -> None:
        """
        Who asks for another object, for another part, for the head alone, or under a condition follows nobody.
        """
        self.crowds.lead(head())
        for other in (
            head("/api/v1/asset/8"),
            head("/api/v1/asset/7", "Range: bytes=5-"),
            head("/api/v1/asset/7", "If-None-Match: *"),
            head(method="HEAD"),
        ):
            self.assertIsNone(self.crowds.follow(other))
            self.crowds.let_go(other)
        waiting = self.follow(head())
        self.crowds.let_go(head())
        self.successResultOf(waiting)

    def test_all(self) -> None:
        """
        All can be let go at once, whomever they follow.
        """
        heads = [head(f"/api/v1/asset/{number}") for number in range(3)]
        for plain in heads:
            self.crowds.lead(plain)
        waiting = [self.follow(plain) for plain in heads]
        self.crowds.let_all_go()
        for each in waiting:
            self.successResultOf(each)

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

    def test_look(self) -> None:
        """
        Who follows looks whether the storage node has answered meanwhile. Once it has, nobody follows any more.
        """
        looked: list[int] = []

        def look() -> None:
            looked.append(len(looked))
            if len(looked) == 3:
                self.node.settle()

        self.patch(self.node.node, "look", look)
        self.ask_all()
        self.assertEqual(looked, [0, 1, 2])
        for line in [self.first, *self.crowd]:
            self.assertTrue(self.find(line, "GET")[0].body == COLD)
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
        self.node.access.flush()
        with capturedLogs() as events:
            for line in self.crowd[1:]:
                line.hang_up()
            self.reactor.settle()
            self.node.clock.advance(LONGEST_S)
            self.node.access.flush()
        self.assertEqual(len(self.node.gate), 2)
        self.assertEqual([formatEvent(event) for event in events], [])

    def test_cut(self) -> None:
        """
        Nothing is begun with on a connection that is being cut.
        """
        self.ask_all()
        self.node.site.cut()
        inside = len(self.node.gate)
        self.node.clock.advance(LONGEST_S)
        self.assertLessEqual(len(self.node.gate), inside)

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
        self.assertEqual(first.body, COLD[:10])
        self.assertEqual(second["X-Cache"], "hit")

    def test_more_than_is_read_ahead(self) -> None:
        """
        Where a client has sent so many requests that no more of them are read while one follows, they are read on when
        all of them have been answered at once.
        """
        leads, line = self.crowd[:2]
        for each in leads, line:
            self.ask(each, COLD_ASSET, "Range: bytes=0-9")
        for _ in range(3):
            self.ask(line, SMALL_ASSET, "Range: bytes=0-9", f"Cookie: {'x' * 7000}")
        self.reactor.settle()
        self.assertNotIn(line.transport, self.reactor.getReaders())
        self.assertEqual([each.body for each in self.find(line, *["GET"] * 4)], [COLD[:10], *[SMALL[:10]] * 3])
        self.ask(line, SMALL_ASSET)
        self.assertTrue(self.find(line, *["GET"] * 5)[-1].body == SMALL)

    def test_no_byte_is_needed(self) -> None:
        """
        Who is told that it has the object already follows nobody.
        """
        line = self.crowd[0]
        self.ask(line, COLD_ASSET, "If-None-Match: *")
        # Nothing comes from the storage node meanwhile.
        line.take(10_000)
        self.assertEqual([each.status for each in answers(line.received, ["GET"])], [304])

    def test_unforeseen(self) -> None:
        """
        Trouble that nobody has thought of ends the connection of who follows.
        """

        def trouble(*_: object) -> None:
            raise RuntimeError("unforeseen")

        self.ask_all()
        self.patch(self.node.node, "coming", trouble)
        self.node.clock.advance(LONGEST_S)
        for line in self.crowd:
            line.take_to_the_end()
            self.assertEqual((line.received, line.ended), (b"", "reset"))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), len(self.crowd))

    def test_all_connections_are_closed(self) -> None:
        """
        Who still follows when the last of those inside has gone is told that the node stops, and why its connection
        ends.
        """
        self.ask_all()
        self.node.gate.close(SHUTTING_DOWN)
        following: list[bool] = []

        def close(_: None) -> None:
            self.node.site.close()
            following.extend(line.transport.protocol._answering is not None for line in self.crowd)

        self.node.gate.empty().addCallback(close)
        self.first.hang_up()
        self.reactor.settle()
        # With TLS, nothing could be said to them any more.
        self.assertEqual(following, [False] * len(self.crowd))
        for line in self.crowd:
            line.take_to_the_end()
            self.assertEqual([each.status for each in answers(line.received, ["GET"])], [503])
