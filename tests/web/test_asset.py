"""
Tests for L{distributor.web.asset}: whole objects, in all states of the cache. Parts of them, conditions and HEAD
are in C{test_asset_selection}; what goes wrong is in C{test_asset_errors} and C{test_asset_cuts}.
"""

from __future__ import annotations

from attrs import evolve
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from distributor.devnet import Cut, Ending, Fault
from distributor.model import ContentHash
from tests.upstream import TIMEOUT_S, payload
from tests.web.node_in_memory import ASSET, NodeInMemory, Visit

CONTENT = payload(300_000)
CAME = 100_000

STATES = ("miss", "pending", "hit")

#: What an answer carries in whatever state.
ALWAYS = {
    "accept-ranges": "bytes",
    "content-disposition": "inline",
    "x-content-type-options": "nosniff",
    "content-security-policy": (
        "sandbox; default-src 'none'; media-src 'self'; img-src 'self'; style-src 'unsafe-inline'"
    ),
    "access-control-allow-origin": "*",
    "timing-allow-origin": "*",
    "cross-origin-resource-policy": "cross-origin",
}
FOR_EVER = "public, max-age=31536000, immutable"
NOT_YET = "public, max-age=180, must-revalidate"


class AssetCase(SynchronousTestCase):
    """
    A node that distributes one object.
    """

    def setUp(self) -> None:
        self.node = NodeInMemory(self, CONTENT)
        self.etag = f'"{self.node.upstream.listing.object.content_hash}"'

    def stall(self) -> Visit:
        """
        A client that has started a download, of which C{CAME} bytes have come.
        """
        self.node.upstream.nodes[0].faults.next.append(Fault(cut=Cut(CAME, Ending.STALL)))
        visit = self.node.visit()
        visit.send(ASSET)
        self.assertEqual(len(visit.answer.body), CAME)
        return visit

    def go_on(self) -> None:
        """
        The storage node has been silent for too long, and is asked for the rest.
        """
        self.node.clock.advance(TIMEOUT_S)
        self.node.settle()

    def bring_to(self, state: str) -> None:
        """
        Bring the object from its first state to another.
        """
        if state == "pending":
            self.stall()
        elif state == "hit":
            self.assertTrue(self.node.ask().whole)


