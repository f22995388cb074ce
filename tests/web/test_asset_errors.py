"""
Tests for L{distributor.web.asset}: what goes wrong before the first byte, and is an error in full.
"""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from distributor.devnet import Cut, Ending, Fault
from distributor.model import (
    CatalogueUnavailable,
    ObjectNotAccepted,
    ObjectNotDistributed,
)
from distributor.web import errors
from tests.upstream import TIMEOUT_S, payload
from tests.web.node_in_memory import ASSET, Answer, NodeInMemory, Visit

CONTENT = payload(300_000)
CAME = 100_000
STALL = Fault(cut=Cut(CAME, Ending.STALL))


class FailureCase(SynchronousTestCase):
    """
    A node that distributes one object.
    """

    def setUp(self) -> None:
        self.start(CONTENT)

    def start(self, content: bytes, **options: Any) -> None:
        """
        Another node.
        """
        self.node = NodeInMemory(self, content, **options)
        self.faults = self.node.upstream.nodes[0].faults

    def assert_error(self, answer: Answer, error: errors.ApiError) -> None:
        """
        It is that error, in full, to be remembered for as long as the catalogue does where it says what is not here.
        """
        if error.max_age is not None:
            error = evolve(error, max_age=self.node.catalogue.negative_ttl_s)
        self.assertEqual((answer.status, answer.body, answer.whole), (error.status, errors.body(error), True))
        for name, value in errors.headers(error, answer["X-Request-Id"]):
            self.assertEqual(answer[name], value, name)

    def assert_cut(self, visit: Visit, came: int) -> None:
        """
        C{came} right bytes have come, fewer than were promised, and the connection was cut.
        """
        self.assertEqual((visit.answer.status, visit.answer.whole, visit.wire.ended), (200, False, "cut"))
        self.assertTrue(visit.answer.body == self.node.upstream.content[:came])
        self.assertIsNone(visit.wire.protocol)
        self.successResultOf(self.node.gate.empty())

    def advance(self, seconds: float) -> None:
        self.node.clock.advance(seconds)
        self.node.settle()


class CatalogueTests(FailureCase):
    """
    What the catalogue has to say.
    """

    def test_no_id(self) -> None:
        """
        What is not a canonical id is no object, and the catalogue is not asked.
        """
        for text in (
            "07",
            "00",
            "-1",
            "+7",
            "7.0",
            "1_0",
            "x",
            "7/7",
            "%37%20",
            "%d9%a7",
            "7%00",
            "..%2f7",
            "%2e%2e%2f",
        ):
            for method in ("GET", "HEAD"):
                answer = self.node.ask(f"/api/v1/asset/{text}", method=method)
                self.assertEqual(answer.status, 404, text)
            self.assert_error(self.node.ask(f"/api/v1/assets/{text}"), errors.OBJECT_NOT_FOUND)
        self.assert_error(self.node.ask("/api/v1/asset/" + "9" * 21), errors.OBJECT_NOT_FOUND)
        self.assertEqual(self.node.catalogue.asked, [])
        self.node.ask("/api/v1/asset/" + "9" * 20)
        self.assertEqual(self.node.catalogue.asked, ["9" * 20])

    def test_encoded_id(self) -> None:
        """
        An encoded digit is that digit.
        """
        self.assertTrue(self.node.ask("/api/v1/asset/%37").body == CONTENT)

    def test_unknown(self) -> None:
        """
        An unknown object is a 404, which others may remember for a while, whatever else was asked.
        """
        for fields in ((), ("If-None-Match: *",), ("Range: bytes=5-1",)):
            answer = self.node.ask("/api/v1/asset/8", *fields)
            self.assert_error(answer, errors.OBJECT_NOT_FOUND)
            self.assertEqual(answer["Cache-Control"], "max-age=12")

    def test_others(self) -> None:
        """
        Each thing that the catalogue can say has an answer of its own; not distributed comes before not accepted.
        """
        listing = self.node.upstream.listing
        unaccepted = evolve(listing, object=evolve(listing.object, accepted=False))
        for said, error in (
            (evolve(listing, distributed_here=False), errors.OBJECT_NOT_DISTRIBUTED),
            (unaccepted, errors.OBJECT_NOT_ACCEPTED),
            (evolve(unaccepted, distributed_here=False), errors.OBJECT_NOT_DISTRIBUTED),
            (ObjectNotDistributed("7"), errors.OBJECT_NOT_DISTRIBUTED),
            (ObjectNotAccepted("7"), errors.OBJECT_NOT_ACCEPTED),
            (CatalogueUnavailable("down"), errors.CATALOGUE_UNAVAILABLE),
        ):
            self.node.catalogue.listings["7"] = said
            self.assert_error(self.node.ask(), error)
            self.assertEqual(self.node.ask(method="HEAD").status, error.status)
        self.assertEqual(self.node.upstream.requests, [])

    def test_cached_object_needs_no_catalogue(self) -> None:
        """
        What is cached is served, whatever has become of the catalogue.
        """
        self.node.ask()
        self.node.catalogue.listings["7"] = CatalogueUnavailable("down")
        self.assertTrue(self.node.ask().body == CONTENT)


