"""
Tests for L{distributor.catalogue.fields}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from distributor.catalogue.fields import is_endpoint, is_media_type


class FieldsTests(SynchronousTestCase):
    """
    What may be written into a catalogue.
    """

    def test_endpoints(self) -> None:
        """
        An endpoint is an http or https URL with a host, and no more than a path.
        """
        for good in ("http://a", "https://a.example/storage/", "http://127.0.0.1:3333", "https://[2001:db8::1]:1/x"):
            self.assertTrue(is_endpoint(good), good)
        for bad in (
            *(
                "",
                " ",
                "a.example",
                "//a.example",
                "http://",
                "http:///x",
                "http://:80/",
                "ftp://a",
                "file:///etc/passwd",
            ),
            *(
                "http://user@a/",
                "http://a?x",
                "http://a#x",
                "http://a\\b",
                "http://a b",
                "http://a\n",
                "http://\u00e4.de",
            ),
            *("http://a:0/", "http://a:x/", "http://a:65536/", "http://[::1", "javascript:alert(1)", "http://a/\t"),
            "http://" + 2048 * "a",
        ):
            self.assertFalse(is_endpoint(bad), bad)

    def test_media_types(self) -> None:
        """
        A media type is what fits into a header.
        """
        for good in ("text/vtt", "text/plain; charset=utf-8", "application/x-subrip"):
            self.assertTrue(is_media_type(good), good)
        for bad in ("", "text", "text/", "/vtt", "text/vtt\r\nX: y", "text /vtt", "t\u00e9xt/vtt", "a/" + 200 * "b"):
            self.assertFalse(is_media_type(bad), bad)

    @given(st.text())
    def test_anything(self, text: str) -> None:
        """
        Whatever is asked, there is an answer; and what passes is printable ASCII.
        """
        if is_endpoint(text) or is_media_type(text):
            self.assertTrue(text.isascii() and text.isprintable())
