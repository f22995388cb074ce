"""
Tests for L{distributor.web.asset}: HEAD, ranges and conditions, in all states of the cache.
"""

from __future__ import annotations

import re

from distributor.devnet import Fault
from tests.web.node_in_memory import ASSET, Answer, NodeInMemory
from tests.web.test_asset import CONTENT, FOR_EVER, NOT_YET, STATES, AssetCase


class HeadTests(AssetCase):
    """
    HEAD says what GET would, and starts nothing.
    """

    def test_equals_get(self) -> None:
        """
        In each state its fields are GET's, but for what only the GET's own wait can tell.
        """
        for state in STATES:
            self.node = NodeInMemory(self, CONTENT)
            self.node.list("7", CONTENT, type="video/mp4")
            self.bring_to(state)
            asked = len(self.node.upstream.requests)
            for path in (ASSET, ASSET + "?download=a.mp4", "/api/v1/assets/7/"):
                head = self.node.ask(path, "X-Request-Id: one", method="HEAD")
                self.assertEqual((head.status, head.body, head["X-Cache"]), (200, b"", state))
            self.assertEqual(len(self.node.upstream.requests), asked, "HEAD has started a download")
            get = self.node.ask("/api/v1/assets/7/", "X-Request-Id: one")
            self.assertEqual(get["X-Cache"], state)
            self.assertEqual(head.without("date", "server-timing"), get.without("date", "server-timing"))
            self.assertEqual("server-timing" in head, "server-timing" in get)

    def test_range_is_ignored(self) -> None:
        """
        C{Range} is for GET alone; conditions are for both.
        """
        for state in STATES:
            self.node = NodeInMemory(self, CONTENT)
            self.bring_to(state)
            for value in ("bytes=0-9", "bytes=999999-", "bytes=0-1,5-6"):
                head = self.node.ask(ASSET, f"Range: {value}", method="HEAD")
                self.assertEqual((head.status, head["Content-Length"]), (200, "300000"))
            self.assertEqual(self.node.ask(ASSET, "If-None-Match: *", method="HEAD").status, 304)
            failed = self.node.ask(ASSET, 'If-Match: "other"', method="HEAD")
            self.assertEqual((failed.status, failed.body), (412, b""))

    def test_type_while_nothing_is_there(self) -> None:
        """
        While a download has not brought its first bytes, the catalogue's type is the best guess.
        """
        self.node.list("7", CONTENT, type="video/mp4")
        self.node.upstream.nodes[0].faults.next.append(Fault(hang=True))
        self.node.visit().send(ASSET)
        head = self.node.ask(method="HEAD")
        self.assertEqual((head["X-Cache"], head["Content-Type"]), ("pending", "video/mp4"))
        self.go_on()