class StatesTests(AssetCase):
    """
    Whole objects: missing, on their way, and there.
    """

    def test_miss(self) -> None:
        """
        The first GET starts the download, and gets all of it.
        """
        answer = self.node.ask()
        self.assertEqual((answer.status, answer.whole), (200, True))
        self.assertTrue(answer.body == CONTENT)
        expected = {
            "x-cache": "miss",
            "x-data-source": "local",
            "cache-control": NOT_YET,
            "cache-status": "distributor; fwd=miss; stored",
            "content-length": "300000",
            "content-type": "application/octet-stream",
            "etag": self.etag,
            "server-timing": "catalogue;dur=0.0, source;dur=0.0",
            **ALWAYS,
        }
        self.assertEqual({name: answer[name] for name in expected}, expected)
        self.assertEqual(self.node.upstream.ranges, [None])

    def test_hit(self) -> None:
        """
        From then on it comes from the disk, and neither the catalogue nor a storage node is asked.
        """
        self.node.ask()
        self.node.catalogue.asked.clear()
        answer = self.node.ask()
        self.assertTrue(answer.whole and answer.body == CONTENT)
        expected = {
            "x-cache": "hit",
            "x-data-source": "local",
            "cache-control": FOR_EVER,
            "cache-status": "distributor; hit",
            "content-length": "300000",
            "content-type": "application/octet-stream",
            "etag": self.etag,
            **ALWAYS,
        }
        self.assertEqual({name: answer[name] for name in expected}, expected)
        self.assertNotIn("server-timing", answer)
        self.assertEqual(self.node.catalogue.asked, [])
        self.assertEqual(self.node.upstream.ranges, [None])

    def test_pending(self) -> None:
        """
        Who comes while it is downloaded gets what is there, then what arrives; and nobody is asked twice for a byte.
        """
        first = self.stall()
        second, third = self.node.visit(), self.node.visit()
        second.send(ASSET)
        third.send(ASSET, "Range: bytes=50000-150000")
        expected = {
            "x-cache": "pending",
            "x-data-source": "local",
            "cache-control": NOT_YET,
            "cache-status": "distributor; fwd=miss; collapsed",
            "etag": self.etag,
            **ALWAYS,
        }
        for visit in (second, third):
            self.assertEqual({name: visit.answer[name] for name in expected}, expected)
            self.assertNotIn("server-timing", visit.answer)
        self.assertTrue(second.answer.body == CONTENT[:CAME])
        self.assertTrue(third.answer.body == CONTENT[50_000:CAME])
        self.go_on()
        for visit in (first, second):
            self.assertTrue(visit.answer.whole and visit.answer.body == CONTENT)
        self.assertTrue(third.answer.whole and third.answer.body == CONTENT[50_000:150_001])
        self.assertEqual(self.node.upstream.ranges, [None, "bytes=100000-299999"])
        self.assertEqual(self.node.catalogue.asked, ["7"])

    def test_at_one_instant(self) -> None:
        """
        Many who ask before anything has happened share one request, and each gets everything. Here all of it has come
        by the time the first has had its first bytes, which the others wait for.
        """
        visits = [self.node.visit() for _ in range(20)]
        for visit in visits:
            visit.put(ASSET)
        self.node.settle()
        for visit in visits:
            self.assertTrue(visit.answer.whole and visit.answer.body == CONTENT)
        self.assertEqual([visit.answer["X-Cache"] for visit in visits], ["miss"] + ["hit"] * 19)
        self.assertEqual(self.node.upstream.ranges, [None])

    def test_reader_leaves(self) -> None:
        """
        One who goes away harms nobody, and when the last goes away the download still completes (trap 1 of style.md:
        what they share is not cancelled with one of them).
        """
        first = self.stall()
        second = self.node.visit()
        second.send(ASSET)
        first.lose()
        self.assertEqual(second.answer.body, CONTENT[:CAME])
        third = self.node.visit()
        third.send(ASSET, "Range: bytes=200000-")
        self.assertEqual(third.answers, [])
        third.lose()
        second.lose()
        self.go_on()
        self.assertEqual(self.node.ask()["X-Cache"], "hit")
        self.assertEqual(self.node.upstream.ranges, [None, "bytes=100000-299999"])

    def test_leaves_before_the_head(self) -> None:
        """
        One who goes away before the first byte has come is no trouble, and the download goes on.
        """
        self.node.upstream.nodes[0].faults.next.append(Fault(delay_s=1.0))
        visit = self.node.visit()
        visit.put(ASSET)
        visit.lose()
        self.assertEqual(visit.answers, [])
        self.node.clock.advance(1)
        self.node.settle()
        self.assertEqual(self.node.ask()["X-Cache"], "hit")
        self.successResultOf(self.node.gate.empty())

    def test_last_byte(self) -> None:
        """
        The last byte stays here until all of the object has been verified; the one before does not.
        """
        self.node.upstream.nodes[0].faults.next.append(Fault(cut=Cut(len(CONTENT) - 1, Ending.STALL)))
        whole, last, before = (self.node.visit() for _ in range(3))
        whole.send(ASSET)
        last.send(ASSET, "Range: bytes=-1")
        before.send(ASSET, "Range: bytes=299998-299998")
        self.assertEqual(len(whole.answer.body), len(CONTENT) - 1)
        self.assertEqual(last.answers, [])
        self.assertEqual(before.answer.body, CONTENT[-2:-1])
        self.go_on()
        self.assertTrue(whole.answer.whole and last.answer.whole)
        self.assertEqual(last.answer.body, CONTENT[-1:])

    def test_keep_alive(self) -> None:
        """
        One connection serves requests one after another, in whatever state the object is, and pipelined ones too.
        """
        visit = self.node.visit()
        visit.send(ASSET)
        visit.send(ASSET, "Range: bytes=0-9")
        visit.put("/api/v1/asset/8")
        visit.put(ASSET, method="HEAD")
        visit.put(ASSET, "Range: bytes=0-1,5-6")
        visit.send(ASSET, "Range: bytes=-5")
        self.assertEqual([answer.status for answer in visit.answers], [200, 206, 404, 200, 206, 206])
        self.assertEqual(visit.answers[-1].body, CONTENT[-5:])
        self.assertIsNone(visit.wire.ended)

    def test_slow_reader(self) -> None:
        """
        A client that reads slowly costs about as much memory as its connection's buffer.
        """
        self.node.ask()
        visit = self.node.visit(room=64 * 1024)
        visit.send(ASSET)
        while visit.wire.value():
            visit.wire.take()
        self.assertTrue(visit.answer.whole and visit.answer.body == CONTENT)
        self.assertLess(visit.wire.most, 3 * 64 * 1024)

    def test_passed_through(self) -> None:
        """
        What is too large to keep is passed through, and says so; HEAD says the same.
        """
        self.node = NodeInMemory(self, CONTENT, largest_cached=len(CONTENT) - 1)
        head = self.node.ask(method="HEAD")
        self.assertEqual(self.node.upstream.requests, [])
        answer = self.node.ask()
        self.assertTrue(answer.whole and answer.body == CONTENT)
        for each in (head, answer):
            self.assertEqual(
                (each["X-Cache"], each["X-Data-Source"], each["Cache-Status"]),
                ("miss", "external", "distributor; fwd=miss"),
            )
        part = self.node.ask(ASSET, "Range: bytes=1000-1999")
        self.assertEqual((part.status, part.body), (206, CONTENT[1000:2000]))
        several = self.node.ask(ASSET, "Range: bytes=0-9,1000-1009")
        self.assertIn(CONTENT[1000:1010], several.body)
        self.assertEqual(self.node.upstream.ranges, [None, "bytes=1000-1999", "bytes=0-9", "bytes=1000-1009"])

    def test_no_room(self) -> None:
        """
        Where there is no room, the object is passed through all the same; that is told of once.
        """
        self.node = NodeInMemory(self, CONTENT, capacity=1000)
        with capturedLogs() as events:
            for _ in range(3):
                answer = self.node.ask()
                self.assertTrue(answer.whole and answer.body == CONTENT)
                self.assertEqual((answer["X-Cache"], answer["X-Data-Source"]), ("miss", "external"))
                self.assertEqual(answer["Cache-Status"], "distributor; fwd=miss")
        self.assertEqual([event["log_level"].name for event in events].count("error"), 1)