class BeforeTheHeadTests(FailureCase):
    """
    Failures before the first byte are errors in full.
    """

    def test_every_node_refuses(self) -> None:
        """
        When a whole round of storage nodes has failed, and not before, that is said.
        """
        self.start(CONTENT, storage_nodes=2)
        self.faults.always = Fault(status=500)
        self.assertTrue(self.node.ask().body == CONTENT)
        self.start(CONTENT, storage_nodes=2)
        for node in self.node.upstream.nodes:
            node.faults.always = Fault(status=500)
        answer = self.node.ask()
        self.assert_error(answer, errors.SOURCES_FAILED)
        self.assertEqual(len(self.node.upstream.requests), 2)
        self.assertNotIn(b"example", answer.body)

    def test_no_node(self) -> None:
        """
        So it is when there is none that could be asked, or none that can be reached.
        """
        self.node.catalogue.listings["7"] = evolve(self.node.upstream.listing, storage_nodes=())
        self.assert_error(self.node.ask(), errors.SOURCES_FAILED)
        self.node.catalogue.listings["7"] = self.node.upstream.listing
        self.node.upstream.unplug(0)
        self.assert_error(self.node.ask(), errors.SOURCES_FAILED)

    def test_every_node_is_silent(self) -> None:
        """
        When all of them have been too slow, that is said instead.
        """
        self.start(CONTENT, storage_nodes=2)
        for node in self.node.upstream.nodes:
            node.faults.always = Fault(hang=True)
        visit = self.node.visit()
        visit.send(ASSET)
        for _ in range(2):
            self.assertEqual(visit.answers, [])
            self.advance(TIMEOUT_S)
        self.assert_error(visit.answer, errors.SOURCES_TIMED_OUT)

    def test_passed_through(self) -> None:
        """
        Objects that are not kept fail in the same ways.
        """
        for fault, error in ((Fault(status=404), errors.SOURCES_FAILED), (Fault(hang=True), errors.SOURCES_TIMED_OUT)):
            self.start(CONTENT, largest_cached=1)
            self.faults.always = fault
            visit = self.node.visit()
            visit.send(ASSET)
            self.advance(TIMEOUT_S)
            self.assert_error(visit.answer, error)

    def test_waited_too_long(self) -> None:
        """
        A reader whose byte is not coming within a minute is told to try again; the download goes on.
        """
        self.start(CONTENT, at_once=1)
        self.node.list("8", CONTENT)
        self.faults.by_object["7"] = Fault(cut=Cut(10, Ending.STALL))
        self.node.visit().send(ASSET)
        waiting = self.node.visit()
        waiting.send("/api/v1/asset/8")
        for second in range(60):
            self.assertEqual(waiting.answers, [], f"gave up after {second} s")
            self.advance(1)
        self.assert_error(waiting.answer, errors.OVERLOADED)
        self.faults.by_object.clear()
        self.advance(TIMEOUT_S)
        self.assertEqual(self.node.ask("/api/v1/asset/8")["X-Cache"], "hit")

    def test_queue_is_full(self) -> None:
        """
        When too many downloads wait already, no more may begin; what is there, or on its way, is served all the same.
        """
        self.start(CONTENT, at_once=1, queue_length=1)
        for id in ("6", "8", "9"):
            self.node.list(id, CONTENT)
        self.node.ask("/api/v1/asset/6")
        self.faults.next.append(STALL)
        for id in ("7", "8"):
            self.node.visit().send(f"/api/v1/asset/{id}")
        self.assert_error(self.node.ask("/api/v1/asset/9"), errors.OVERLOADED)
        self.assertEqual(self.node.ask("/api/v1/asset/9", method="HEAD").status, 200)
        self.assertEqual(self.node.ask("/api/v1/asset/6")["X-Cache"], "hit")
        self.assertEqual(self.node.ask(ASSET, "Range: bytes=0-9")["X-Cache"], "pending")
        self.advance(TIMEOUT_S)
        self.assertTrue(self.node.ask("/api/v1/asset/9").whole)

    def test_unforeseen(self) -> None:
        """
        An exception that nobody foresaw is a 500; its traceback is in the log, under the request's id, and nowhere
        else.
        """
        self.node.catalogue.listings["7"] = ZeroDivisionError("a secret")
        for method in ("GET", "HEAD"):
            with capturedLogs() as events:
                answer = self.node.ask(ASSET, "X-Request-Id: abc-1", method=method)
                failures = [event for event in events if "log_failure" in event]
            self.assertEqual(answer.status, 500)
            self.assertNotIn(b"secret", answer.body)
            self.assertNotIn("secret", str(answer.fields))
            [event] = failures
            self.assertIn("abc-1", formatEvent(event))
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assert_error(self.node.ask(), errors.INTERNAL_ERROR)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_connection_survives(self) -> None:
        """
        After an error in full, the connection serves the next request.
        """
        visit = self.node.visit()
        self.faults.next.append(Fault(status=500))
        visit.send(ASSET)
        visit.put("/api/v1/asset/8")
        visit.send(ASSET)
        self.assertEqual([answer.status for answer in visit.answers], [502, 404, 200])


