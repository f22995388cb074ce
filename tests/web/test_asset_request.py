"""
Tests for L{distributor.web.asset_request}.
"""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from distributor.web.asset_request import AssetRequest, asset_request, download_name, field_value, request_id
from distributor.web.conditions import EntityTags
from distributor.web.ranges import RangeSpec


def read(method: str = "GET", query: bytes = b"", **fields: str) -> AssetRequest:
    """
    A request whose fields are given with underscores.
    """
    lines = {name.replace("_", "-").lower(): value for name, value in fields.items()}
    return asset_request(method, "7", lambda name: lines.get(name.lower()), query, lambda: "new")


class AssetRequestTests(SynchronousTestCase):
    """
    Reading a request.
    """

    def test_plain(self) -> None:
        """
        A request without fields asks for the whole object, to be shown.
        """
        self.assertEqual(read(), AssetRequest("GET", "7", None, None, None, None, None, "new"))

    def test_fields(self) -> None:
        """
        Each field is read into its own attribute.
        """
        request = read(
            Range="bytes=1-2",
            If_Match='"a"',
            If_None_Match='W/"b"',
            If_Range='"c"',
            X_Request_Id="mine",
            query=b"download",
        )
        self.assertEqual(
            request,
            AssetRequest(
                method="GET",
                object_id="7",
                range=(RangeSpec(1, 2),),
                if_match=EntityTags(strong=frozenset(['"a"'])),
                if_none_match=EntityTags(weak=frozenset(['"b"'])),
                if_range='"c"',
                download="",
                request_id="mine",
            ),
        )

    def test_range_on_head(self) -> None:
        """
        HEAD has no ranges.
        """
        self.assertIsNone(read("HEAD", Range="bytes=1-2").range)

    def test_empty_condition_is_a_condition(self) -> None:
        """
        A field that is there and empty is not an absent one.
        """
        self.assertEqual(read(If_Match="").if_match, EntityTags())

    def test_dates_are_no_conditions(self) -> None:
        """
        If-Modified-Since and If-Unmodified-Since change nothing.
        """
        date = "Tue, 15 Nov 1994 08:12:31 GMT"
        self.assertEqual(read(If_Modified_Since=date, If_Unmodified_Since=date), read())


class RequestIdTests(SynchronousTestCase):
    """
    What a request is called.
    """

    def test_kept_or_made(self) -> None:
        """
        1 to 64 harmless characters are kept.
        """
        for kept in ("a", "A-z_0.9", "x" * 64):
            self.assertEqual(request_id(kept, lambda: "new"), kept)
        for offered in (None, "", "x" * 65, "a b", "a,b", "a\n", "a\r\nX: y", "\u00e9", "\u0661", "{}"):
            self.assertEqual(request_id(offered, lambda: "new"), "new", offered)

    @given(st.one_of(st.text(max_size=70), st.from_regex(r"[A-Za-z0-9._-]{60,70}\n?")))
    def test_always_harmless(self, offered: str) -> None:
        """
        Whatever is offered, the id fits a header and a log line.
        """
        self.assertTrue(re.fullmatch(r"[A-Za-z0-9._-]{1,64}", request_id(offered, lambda: "new"), re.ASCII))


class DownloadNameTests(SynchronousTestCase):
    """
    C{?download} and C{?download=NAME}.
    """

    def test_forms(self) -> None:
        """
        Absent, without a value, and with one; the first counts.
        """
        for query, name in (
            (b"", None),
            (b"x=1", None),
            (b"Download=a", None),
            (b"download", ""),
            (b"download=", ""),
            (b"x&download&y", ""),
            (b"download=a+b%20c.mp4", "a b c.mp4"),
            (b"download=%C3%A9", "\u00e9"),
            (b"download=a&download=b", "a"),
            (b"download=%ff\xff", "\ufffd\ufffd"),
            (b"download=a;b", "a;b"),
        ):
            self.assertEqual(download_name(query), name, query)

    @given(st.binary(max_size=40))
    def test_never_raises(self, query: bytes) -> None:
        """
        No octets make it fail.
        """
        download_name(query)
        download_name(b"download=" + query)


class FieldValueTests(SynchronousTestCase):
    """
    A field of several lines.
    """

    def test_lines_are_joined(self) -> None:
        """
        Lines are joined as RFC 9110 §5.3 says, and no octet is refused.
        """
        headers = Headers()
        headers.addRawHeader(b"If-None-Match", b'"a"')
        headers.addRawHeader(b"if-none-match", b'"\xff"')
        self.assertEqual(field_value(headers.getRawHeaders(b"If-None-Match")), '"a", "\u00ff"')
        self.assertIsNone(field_value(headers.getRawHeaders(b"Range")))
        self.assertEqual(field_value([b""]), "")
