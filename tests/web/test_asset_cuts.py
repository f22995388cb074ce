"""
Tests for L{distributor.web.asset}: wrong bytes, failures behind the head, and disks that fail. Answers go on, or are
cut; none looks whole that is not.
"""

from __future__ import annotations

import errno
import os
from unittest import mock

from attrs import evolve
from treq import content
from treq.client import HTTPClient
from treq.testing import RequestTraversalAgent
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.logger import capturedLogs, formatEvent
from twisted.web.client import PartialDownloadError as PartialDownload
from twisted.web.client import ResponseFailed

from distributor.devnet import Cut, Ending, Fault
from distributor.model import (
    BLAKE3_256,
    FIRST_STEP,
    ContentHash,
    DiskFailed,
)
from distributor.web import asset, errors
from tests.upstream import TIMEOUT_S, payload
from tests.web.node_in_memory import ASSET, Answer, NodeInMemory
from tests.web.test_asset_errors import CAME, CONTENT, STALL, FailureCase


class MismatchTests(FailureCase):
    """
    Bytes that are not the object's.
    """

    def spoil(self, size: int, at: int) -> None:
        """
        A node whose storage node has one wrong byte.
        """
        self.start(payload(size))
        self.faults.always = Fault(flip_at=at)

    def assert_recovers(self) -> None:
        """
        Nothing of it was kept, and the next request fetches anew.
        """
        self.node.settle()
        self.assertEqual((self.node.store.object_count, self.node.store.used), (0, 0))
        self.faults.always = Fault()
        answer = self.node.ask()
        self.assertEqual(answer["X-Cache"], "miss")
        self.assertTrue(answer.whole and answer.body == self.node.upstream.content)

    def test_tiny(self) -> None:
        """
        Of a tiny object that is wrong, not even the head is sent.
        """
        for size in (1, 2, 1000):
            self.spoil(size, size - 1)
            self.assert_error(self.node.ask(), errors.CONTENT_MISMATCH)
            self.assert_recovers()

    def test_larger(self) -> None:
        """
        Of a larger one, the answer is never whole: it is cut.
        """
        self.spoil(len(CONTENT), CAME + 5)
        self.faults.next.append(STALL)
        visit, last = self.node.visit(), self.node.visit()
        visit.send(ASSET)
        last.send(ASSET, "Range: bytes=-1")
        self.advance(TIMEOUT_S)
        self.assertEqual((visit.answer.status, visit.answer.whole, visit.wire.ended), (200, False, "cut"))
        # The last byte has not been sent, and so its range has no head: that can still be an error.
        self.assert_error(last.answer, errors.CONTENT_MISMATCH)
        self.assertIsNone(last.wire.ended)
        self.assert_recovers()

    def test_passed_through(self) -> None:
        """
        An object that is not kept is verified all the same.
        """
        for size in (1, len(CONTENT)):
            self.start(payload(size), largest_cached=0)
            self.faults.always = Fault(flip_at=0)
            self.faults.next.append(Fault(flip_at=0, cut=Cut(CAME, Ending.STALL)))
            visit = self.node.visit()
            visit.send(ASSET)
            self.advance(TIMEOUT_S)
            if size == 1:
                self.assert_error(visit.answer, errors.CONTENT_MISMATCH)
            else:
                self.assertEqual((visit.answer.whole, visit.wire.ended), (False, "cut"))
                self.assertGreaterEqual(len(visit.answer.body), CAME)

    def test_wrong_in_the_catalogue(self) -> None:
        """
        It is all the same when the bytes are right and the catalogue's hash is wrong.
        """
        listing = self.node.upstream.listing
        wrong = evolve(listing.object, content_hash=ContentHash(BLAKE3_256, bytes(32)))
        self.node.catalogue.listings["7"] = evolve(listing, object=wrong)
        for _ in range(2):
            self.assertFalse(self.node.ask().status == 200 and self.node.visit().answers)
        self.assertEqual(self.node.store.object_count, 0)