class EmptyObjectTests(SynchronousTestCase):
    """
    An object without a byte.
    """

    def setUp(self) -> None:
        self.node = NodeInMemory(self, b"")

    def test_states(self) -> None:
        """
        It is missing at first, then there; nothing has to be fetched for it.
        """
        for state in ("miss", "hit"):
            for method in ("HEAD", "GET"):
                answer = self.node.ask(method=method)
                self.assertEqual((answer.status, answer.body, answer.whole), (200, b"", True))
                self.assertEqual((answer["X-Cache"], answer["Content-Length"]), (state, "0"))
        self.assertEqual(self.node.upstream.requests, [])

    def test_ranges(self) -> None:
        """
        It has no satisfiable range.
        """
        for _ in range(2):
            for value in ("bytes=0-", "bytes=0-0", "bytes=-1"):
                answer = self.node.ask(ASSET, f"Range: {value}")
                self.assertEqual((answer.status, answer["Content-Range"]), (416, "bytes */0"))
            self.node.ask()

    def test_wrong_hash(self) -> None:
        """
        One that the catalogue takes for something else is not served.
        """
        listing = self.node.upstream.listing
        wrong = evolve(listing.object, content_hash=ContentHash(listing.object.content_hash.code, bytes(32)))
        self.node.catalogue.listings["7"] = evolve(listing, object=wrong)
        answer = self.node.ask()
        self.assertEqual(answer.status, 502)
        self.assertIn(b'"content_mismatch"', answer.body)


class AccessLogTests(AssetCase):
    """
    Each answer has one line in the log.
    """

    def lines(self, *fields: str, path: str = ASSET, method: str = "GET") -> list[str]:
        # The first one of a while is logged at once.
        self.node.access.flush()
        with capturedLogs() as events:
            self.node.ask(path, *fields, method=method)
            return [formatEvent(event) for event in events if "request_id" in event]

    def test_line(self) -> None:
        """
        It says who, what, how it went, how much, and which request.
        """
        [line] = self.lines("X-Request-Id: abc-1", "Range: bytes=0-9")
        self.assertRegex(line, r"192\.0\.2\.7.* GET /api/v1/asset/7 206 10 B 0\.000 s abc-1$")
        [line] = self.lines("X-Request-Id: abc-1", path="/api/v1/asset/8?download", method="HEAD")
        self.assertRegex(line, r" HEAD /api/v1/asset/8\?download 404 0 B .* abc-1$")

    def test_reader_gone(self) -> None:
        """
        Also for an answer whose reader has left, with what was sent; and no trouble is told of.
        """
        visit = self.stall()
        with capturedLogs() as events:
            visit.lose()
            lines = [formatEvent(event) for event in events]
        [line] = [line for line in lines if ASSET in line]
        self.assertIn(f"200 {CAME} B", line)
        self.assertEqual([event for event in events if event["log_level"].name != "info"], [])
