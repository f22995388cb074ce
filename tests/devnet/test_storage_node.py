"""
Tests for L{distributor.devnet.storage_node}.
"""

from __future__ import annotations

import gzip
import json
from collections import deque
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from distributor.devnet.faults import Cut, Drip, Ending, Fault
from distributor.devnet.media_file import MediaFile
from distributor.devnet.storage_node import StorageNode, answer
from distributor.model import ByteRange
from tests.devnet.connection import Connection, Received

CONTENT = b"%PDF-1.4\n" + bytes(range(256)) * 4
SIZE = len(CONTENT)
FILE = MediaFile(Path("unused"), SIZE, "application/pdf", 'W/"1-2"')


class AnswerTests(SynchronousTestCase):
    """
    What to say, as a function of what was asked.
    """

    @given(st.integers(0, SIZE - 1), st.integers(0, 2 * SIZE))
    def test_content_range_is_the_span(self, first: int, more: int) -> None:
        """
        In a 206, it names just the bytes that are sent.
        """
        said = answer(FILE, f"bytes={first}-{first + more}")
        assert said.span is not None
        self.assertEqual(said.status, 206)
        self.assertEqual(said.span.start, first)
        self.assertIn(("Content-Range", f"bytes {first}-{said.span.stop - 1}/{SIZE}"), said.headers)

    def test_unsatisfiable_range_tells_the_size(self) -> None:
        """
        RFC 9110 §15.5.17.
        """
        said = answer(FILE, f"bytes={SIZE}-")
        self.assertEqual((said.status, said.span), (416, None))
        self.assertIn(("Content-Range", f"bytes */{SIZE}"), said.headers)

    def test_fault_comes_before_everything(self) -> None:
        """
        Also for an object that is not there.
        """
        self.assertEqual(answer(None, None, Fault(status=503)).status, 503)
        redirect = answer(None, None, Fault(redirect="http://elsewhere/"))
        self.assertEqual((redirect.status, redirect.headers), (302, (("Location", "http://elsewhere/"),)))

    def test_ignored_range_gets_the_whole(self) -> None:
        """
        Even where it could not be satisfied.
        """
        for header in ("bytes=5-6", "bytes=999999-"):
            said = answer(FILE, header, Fault(ignore_range=True))
            self.assertEqual((said.status, said.span), (200, ByteRange(0, SIZE)))
            self.assertNotIn("Content-Range", dict(said.headers))

    def test_wrong_content_range_is_said_only_of_ranges(self) -> None:
        """
        A 200 has none to be wrong.
        """
        fault = Fault(content_range="bytes 1-2/3")
        self.assertEqual(dict(answer(FILE, "bytes=5-6", fault).headers)["Content-Range"], "bytes 1-2/3")
        self.assertNotIn("Content-Range", dict(answer(FILE, None, fault).headers))


class _NodeTestCase(SynchronousTestCase):
    """
    A node with two files, and a connection to it.
    """

    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "sheet").write_bytes(CONTENT)
        (folder / "empty").write_bytes(b"")
        self.clock = Clock()
        self.node = StorageNode(
            {"7": MediaFile.at(folder / "sheet"), "8": MediaFile.at(folder / "empty")}, self.clock, remember=4
        )
        self.connection = Connection(self.node.site())

    def get(self, path: str = "/api/v1/files/7", **headers: str) -> Received:
        return self.connection.ask(path, **headers)