class GateTests(FailureCase):
    """
    Answers that may not begin.
    """

    def test_shutting_down(self) -> None:
        """
        Who comes too late is sent elsewhere, and the connection is closed (RFC 9112 §9.6); answers that have begun
        go on.
        """
        self.faults.next.append(STALL)
        inside = self.node.visit()
        inside.send(ASSET)
        self.node.gate.close(errors.SHUTTING_DOWN)
        for method in ("GET", "HEAD"):
            late = self.node.visit()
            late.put(ASSET, method=method)
            late.send("/healthz")
            [answer] = late.answers
            self.assertEqual((answer.status, answer["Connection"]), (503, "close"))
            self.assertTrue(int(answer["Retry-After"]))
            self.assertEqual(late.wire.ended, "closed")
        self.assert_error(self.node.ask(), errors.SHUTTING_DOWN)
        self.advance(TIMEOUT_S)
        self.assertTrue(inside.answer.whole)
        self.successResultOf(self.node.gate.empty())

    def test_too_many(self) -> None:
        """
        Beyond the limit, clients are told when to try again; what else the node says is no matter of it.
        """
        self.start(CONTENT, most_answers=2)
        self.faults.next.append(STALL)
        inside = [self.node.visit(), self.node.visit()]
        for visit in inside:
            visit.send(ASSET)
        self.assert_error(self.node.ask(), errors.OVERLOADED)
        self.assertEqual(self.node.ask("/healthz").status, 200)
        inside[0].lose()
        self.assertEqual(self.node.ask(ASSET, "Range: bytes=0-9").status, 206)
        inside[1].lose()
        self.advance(TIMEOUT_S)

    def test_errors_leave_too(self) -> None:
        """
        However an answer ends, its place is free again.
        """
        self.start(CONTENT, most_answers=1)
        for path in ("/api/v1/asset/x", "/api/v1/asset/8", ASSET, ASSET):
            self.assertNotEqual(self.node.ask(path, "Range: bytes=5-1").status, 503)
        self.assertEqual(self.node.ask(ASSET, "Range: bytes=999999-").status, 416)
        self.assertEqual(self.node.ask(method="HEAD").status, 200)
        self.successResultOf(self.node.gate.empty())

    def test_thrown_out(self) -> None:
        """
        Answers whose time is over are cut, whatever they were waiting for.
        """
        self.faults.next.append(STALL)
        waiting, stuck, ahead = self.node.visit(), self.node.visit(room=1000), self.node.visit()
        waiting.send(ASSET)
        stuck.send(ASSET)
        ahead.send(ASSET, "Range: bytes=200000-")
        self.node.gate.close(errors.SHUTTING_DOWN)
        empty = self.node.gate.empty()
        self.assertNoResult(empty)
        self.node.gate.throw_out()
        self.node.settle()
        self.successResultOf(empty)
        for visit in (waiting, stuck, ahead):
            self.assertEqual(visit.wire.ended, "cut")
        self.assertFalse(waiting.answer.whole)
        self.assertEqual(ahead.answers, [])
        self.advance(TIMEOUT_S)