class RangesTests(AssetCase):
    """
    Parts of an object, the same in each state.
    """

    def test_one(self) -> None:
        """
        A satisfiable range is a 206 of exactly its bytes.
        """
        cases = {
            "bytes=0-0": (0, 1),
            "bytes=10-19": (10, 20),
            "bytes=299990-": (299_990, 300_000),
            "bytes=-10": (299_990, 300_000),
            "bytes=-999999": (0, 300_000),
            "bytes=299999-999999": (299_999, 300_000),
            "bytes=0-9,5-14": (0, 15),
            "bytes=99990-100009": (99_990, 100_010),
        }
        for state in STATES:
            self.node = NodeInMemory(self, CONTENT)
            self.bring_to(state)
            visits = {value: self.node.visit() for value in cases}
            for value, visit in visits.items():
                visit.send(ASSET, f"Range: {value}")
            if state == "pending":
                self.go_on()
            for value, (start, stop) in cases.items():
                answer = visits[value].answer
                self.assertEqual(answer.status, 206, value)
                self.assertTrue(answer.whole and answer.body == CONTENT[start:stop], (state, value))
                self.assertEqual(answer["Content-Range"], f"bytes {start}-{stop - 1}/300000")
                self.assertEqual(answer["ETag"], self.etag)
            self.assertEqual(self.node.upstream.ranges[0], None)
            self.assertLessEqual(len(self.node.upstream.ranges), 2)

    def test_several(self) -> None:
        """
        Several ranges are parts of one body, whose length was told before.
        """
        wanted = [(0, 10), (200_000, 200_100), (299_999, 300_000), (50, 60)]
        value = ",".join(f"{start}-{stop - 1}" for start, stop in wanted)
        boundaries = set()
        for state in STATES:
            self.node = NodeInMemory(self, CONTENT)
            self.bring_to(state)
            visit = self.node.visit()
            visit.send(ASSET, f"Range: bytes={value}")
            if state == "pending":
                self.go_on()
            answer = visit.answer
            self.assertEqual((answer.status, answer.whole), (206, True))
            self.assertNotIn("content-range", answer)
            match = re.fullmatch(r"multipart/byteranges; boundary=([0-9a-f]{32})", answer["Content-Type"])
            assert match is not None
            boundaries.add(match[1])
            expected = b""
            for start, stop in wanted:
                expected += (
                    b"\r\n--%s\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes %d-%d/300000\r\n\r\n"
                    % (match[1].encode("ascii"), start, stop - 1)
                )
                expected += CONTENT[start:stop]
            expected += b"\r\n--%s--\r\n" % match[1].encode("ascii")
            self.assertEqual(answer.body, expected[2:])
        self.assertEqual(len(boundaries), 3, "a boundary can be guessed")

    def test_unsatisfiable(self) -> None:
        """
        Where there is nothing of what was asked for, that is said, and nothing is downloaded for it.
        """
        for state in STATES:
            self.node = NodeInMemory(self, CONTENT)
            self.bring_to(state)
            asked = len(self.node.upstream.requests)
            for value in ("bytes=300000-", "bytes=300000-300001,400000-", "bytes=-0"):
                answer = self.node.ask(ASSET, f"Range: {value}")
                self.assertEqual((answer.status, answer["Content-Range"]), (416, "bytes */300000"))
                self.assertIn(b'"range_not_satisfiable"', answer.body)
                self.assertTrue(answer.whole)
                self.assertEqual(answer["Cache-Control"], "no-store")
            self.assertEqual(len(self.node.upstream.requests), asked)

    def test_ignored(self) -> None:
        """
        What is no range of bytes is as if it were not there (trap 5 of style.md).
        """
        many = "bytes=" + ",".join(f"{start}-{start}" for start in range(0, 18, 2))
        self.bring_to("hit")
        for value in ("bytes=", "bytes=a-b", "bytes=5-1", "bytes=1_0-", "bytes=+1-", "lines=0-9", "0-9", "", many):
            answer = self.node.ask(ASSET, f"Range: {value}")
            self.assertEqual((answer.status, len(answer.body)), (200, len(CONTENT)), value)
            self.assertNotIn("content-range", answer)

    def test_range_waits_for_its_bytes(self) -> None:
        """
        A range that is not there yet gets its head with its first byte, not before.
        """
        self.stall()
        visit = self.node.visit()
        visit.send(ASSET, "Range: bytes=200000-200009")
        self.assertEqual(visit.answers, [])
        self.go_on()
        self.assertEqual(visit.answer.body, CONTENT[200_000:200_010])


class ConditionsTests(AssetCase):
    """
    Conditional requests, in each state; none of them starts a download in vain.
    """

    def ask(self, *fields: str) -> Answer:
        return self.node.ask(ASSET, *fields)

    def test_not_modified(self) -> None:
        """
        A client that has the object is told so.
        """
        for state in STATES:
            self.node = NodeInMemory(self, CONTENT)
            self.bring_to(state)
            asked = len(self.node.upstream.requests)
            for value in (self.etag, f"W/{self.etag}", f'"other", {self.etag}', "*"):
                answer = self.ask(f"If-None-Match: {value}", "Range: bytes=0-9")
                self.assertEqual((answer.status, answer.body), (304, b""))
                self.assertEqual(answer["ETag"], self.etag)
                self.assertEqual(answer["Cache-Control"], FOR_EVER if state == "hit" else NOT_YET)
                self.assertEqual(answer["X-Cache"], state)
            self.assertEqual(len(self.node.upstream.requests), asked)

    def test_failed(self) -> None:
        """
        A client that wants another object is told that there is none, and gets nothing of this one.
        """
        for state in STATES:
            self.node = NodeInMemory(self, CONTENT)
            self.bring_to(state)
            asked = len(self.node.upstream.requests)
            for value in ('"other"', f"W/{self.etag}", ""):
                answer = self.ask(f"If-Match: {value}", "Range: bytes=999999-")
                self.assertEqual(answer.status, 412, value)
                self.assertIn(b'"precondition_failed"', answer.body)
            self.assertEqual(len(self.node.upstream.requests), asked)

    def test_met(self) -> None:
        """
        A condition that is met changes nothing.
        """
        self.bring_to("hit")
        for field in (f"If-Match: {self.etag}", "If-Match: *", 'If-None-Match: "other"', "If-None-Match: "):
            self.assertEqual(self.ask(field, "Range: bytes=0-9").status, 206, field)

    def test_if_range(self) -> None:
        """
        A range of this very object is given; for any other, and for a date, the whole is.
        """
        for state in STATES:
            self.node = NodeInMemory(self, CONTENT)
            self.bring_to(state)
            answer = self.ask("Range: bytes=0-9", f"If-Range: {self.etag}")
            self.assertEqual((answer.status, answer.body), (206, CONTENT[:10]))
        for value in ('"other"', f"W/{self.etag}", "Tue, 24 Nov 2026 08:00:00 GMT"):
            answer = self.ask("Range: bytes=0-9", f"If-Range: {value}")
            self.assertEqual((answer.status, len(answer.body)), (200, len(CONTENT)), value)