class StorageNodeTests(_NodeTestCase):
    """
    The API, over HTTP.
    """

    def test_whole_file(self) -> None:
        """
        With every header that a storage node sends.
        """
        received = self.get()
        self.assertEqual((received.status, received.body), (200, CONTENT))
        expected = {
            "content-type": "application/pdf",
            "content-length": str(SIZE),
            "content-disposition": "inline",
            "accept-ranges": "bytes",
            "etag": self.node.files["7"].etag,
        }
        self.assertEqual({name: received.headers.get(name) for name in expected}, expected)

    @given(st.integers(0, SIZE - 1), st.integers(0, SIZE))
    def test_range_is_the_slice(self, first: int, last: int) -> None:
        """
        On a connection that stays open, request after request.
        """
        received = self.get(range=f"bytes={first}-{first + last}")
        self.assertEqual((received.status, received.body), (206, CONTENT[first : first + last + 1]))
        self.assertEqual(int(received.headers["content-length"]), len(received.body))
        self.assertFalse(self.connection.transport.disconnecting)

    def test_range_beside_if_range_is_not_obeyed(self) -> None:
        """
        A weak ETag matches nothing strongly.
        """
        received = self.get(range="bytes=0-1", if_range=self.node.files["7"].etag)
        self.assertEqual((received.status, received.body), (200, CONTENT))

    def test_unsatisfiable_range(self) -> None:
        """
        Of a file, and of an empty one.
        """
        self.assertEqual(self.get(range="bytes=5000-").headers["content-range"], f"bytes */{SIZE}")
        self.assertEqual(self.get("/api/v1/files/8", range="bytes=0-").status, 416)

    def test_head_is_get_without_the_body(self) -> None:
        """
        And without ranges, which only GET has.
        """
        received = self.connection.ask("/api/v1/files/7", "HEAD", range="bytes=0-1")
        self.assertEqual((received.status, received.body), (200, b""))
        self.assertEqual(received.headers["content-length"], str(SIZE))
        self.assertEqual(self.get().status, 200)

    def test_empty_file(self) -> None:
        """
        A 200 of no bytes.
        """
        received = self.get("/api/v1/files/8")
        self.assertEqual((received.status, received.body, received.headers["content-length"]), (200, b"", "0"))

    def test_unknown_objects_are_404_in_json(self) -> None:
        """
        Whatever the id looks like.
        """
        for name in ("9", "", "../7", "7/x", "%ff", "%2e%2e%2f7", "007"):
            received = self.get(f"/api/v1/files/{name}")
            self.assertEqual((received.status, received.headers["content-type"]), (404, "application/json"), name)
            self.assertEqual(json.loads(received.body)["message"], "File not found")

    def test_node_says_what_it_is_and_holds(self) -> None:
        """
        In JSON, at the places where storage nodes do.
        """
        self.get(range="bytes=0-9")
        version, status, state, ids = (
            json.loads(self.get(f"/api/v1/{path}").body)
            for path in ("version", "status", "state/data", "state/data-objects")
        )
        self.assertEqual(set(version), {"version", "userAgent"})
        self.assertEqual((status["requests"], status["bytesAsked"], status["bytesSent"]), (1, 10, 10))
        self.assertEqual(state, {"totalCount": 2, "totalSize": SIZE})
        self.assertEqual(ids, ["7", "8"])

    def test_other_methods_are_not_allowed(self) -> None:
        """
        Uploading is not what this node is for.
        """
        self.assertEqual(self.connection.ask("/api/v1/files/7", "POST").status, 405)

    def test_requests_are_remembered(self) -> None:
        """
        With what was asked, how it was answered and how much went out; the newest few only.
        """
        for number in range(5):
            self.get(range=f"bytes={number}-9")
        self.get("/api/v1/files/9")
        self.connection.ask("/api/v1/files/7", "HEAD")
        ranged, missing, head = list(self.node.requests)[-3:]
        self.assertEqual(len(self.node.requests), 4)
        self.assertEqual((ranged.method, ranged.object_id, ranged.range_header), ("GET", "7", "bytes=4-9"))
        self.assertEqual((ranged.asked, ranged.status, ranged.sent), (ByteRange(4, 10), 206, 6))
        self.assertEqual((missing.status, missing.asked, missing.sent), (404, None, 0))
        self.assertEqual((head.method, head.asked, head.sent), ("HEAD", None, 0))
        self.assertTrue(all(served.finished for served in self.node.requests))


