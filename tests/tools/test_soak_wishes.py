"""
Tests for L{tools.soak_wishes}.
"""

from __future__ import annotations

import random

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tools.soak_wishes import Chooser, Outcome, Tally, Target, Wish, fault_in_head, unverifiable

_SIZES = {"1": 1, "2": 1000, "3": 10_000_000}
_TARGETS = (Target(80, frozenset("12")), Target(81, frozenset("23")))
_RANGE = Wish(80, "2", 206, range_header="bytes=10-19", size=1000, start=10, stop=20)
_HEAD_OF_RANGE = {"content-length": "10", "content-range": "bytes 10-19/1000"}


class ChooserTests(SynchronousTestCase):
    """
    What is asked for.
    """

    @given(st.integers())
    def test_sensible(self, seed: int) -> None:
        """
        What is expected of an answer fits the object, and what the node distributes.
        """
        wish = Chooser(_TARGETS, _SIZES, random.Random(seed)).choose()
        [ids] = [each.ids for each in _TARGETS if each.port == wish.port]
        if wish.object_id not in _SIZES:
            self.assertEqual(wish.status, 404)
        elif wish.object_id not in ids:
            self.assertEqual(wish.status, 421)
        elif wish.status == 416:
            self.assertIsNotNone(wish.range_header)
        else:
            self.assertEqual(wish.size, _SIZES[wish.object_id])
            self.assertTrue(0 <= wish.start < wish.stop <= wish.size)
            self.assertEqual(wish.status, 206 if wish.range_header else 200)

    def test_everything_is_asked(self) -> None:
        """
        Each status, whole objects, heads, and each form of range; and some objects far more than others.
        """
        chooser = Chooser(_TARGETS, _SIZES, random.Random(1))
        wishes = [chooser.choose() for _ in range(2000)]
        self.assertEqual({wish.status for wish in wishes}, {200, 206, 404, 416, 421})
        self.assertEqual({wish.method for wish in wishes}, {"GET", "HEAD"})
        headers = [wish.range_header for wish in wishes if wish.range_header]
        self.assertTrue(any(header.startswith("bytes=-") for header in headers))
        self.assertTrue(any(header.endswith("-") for header in headers))
        asked = sorted(sum(wish.object_id == each for wish in wishes) for each in _SIZES)
        self.assertGreater(asked[-1], 1.5 * asked[0])

    def test_request(self) -> None:
        """
        As it is sent.
        """
        self.assertEqual(
            _RANGE.request(keep=False),
            b"GET /api/v1/asset/2 HTTP/1.1\r\nHost: localhost\r\nRange: bytes=10-19\r\nConnection: close\r\n\r\n",
        )
        self.assertNotIn(b"Connection", _RANGE.request(keep=True))


class HeadTests(SynchronousTestCase):
    """
    Heads of answers.
    """

    def test_right(self) -> None:
        """
        What was wished for, and a refusal in JSON, have no fault.
        """
        whole = Wish(80, "2", 200, size=1000, stop=1000)
        unsatisfiable = Wish(80, "2", 416, range_header="bytes=1000-", size=1000)
        self.assertIsNone(fault_in_head(_RANGE, 206, _HEAD_OF_RANGE))
        self.assertIsNone(fault_in_head(whole, 200, {"content-length": "1000"}))
        self.assertIsNone(fault_in_head(evolve(whole, method="HEAD"), 200, {"content-length": "1000"}))
        self.assertIsNone(fault_in_head(unsatisfiable, 416, {"content-length": "9", "content-range": "bytes */1000"}))
        self.assertIsNone(fault_in_head(whole, 502, {"content-length": "9", "content-type": "application/json"}))

    def test_wrong(self) -> None:
        """
        Another status, another length or none, another range, a refusal that is no JSON.
        """
        for status, headers in (
            (200, {"content-length": "1000"}),
            (404, {"content-length": "10"}),
            (500, {"content-length": "10", "content-type": "application/json"}),
            (206, {**_HEAD_OF_RANGE, "content-length": "11"}),
            (206, {"content-range": "bytes 10-19/1000"}),
            (206, {**_HEAD_OF_RANGE, "content-range": "bytes 10-20/1000"}),
            (206, {"content-length": "10"}),
            (503, {"content-length": "10", "content-type": "text/html"}),
        ):
            self.assertIsNotNone(fault_in_head(_RANGE, status, headers), (status, headers))


class UnverifiableTests(SynchronousTestCase):
    """
    The one byte that nobody answers for.
    """

    def test_exception(self) -> None:
        """
        It is the last one of an object, of a range from its middle, that is passed through; no other.
        """
        wish = evolve(_RANGE, start=10, stop=1000)
        passed = {"x-cache": "miss", "cache-status": "distributor; fwd=miss"}
        self.assertTrue(unverifiable(wish, 999, passed))
        self.assertFalse(unverifiable(wish, 998, passed))
        self.assertFalse(unverifiable(evolve(wish, start=0), 999, passed))
        self.assertFalse(unverifiable(wish, 999, {**passed, "cache-status": "distributor; fwd=miss; stored"}))
        self.assertFalse(unverifiable(wish, 999, {"x-cache": "hit", "cache-status": "distributor; hit"}))


class TallyTests(SynchronousTestCase):
    """
    What is counted.
    """

    def test_complaints(self) -> None:
        """
        Every outcome counts; what is wrong is told, but not without end.
        """
        tally = Tally()
        tally.count(Outcome.RIGHT)
        for _ in range(100):
            tally.count(Outcome.WRONG, "bad")
        self.assertEqual((tally.outcomes["right"], tally.outcomes["wrong"]), (1, 100))
        self.assertEqual(set(tally.complaints), {"wrong: bad"})
        self.assertLess(len(tally.complaints), 100)

    def test_etags(self) -> None:
        """
        An object has one, and keeps it.
        """
        tally = Tally()
        self.assertTrue(tally.same_etag("1", '"a"'))
        self.assertTrue(tally.same_etag("1", '"a"'))
        self.assertTrue(tally.same_etag("2", '"b"'))
        self.assertFalse(tally.same_etag("1", '"b"'))
        self.assertFalse(tally.same_etag("3", None))
