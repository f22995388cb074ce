"""
Tests for L{distributor.web.headers}.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from distributor.model import CacheState, ContentHash
from distributor.web.headers import (
    Facts,
    asset_headers,
    cache_control,
    cache_status,
    content_disposition,
    entity_tag,
    media_type,
    not_modified_headers,
    preflight_headers,
    server_timing,
)

HASH = ContentHash(0x1E, bytes(range(32)))
CSP = "sandbox; default-src 'none'; media-src 'self'; img-src 'self'; style-src 'unsafe-inline'"

# What content_disposition() may give: RFC 6266 without escapes, RFC 8187 with well-formed octets.
_SAVED = re.compile(
    r"attachment(?:; filename=\"(?P<plain>[ !#$&-\[\]-~]+)\""
    r"(?:; filename\*=UTF-8''(?P<encoded>(?:[A-Za-z0-9!#$&+.^_`|~-]|%[0-9A-F]{2})+))?)?"
)

# The table "Headers of 200 and 206" of the contract, but for those whose values depend on the ranges.
TABLE = {
    "X-Cache",
    "X-Data-Source",
    "ETag",
    "Cache-Control",
    "Content-Type",
    "Content-Disposition",
    "X-Content-Type-Options",
    "Content-Security-Policy",
    "Access-Control-Allow-Origin",
    "Access-Control-Expose-Headers",
    "Timing-Allow-Origin",
    "Cross-Origin-Resource-Policy",
    "Cache-Status",
    "Server-Timing",
    "X-Request-Id",
}

HIT = Facts(10, HASH, CacheState.HIT, False, "video/mp4", collapsed=False, stored=False)
MISS = Facts(10, HASH, CacheState.MISS, True, "video/mp4", False, True, catalogue_s=0.0123, source_s=0.5)

# Surrogates too: they are in no query, but a string can hold them.
any_text = st.text(st.characters(exclude_categories=()), max_size=300)


class AssetHeadersTests(SynchronousTestCase):
    """
    What a 200 and a 206 carry.
    """

    def test_hit(self) -> None:
        """
        A hit is for ever, and comes from here.
        """
        self.assertEqual(
            dict(asset_headers(HIT, None, "id-1")),
            {
                "X-Cache": "hit",
                "X-Data-Source": "local",
                "ETag": f'"{HASH}"',
                "Cache-Control": "public, max-age=31536000, immutable",
                "Content-Disposition": "inline",
                "Cache-Status": "distributor; hit",
                "X-Request-Id": "id-1",
                "Accept-Ranges": "bytes",
                "X-Content-Type-Options": "nosniff",
                "Content-Security-Policy": CSP,
                "Access-Control-Allow-Origin": "*",
                "Access-Control-Expose-Headers": dict(asset_headers(MISS, None, "x"))["Access-Control-Expose-Headers"],
                "Timing-Allow-Origin": "*",
                "Cross-Origin-Resource-Policy": "cross-origin",
            },
        )

    def test_miss(self) -> None:
        """
        A miss says what it waited for, and is kept briefly.
        """
        fields = dict(asset_headers(MISS, "", "id-1"))
        self.assertEqual(fields["X-Cache"], "miss")
        self.assertEqual(fields["X-Data-Source"], "external")
        self.assertEqual(fields["Cache-Control"], "public, max-age=180, must-revalidate")
        self.assertEqual(fields["Cache-Status"], "distributor; fwd=miss; stored")
        self.assertEqual(fields["Server-Timing"], "catalogue;dur=12.3, source;dur=500.0")
        self.assertEqual(fields["Content-Disposition"], "attachment")

    def test_every_header_of_the_table_is_exposed(self) -> None:
        """
        Scripts of other origins may read all of them, and the table is whole.
        """
        fields = dict(asset_headers(MISS, None, "id-1"))
        exposed = set(fields["Access-Control-Expose-Headers"].split(", "))
        self.assertLessEqual(TABLE, exposed)
        self.assertLessEqual(set(fields), exposed)
        self.assertEqual(TABLE - set(fields), {"Content-Type"})

    def test_no_field_twice(self) -> None:
        """
        Two lines of C{Access-Control-Allow-Origin} would be refused by browsers.
        """
        for headers in (
            asset_headers(MISS, None, "x"),
            not_modified_headers(MISS, "x"),
            preflight_headers("a", "x"),
        ):
            self.assertEqual(len(dict(headers)), len(headers))

    def test_not_modified(self) -> None:
        """
        A 304 repeats what names and keeps the copy that the client has, and describes no body.
        """
        fields, whole = dict(not_modified_headers(HIT, "id-1")), dict(asset_headers(HIT, None, "id-1"))
        self.assertEqual(fields, {name: whole[name] for name in fields})
        self.assertLessEqual({"ETag", "Cache-Control", "Access-Control-Allow-Origin", "X-Request-Id"}, set(fields))
        self.assertFalse(set(fields) & {"Content-Type", "Content-Length", "Content-Disposition", "Cache-Status"})


class ValueTests(SynchronousTestCase):
    """
    Single values.
    """

    def test_entity_tag(self) -> None:
        """
        It is strong, and the content hash.
        """
        self.assertEqual(entity_tag(HASH), f'"{HASH}"')

    def test_only_what_is_verified_is_immutable(self) -> None:
        """
        A download in progress is not.
        """
        self.assertIn("immutable", cache_control(CacheState.HIT))
        self.assertNotIn("immutable", cache_control(CacheState.PENDING))

    def test_cache_status(self) -> None:
        """
        Hit, joined, started, passed through.
        """
        for arguments, value in (
            ((CacheState.HIT, False, False), "distributor; hit"),
            ((CacheState.PENDING, True, True), "distributor; fwd=miss; collapsed"),
            ((CacheState.MISS, False, True), "distributor; fwd=miss; stored"),
            ((CacheState.MISS, False, False), "distributor; fwd=miss"),
        ):
            self.assertEqual(cache_status(*arguments), value)

    def test_server_timing(self) -> None:
        """
        Only what was waited for is named.
        """
        self.assertEqual(server_timing(0.001, None), "catalogue;dur=1.0")
        self.assertEqual(server_timing(None, 2.0), "source;dur=2000.0")
        self.assertEqual(server_timing(0.0, None), "catalogue;dur=0.0")
        self.assertIsNone(server_timing(None, None))

    def test_media_types(self) -> None:
        """
        Media types are kept as they are; all else is bytes.
        """
        for text in (
            "video/mp4",
            "text/vtt; charset=utf-8",
            'text/plain;charset="utf-8";x=y',
            r'a/b; c="d \" ;e"',
            "image/svg+xml",
        ):
            self.assertEqual(media_type(text), text)
        for text in (
            "",
            "video",
            "video/",
            "/mp4",
            "video/mp4\r\nX: y",
            "video/mp4\n",
            "video/mp4;",
            "video/mp4; x",
            'a/b; c="d',
            "vid\u00e9o/mp4",
            " video/mp4",
            "a/" + "b" * 300,
            "multipart/byteranges; boundary=x",
            "Multipart/x-mixed-replace",
            'a/b; c="' + "\\" * 200,
        ):
            self.assertEqual(media_type(text), "application/octet-stream", text)


class ContentDispositionTests(SynchronousTestCase):
    """
    Names of downloads.
    """

    def test_forms(self) -> None:
        """
        Shown, saved, saved under a name; a name that is not plain ASCII is encoded, with a plain one beside it.
        """
        for download, value in (
            (None, "inline"),
            ("", "attachment"),
            ("a b.mp4", 'attachment; filename="a b.mp4"'),
            ("a;b,c.mp4", 'attachment; filename="a;b,c.mp4"'),
            ("caf\u00e9.mp4", "attachment; filename=\"caf_.mp4\"; filename*=UTF-8''caf%C3%A9.mp4"),
            ('a"b%41', "attachment; filename=\"a_b_41\"; filename*=UTF-8''a%22b%2541"),
            ("../../etc/passwd", 'attachment; filename="passwd"'),
            ("C:\\x\\y.exe", 'attachment; filename="y.exe"'),
            ("a\r\nSet-Cookie: b", 'attachment; filename="aSet-Cookie: b"'),
            ("gpj\u202eexe", 'attachment; filename="gpjexe"'),
            (" . .bashrc ", 'attachment; filename="bashrc"'),
            ("..", "attachment"),
            ("a/", "attachment"),
            ("\x00\x7f", "attachment"),
            ("a\ud800b\u2028", 'attachment; filename="ab"'),
        ):
            self.assertEqual(content_disposition(download), value)

    def test_long_names(self) -> None:
        """
        A name fits a directory entry, and is cut between characters.
        """
        value = content_disposition("\u65e5" * 200)
        name = unquote(value.partition("UTF-8''")[2], errors="strict")
        self.assertEqual(name, "\u65e5" * 85)

    @given(any_text)
    def test_no_name_escapes(self, name: str) -> None:
        """
        Whatever the name, the value is one well-formed line of ASCII, and names a file in no directory.
        """
        value = content_disposition(name)
        match = _SAVED.fullmatch(value)
        assert match is not None, value
        for found in (match["plain"], unquote(match["encoded"] or "x", errors="strict")):
            if found is not None:
                self.assertFalse(set(found) & set("/\\\r\n\0"))
                self.assertFalse(found.startswith("."))


class PreflightTests(SynchronousTestCase):
    """
    The answer to C{OPTIONS}.
    """

    def test_any_header_may_be_asked_for(self) -> None:
        """
        Names are allowed as they were asked for; what is no name is not repeated.
        """
        for requested, allowed in (
            (None, "*"),
            ("", "*"),
            ("authorization", "authorization"),
            ("range,X-Playback-Session-Id ,\tif-none-match", "range, X-Playback-Session-Id, if-none-match"),
            ("a b, c\r\nX: y, d, \u00e9, ,", "d"),
        ):
            fields = dict(preflight_headers(requested, "id-1"))
            self.assertEqual(fields["Access-Control-Allow-Headers"], allowed)

    def test_methods(self) -> None:
        """
        It may be kept, and says what is answered here.
        """
        fields = dict(preflight_headers(None, "id-1"))
        self.assertEqual(fields["Access-Control-Allow-Methods"], "GET, HEAD, OPTIONS")
        self.assertEqual(fields["Allow"], "GET, HEAD, OPTIONS")
        self.assertEqual(fields["Access-Control-Allow-Origin"], "*")
        self.assertEqual(fields["Access-Control-Max-Age"], "86400")
        self.assertNotIn("Content-Length", fields)

    @given(any_text)
    def test_values_are_one_line(self, requested: str) -> None:
        """
        Nothing that is asked for ends a line.
        """
        for _, value in preflight_headers(requested, "id-1"):
            self.assertTrue(value.isascii() and value.isprintable())