class BehindTheHeadTests(FailureCase):
    """
    Failures after the first byte: from another storage node if at all possible, else the connection is cut.
    """

    def test_goes_on_elsewhere(self) -> None:
        """
        One storage node breaks off, and the reader does not notice.
        """
        for ending in (Ending.CLOSE, Ending.RESET, Ending.STALL):
            self.start(CONTENT, storage_nodes=2)
            self.faults.next.append(Fault(cut=Cut(CAME, ending)))
            visit = self.node.visit()
            visit.send(ASSET)
            self.advance(TIMEOUT_S)
            self.assertTrue(visit.answer.whole and visit.answer.body == CONTENT, ending)
            self.assertEqual(self.node.upstream.ranges, [None, f"bytes={CAME}-299999"])

    def test_nothing_goes_on(self) -> None:
        """
        When no storage node can go on, the connection is cut, and what arrived is kept for the next request.
        """
        self.faults.next.append(Fault(cut=Cut(CAME, Ending.CLOSE)))
        self.faults.always = Fault(status=500)
        visit = self.node.visit()
        visit.send(ASSET, "X-Request-Id: abc-1")
        self.assert_cut(visit, CAME)
        self.faults.always = Fault()
        self.assertTrue(self.node.ask().body == CONTENT)
        self.assertEqual(self.node.upstream.ranges[-1], f"bytes={CAME}-299999")

    def test_client_notices(self) -> None:
        """
        A real client gets the body of an answer that is whole, and a failure for one that is cut.
        """
        agent = RequestTraversalAgent(self.node.site.resource)
        client = HTTPClient(agent)

        def get() -> Deferred[bytes]:
            url = f"http://node{ASSET}"
            body: Deferred[bytes] = client.get(url, unbuffered=True).addCallback(content)
            for _ in range(20):
                agent.flush()
                self.node.settle()
            return body

        self.faults.next.append(Fault(cut=Cut(CAME, Ending.CLOSE)))
        self.faults.always = Fault(status=500)
        failed = self.failureResultOf(get(), ResponseFailed).value
        self.assertTrue(any(reason.check(PartialDownload, ConnectionDone) for reason in failed.reasons))
        self.faults.always = Fault()
        self.assertTrue(self.successResultOf(get()) == CONTENT)

    def test_all_readers_are_cut(self) -> None:
        """
        All who read it are cut, wherever they are; those who have nothing yet get an error in full.
        """
        self.faults.next.append(STALL)
        self.faults.always = Fault(status=500)
        first, second, ahead = (self.node.visit() for _ in range(3))
        first.send(ASSET)
        second.send(ASSET)
        ahead.send(ASSET, "Range: bytes=200000-")
        with capturedLogs() as events:
            self.advance(TIMEOUT_S)
            lines = [formatEvent(event) for event in events]
        self.assert_cut(first, CAME)
        self.assert_cut(second, CAME)
        self.assert_error(ahead.answer, errors.SOURCES_FAILED)
        self.assertEqual(len([line for line in lines if "is cut" in line]), 2)

    def test_pipelined_behind_a_cut(self) -> None:
        """
        Nothing is sent behind an answer that is cut: it would look like its rest.
        """
        self.faults.next.append(Fault(cut=Cut(CAME, Ending.CLOSE)))
        self.faults.always = Fault(status=500)
        visit = self.node.visit()
        visit.put(ASSET)
        visit.put("/api/v1/asset/8")
        self.node.settle()
        [answer] = visit.answers
        self.assertEqual((answer.whole, visit.wire.ended), (False, "cut"))
        self.assertEqual(self.node.catalogue.asked, ["7"], "what cannot be answered was looked at")

    def test_unforeseen(self) -> None:
        """
        An exception that nobody foresaw cuts the connection too, and its traceback is in the log.
        """
        self.node = NodeInMemory(self, CONTENT, fast=False)
        self.node.ask()

        async def broken(*_: object) -> None:
            raise ZeroDivisionError

        self.patch(asset, "deliver", broken)
        visit = self.node.visit()
        with capturedLogs() as events:
            visit.send(ASSET, "X-Request-Id: abc-1")
            failures = [formatEvent(event) for event in events if "log_failure" in event]
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(len(failures), 1)
        self.assertIn("abc-1", failures[0])
        self.assert_cut(visit, 0)

    def test_cancelled_on_this_side(self) -> None:
        """
        Whatever else ends an answer early, it never looks whole, and the place that it took is free again.
        """
        self.node = NodeInMemory(self, CONTENT, fast=False)
        self.node.ask()

        async def given_up(*_: object) -> None:
            raise CancelledError

        self.patch(asset, "deliver", given_up)
        visit = self.node.visit()
        visit.send(ASSET)
        self.assertFalse(visit.answer.whole)
        self.assertIsNotNone(visit.wire.ended)
        self.successResultOf(self.node.gate.empty())
        self.flushLoggedErrors(CancelledError)

    def test_reader_gone_is_no_trouble(self) -> None:
        """
        A client that leaves is nobody's fault, whether its answer waits, flows or is held up by the client itself.
        """
        with capturedLogs() as events:
            self.faults.next.append(STALL)
            waiting = self.node.visit()
            waiting.send(ASSET)
            waiting.lose()
            self.advance(TIMEOUT_S)
            stuck = self.node.visit(room=1000)
            stuck.send(ASSET)
            stuck.lose()
            self.start(CONTENT, largest_cached=1)
            through = self.node.visit(room=1000)
            through.send(ASSET)
            through.lose()
            lines = [formatEvent(event) for event in events if event["log_level"].name != "info"]
        self.assertEqual([line for line in lines if "silent" not in line and "no byte" not in line], [])
        self.successResultOf(self.node.gate.empty())


