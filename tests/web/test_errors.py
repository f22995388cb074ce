"""
Tests for L{distributor.web.errors}.
"""

from __future__ import annotations

import json
import re

from twisted.trial.unittest import SynchronousTestCase

from distributor import model
from distributor.web import errors


class TableTests(SynchronousTestCase):
    """
    The errors there are.
    """

    def test_types_are_words_and_differ(self) -> None:
        """
        A program can tell each error from every other.
        """
        types = [error.type for error in errors.ALL_ERRORS]
        self.assertEqual(len(set(types)), len(types))
        for word in types:
            self.assertTrue(re.fullmatch(r"[a-z]+(_[a-z]+)*", word), word)

    def test_table_is_whole(self) -> None:
        """
        Every error that the module defines is listed.
        """
        defined = {value for value in vars(errors).values() if isinstance(value, errors.ApiError)}
        self.assertEqual(defined, set(errors.ALL_ERRORS))

    def test_every_503_says_when_to_come_back(self) -> None:
        """
        C{Retry-After} goes with 503, and with nothing else.
        """
        for error in errors.ALL_ERRORS:
            self.assertEqual(error.retry_after is not None, error.status == 503, error.type)


class ErrorForTests(SynchronousTestCase):
    """
    From exceptions to errors.
    """

    def test_each_exception(self) -> None:
        """
        Each way to fail has its status and its word.
        """
        for exception, status, word in (
            (model.ObjectNotFound(), 404, "object_not_found"),
            (model.ObjectNotAccepted(), 404, "object_not_accepted"),
            (model.ObjectNotDistributed(), 421, "object_not_distributed"),
            (model.SourcesFailed(), 502, "sources_failed"),
            (model.SourcesTimedOut(), 504, "sources_timed_out"),
            (model.ContentMismatch(), 502, "content_mismatch"),
            (model.CatalogueUnavailable(), 503, "catalogue_unavailable"),
            (model.Overloaded(), 503, "overloaded"),
            (model.NoRoom(), 500, "internal_error"),
            (model.DiskFailed(), 500, "internal_error"),
            (ZeroDivisionError("secret"), 500, "internal_error"),
        ):
            error = errors.error_for(exception, 7)
            self.assertEqual((error.status, error.type), (status, word))

    def test_subclass(self) -> None:
        """
        A more special exception is told as the nearest one that is known.
        """

        class Slow(model.SourcesTimedOut):
            pass

        self.assertEqual(errors.error_for(Slow(), 7), errors.SOURCES_TIMED_OUT)

    def test_negative_max_age(self) -> None:
        """
        How long an absence may be remembered is the caller's to say; nothing else is remembered.
        """
        self.assertEqual(errors.error_for(model.ObjectNotFound(), 7).max_age, 7)
        self.assertEqual(errors.error_for(model.ObjectNotDistributed(), 7).max_age, 7)
        self.assertIsNone(errors.error_for(model.Overloaded(), 7).max_age)

    def test_nothing_of_the_exception_is_told(self) -> None:
        """
        Messages of exceptions stay in the log.
        """
        for kind in (ValueError, model.SourcesFailed, model.CatalogueUnavailable):
            error = errors.error_for(kind("secret"), 7)
            self.assertNotIn(b"secret", errors.body(error))
            self.assertNotIn("secret", repr(errors.headers(error, "id")))


class HttpTests(SynchronousTestCase):
    """
    What an error looks like over HTTP.
    """

    def test_body(self) -> None:
        """
        It is the JSON that the contract shows.
        """
        self.assertEqual(
            errors.body(errors.OBJECT_NOT_FOUND),
            b'{"type": "object_not_found", "message": "Data object does not exist"}',
        )

    def test_each(self) -> None:
        """
        Each is typed, has its length, can be read by other origins, and is not kept by caches unless it says so; and
        then not before it has been said for how long.
        """
        for error in errors.ALL_ERRORS:
            pairs = errors.headers(error, "id-1")
            fields = dict(pairs)
            self.assertEqual(len(fields), len(pairs))
            self.assertEqual(fields["Content-Type"], "application/json")
            self.assertEqual(int(fields["Content-Length"]), len(errors.body(error)))
            self.assertEqual(json.loads(errors.body(error)), {"type": error.type, "message": error.message})
            self.assertEqual(fields["Access-Control-Allow-Origin"], "*")
            self.assertEqual(fields["X-Request-Id"], "id-1")
            self.assertEqual(fields["X-Content-Type-Options"], "nosniff")
            kept = error.type.startswith("object_not_")
            self.assertEqual(fields["Cache-Control"], "max-age=0" if kept else "no-store")
            self.assertEqual("Allow" in fields, error.status == 405)
            self.assertEqual(fields.get("Retry-After"), None if error.retry_after is None else str(error.retry_after))