class FaultyNodeTests(_NodeTestCase):
    """
    The API of a node that was told to misbehave.
    """

    def test_refusal(self) -> None:
        """
        In the status that was asked for.
        """
        self.node.faults.next = deque([Fault(status=404), Fault(status=500)])
        self.assertEqual([self.get().status for _ in range(3)], [404, 500, 200])

    def test_told_from_outside(self) -> None:
        """
        C{PUT /fault} says what is wrong with each answer, C{{}} heals the node, and what is no fault is refused.
        """

        def put(body: str) -> int:
            self.connection.transport.clear()
            head = f"PUT /fault HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            self.connection.protocol.dataReceived((head + body).encode("ascii"))
            return Received.parse(self.connection.transport.value()).status

        self.assertEqual(put('{"cut": {"after": 3, "ending": "stall"}}'), 200)
        self.assertEqual(self.node.faults.always, Fault(cut=Cut(3, Ending.STALL)))
        self.assertEqual(put('{"drip": {"size": 1, "every_s": 0.5}}'), 200)
        self.assertEqual(self.node.faults.always, Fault(drip=Drip(1, 0.5)))
        for wrong in (
            "",
            "[1]",
            '{"cut": {"after": 3}}',
            '{"cut": {"ending": "reset"}}',
            '{"status": 200}',
            '{"a": 1}',
        ):
            self.assertEqual(put(wrong), 400, wrong)
        self.assertEqual(put("{}"), 200)
        self.assertEqual(self.node.faults.always, Fault())

    def test_asked_from_outside(self) -> None:
        """
        C{GET /requests} tells of each request for a file.
        """
        self.get(range="bytes=0-1")
        self.connection.transport.clear()
        self.connection.protocol.dataReceived(b"GET /requests HTTP/1.1\r\nHost: x\r\n\r\n")
        told = json.loads(Received.parse(self.connection.transport.value()).body)
        self.assertEqual(told, [{"method": "GET", "objectId": "7", "range": "bytes=0-1", "status": 206, "sent": 2}])

    def test_hang(self) -> None:
        """
        Accepted, and never answered; the connection stays.
        """
        self.node.faults.by_object["7"] = Fault(hang=True)
        self.connection.send("/api/v1/files/7")
        self.assertEqual(self.connection.transport.value(), b"")
        self.assertFalse(self.connection.transport.disconnecting)
        self.assertEqual(self.node.requests[-1].status, None)
        self.connection.lose()

    def test_late_answer(self) -> None:
        """
        Nothing is said before its time; then all is well.
        """
        self.node.faults.always = Fault(delay_s=2.0)
        self.connection.send("/api/v1/files/7")
        self.clock.advance(1.9)
        self.assertEqual(self.connection.transport.value(), b"")
        self.clock.advance(0.2)
        self.assertEqual(Received.parse(self.connection.transport.value()).status, 200)
        self.assertTrue(self.node.requests[0].finished)

    def test_reader_may_leave_before_a_late_answer(self) -> None:
        """
        Then there is none.
        """
        self.node.faults.always = Fault(delay_s=2.0)
        self.connection.send("/api/v1/files/7")
        self.connection.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertIs(self.node.requests[0].status, None)

    def test_redirect(self) -> None:
        """
        To wherever.
        """
        self.node.faults.always = Fault(redirect="http://elsewhere/7")
        received = self.get()
        self.assertEqual((received.status, received.headers["location"]), (302, "http://elsewhere/7"))

    def test_flipped_byte_is_at_its_place_in_the_object(self) -> None:
        """
        Also in a range, and nowhere else.
        """
        self.node.faults.always = Fault(flip_at=10)
        spoilt = CONTENT[:10] + bytes([CONTENT[10] ^ 0xFF]) + CONTENT[11:]
        self.assertEqual(self.get().body, spoilt)
        self.assertEqual(self.get(range="bytes=8-12").body, spoilt[8:13])
        self.assertEqual(self.get(range="bytes=11-12").body, CONTENT[11:13])
        self.node.faults.always = Fault(flip_at=-1)
        self.assertEqual(self.get().body, CONTENT[:-1] + bytes([CONTENT[-1] ^ 0xFF]))

    def test_wrong_length_is_declared_and_the_connection_closed(self) -> None:
        """
        Else a client would take the next answer for the rest of this one.
        """
        self.node.faults.always = Fault(content_length=SIZE + 5)
        received = self.get()
        self.assertEqual((received.headers["content-length"], received.body), (str(SIZE + 5), CONTENT))
        self.assertTrue(self.connection.transport.disconnecting)

    def test_wrong_content_range(self) -> None:
        """
        The bytes are those that were asked for; the header says otherwise.
        """
        self.node.faults.always = Fault(content_range="bytes 0-1/2")
        received = self.get(range="bytes=4-5")
        self.assertEqual((received.headers["content-range"], received.body), ("bytes 0-1/2", CONTENT[4:6]))

    def test_gzip_that_nobody_asked_for(self) -> None:
        """
        The body is packed, and its length is that of the packed one.
        """
        self.node.faults.always = Fault(gzip=True)
        received = self.get()
        self.assertEqual(received.headers["content-encoding"], "gzip")
        self.assertEqual(int(received.headers["content-length"]), len(received.body))
        self.assertEqual(gzip.decompress(received.body), CONTENT)

    def test_range_that_is_ignored(self) -> None:
        """
        The whole file, as a proxy in front of a storage node would have it.
        """
        self.node.faults.always = Fault(ignore_range=True)
        received = self.get(range="bytes=4-5")
        self.assertEqual((received.status, received.body), (200, CONTENT))