class DiskTests(FailureCase):
    """
    A disk that fails: readers are served all the same, and the operator is told.
    """

    def told(self, visits: int, *fields: str) -> tuple[list[Answer], list[str]]:
        """
        The answers to so many requests, and the errors in the log.
        """
        with capturedLogs() as events:
            given = [self.node.ask(ASSET, *fields) for _ in range(visits)]
            return given, [formatEvent(event) for event in events if event["log_level"].name == "error"]

    def test_cannot_be_read(self) -> None:
        """
        When a cached file cannot be read, its bytes come from a storage node, with one line in the log a minute.
        """
        self.node.ask()

        def broken(*_: object) -> int:
            raise OSError(errno.EIO, "broken")

        with mock.patch("os.preadv", broken):
            given, lines = self.told(3)
        for answer in given:
            self.assertTrue(answer.whole and answer.body == CONTENT)
        self.assertEqual(len(lines), 1, lines)

    def test_is_shorter_than_it_was(self) -> None:
        """
        When a cached file has been cut short, what is missing of it comes from a storage node.
        """
        self.node.ask()
        os.truncate(self.node.directory / "assets" / "7", 1000)
        visit = self.node.visit()
        # The file is opened and found short; whatever is done about it, the answer is right.
        visit.send(ASSET)
        self.assertTrue(visit.answer.whole and visit.answer.body == CONTENT)
        os.truncate(self.node.directory / "assets" / "7", len(CONTENT))

    def test_is_cut_while_it_is_read(self) -> None:
        """
        So does what is cut off under a reader.
        """
        self.node.ask()
        visit = self.node.visit(room=1000)
        visit.send(ASSET)
        os.truncate(self.node.directory / "assets" / "7", 100_000)
        for _ in range(1000):
            if not visit.wire.value():
                break
            visit.wire.take()
            self.node.settle()
        self.assertTrue(visit.answer.whole and visit.answer.body == CONTENT)
        os.truncate(self.node.directory / "assets" / "7", len(CONTENT))

    def test_cannot_be_written(self) -> None:
        """
        When nothing can be written, objects are passed through, with one line in the log a minute.
        """
        with mock.patch("os.pwritev", side_effect=OSError(errno.ENOSPC, "full")):
            given, lines = self.told(3)
        for answer in given:
            self.assertTrue(answer.whole and answer.body == CONTENT)
        self.assertEqual(len(lines), 1, lines)

    def test_cannot_be_written_once_it_has_begun(self) -> None:
        """
        An answer that has begun with what never reached the disk is verified with it: it is whole where both are right,
        and cut where either is wrong.
        """
        for came, elsewhere, whole in (
            (STALL, Fault(), True),
            (STALL, Fault(flip_at=200_000), False),
            (evolve(STALL, flip_at=5), Fault(), False),
        ):
            self.start(CONTENT)
            self.faults.next.append(came)
            self.faults.always = elsewhere
            with mock.patch("os.pwritev", side_effect=OSError(errno.ENOSPC, "full")):
                visit = self.node.visit()
                visit.send(ASSET)
                self.advance(TIMEOUT_S)
            self.assertEqual(self.node.upstream.ranges[1], f"bytes={FIRST_STEP}-299999")
            self.assertEqual((visit.answer.status, visit.answer.whole), (200, whole))
            self.assertTrue(not whole or visit.answer.body == CONTENT)

    def test_empty_object(self) -> None:
        """
        An empty object needs no disk at all.
        """
        self.start(b"")

        async def refuse(*_: object) -> None:
            raise DiskFailed("EACCES")

        with mock.patch.object(self.node.store, "allocate", refuse):
            [answer], lines = self.told(1)
        self.assertEqual((answer.status, answer.body, answer.whole), (200, b"", True))
        self.assertEqual(len(lines), 1, lines)

    def test_wrong_empty_object(self) -> None:
        """
        It is verified all the same.
        """
        self.start(b"")
        listing = self.node.upstream.listing
        wrong = evolve(listing.object, content_hash=ContentHash(BLAKE3_256, bytes(32)))
        self.node.catalogue.listings["7"] = evolve(listing, object=wrong)

        async def refuse(*_: object) -> None:
            raise DiskFailed("EACCES")

        with mock.patch.object(self.node.store, "allocate", refuse):
            self.assert_error(self.node.ask(), errors.CONTENT_MISMATCH)

    def test_download_that_finds_no_room(self) -> None:
        """
        Whoever has waited for a download that finds no room when its turn comes is passed through, and says so.
        """
        self.start(CONTENT, at_once=1, capacity=len(CONTENT) + 10)
        self.node.list("8", CONTENT)
        self.faults.next.append(STALL)
        self.node.visit().send(ASSET)
        waiting = [self.node.visit(), self.node.visit()]
        for visit in waiting:
            visit.send("/api/v1/asset/8")
        # Its file cannot go while somebody reads it.
        reader = self.node.visit(room=1000)
        reader.send(ASSET)
        self.advance(TIMEOUT_S)
        for visit in waiting:
            self.assertTrue(visit.answer.whole and visit.answer.body == CONTENT)
            self.assertEqual(
                (visit.answer["X-Cache"], visit.answer["X-Data-Source"], visit.answer["Cache-Status"]),
                ("miss", "external", "distributor; fwd=miss"),
            )
