"""
Tests for L{distributor.web.operator_request}.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from distributor.web import operator_request
from distributor.web.operator_errors import Refused

JSON = "application/json"


class RefusedCase(SynchronousTestCase):
    """
    What is refused says why.
    """

    def assert_refused(self, word: str, why: str, f: Callable[..., object], *args: object) -> None:
        with self.assertRaises(Refused) as caught:
            f(*args)
        error = caught.exception.error
        self.assertEqual(error.type, word)
        self.assertIn(why, error.message)


class BodyTests(RefusedCase):
    """
    From bytes to an object.
    """

    def test_nothing(self) -> None:
        """
        No body is an empty object, whatever its type would be.
        """
        for type in (None, JSON, "text/plain"):
            self.assertEqual(operator_request.json_object(b"", type), {})

    @given(st.dictionaries(st.text(), st.none() | st.integers() | st.text() | st.lists(st.booleans())))
    def test_objects(self, value: dict[str, Any]) -> None:
        """
        An object is what was sent.
        """
        self.assertEqual(operator_request.json_object(json.dumps(value).encode("utf-8"), JSON), value)

    @given(st.binary(min_size=1))
    def test_anything(self, content: bytes) -> None:
        """
        Anything else is refused, in words.
        """
        try:
            value = operator_request.json_object(content, JSON)
        except Refused as refused:
            self.assertEqual(refused.error.type, "bad_request")
        else:
            self.assertEqual(json.loads(content), value)

    def test_types(self) -> None:
        """
        The type is JSON, in UTF-8.
        """
        for type in (JSON, "Application/JSON", "application/json; charset=utf-8", 'application/json;charset="UTF-8"'):
            self.assertEqual(operator_request.json_object(b"{}", type), {})
        for other in (None, "", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16"):
            self.assert_refused(
                "unsupported_media_type", "application/json", operator_request.json_object, b"{}", other
            )

    def test_what_is_no_object(self) -> None:
        """
        Each of the others is told what is wrong with it.
        """
        for content, why in (
            (b"[]", "must be a JSON object"),
            (b"1", "must be a JSON object"),
            (b"{", "not JSON"),
            (b"{} x", "not JSON"),
            (b'{"a": NaN}', "no number"),
            (b'{"a": Infinity}', "no number"),
            (b'{"a": 1, "a": 2}', "twice"),
            (b'{"a": {"b": 1, "b": 1}}', "twice"),
            (b'{"a": "\xff"}', "not JSON"),
            (b'{"a": ' + b"[" * 30_000, "nested"),
            (b'{"a": ' + b"9" * 10_000 + b"}", "not JSON"),
        ):
            self.assert_refused("bad_request", why, operator_request.json_object, content, JSON)


class ValuesTests(RefusedCase):
    """
    From an object to values.
    """

    def test_worker(self) -> None:
        """
        A worker is a number.
        """
        self.assertEqual(operator_request.worker({"workerId": 3}), 3)
        for body, why in (
            ({}, "workerId: is required"),
            ({"workerId": "3"}, "workerId: must be a non-negative integer"),
            ({"workerId": -1}, "workerId: must be"),
            ({"workerId": True}, "workerId: must be"),
            ({"workerId": 1.0}, "workerId: must be"),
            ({"workerId": 3, "x": 1}, "x: unknown key"),
            ({"workerid": 3}, "did you mean workerId?"),
        ):
            self.assert_refused("bad_request", why, operator_request.worker, body)

    def test_buckets(self) -> None:
        """
        Buckets are ids, or all there are; never none.
        """
        self.assertEqual(operator_request.buckets({"buckets": ["0:1", 2]}), ("0:1", "2"))
        self.assertIsNone(operator_request.buckets({}))
        for body, why in (
            ({"buckets": []}, "one at least"),
            ({"buckets": "0:1"}, "a list of bucket ids"),
            ({"buckets": ["0:1", None]}, "buckets[1]"),
            ({"bucket": ["0:1"]}, "did you mean buckets?"),
        ):
            self.assert_refused("bad_request", why, operator_request.buckets, body)

    def test_objects(self) -> None:
        """
        Objects are canonical ids, as text, each once, and not too many.
        """
        self.assertEqual(operator_request.objects({"objects": ["7", "1", "7"]}), ("7", "1"))
        self.assertEqual(operator_request.objects({"objects": []}), ())
        for body, why in (
            ({}, "objects: is required"),
            ({"objects": ["7", "07"]}, "objects[1]: must be a data object's id"),
            ({"objects": ["../7"]}, "objects[0]"),
            ({"objects": [7]}, "objects[0]"),
            ({"objects": [str(number) for number in range(operator_request.MOST_IDS + 1)]}, "at most"),
        ):
            self.assert_refused("bad_request", why, operator_request.objects, body)

    def test_pace(self) -> None:
        """
        A rate is some bytes per second.
        """
        self.assertEqual(operator_request.pace({"bytesPerSecond": 1}), 1)
        self.assertIsNone(operator_request.pace({}))
        for value in (0, -1, 1.5, "1M", True):
            self.assert_refused(
                "bad_request", "bytesPerSecond: must be", operator_request.pace, {"bytesPerSecond": value}
            )

    def test_nothing(self) -> None:
        """
        Where there is nothing to be said, nothing is.
        """
        operator_request.nothing({})
        self.assert_refused("bad_request", "a, b", operator_request.nothing, {"b": 1, "a": None})


class QueryTests(RefusedCase):
    """
    From a query to values.
    """

    def test_page(self) -> None:
        """
        A page begins behind an id, and has so many rows.
        """
        self.assertEqual(operator_request.page({}), (None, 100))
        self.assertEqual(operator_request.page({b"after": [b"7"], b"limit": [b"1000"]}), ("7", 1000))

    def test_what_is_no_page(self) -> None:
        """
        Anything else is told what is wrong with it.
        """
        for query, why in (
            ({b"after": [b"x"]}, "after: must be"),
            ({b"after": [b""]}, "after: must be"),
            ({b"after": [b"\xff"]}, "after: must be"),
            ({b"limit": [b"0"]}, "limit: must be an integer from 1 to 1000"),
            ({b"limit": [b"1001"]}, "limit"),
            ({b"limit": [b"+1"]}, "limit"),
            ({b"limit": [b"1_0"]}, "limit"),
            ({b"limit": ["१".encode()]}, "limit"),
            ({b"limit": [b"1", b"2"]}, "twice"),
            ({b"from": [b"1"]}, "from: unknown"),
            ({b"\xff": [b"1"]}, "unknown"),
        ):
            self.assert_refused("bad_request", why, operator_request.page, query)
        self.assert_refused("bad_request", "after: unknown", operator_request.rows, {b"after": [b"1"]})
        self.assert_refused("bad_request", "nothing", operator_request.no_parameters, {b"limit": [b"1"]})
