"""
Tests for L{distributor.transfer.media_type}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from distributor.devnet import exhibits
from distributor.transfer.media_type import SNIFFED, media_type


class MediaTypeTests(SynchronousTestCase):
    """
    What bytes say goes before what others say of them.
    """

    def test_order(self) -> None:
        """
        The bytes, the catalogue, the storage node, and nothing known: in this order.
        """
        png = b"\x89PNG\r\n\x1a\n" + bytes(100)
        self.assertEqual(media_type(png, "text/plain", "text/html"), "image/png")
        self.assertEqual(media_type(b"text", "text/vtt", "text/plain"), "text/vtt")
        self.assertEqual(media_type(b"", None, "text/plain"), "text/plain")
        self.assertEqual(media_type(b"text", None, None), "application/octet-stream")

    def test_real_files(self) -> None:
        """
        The types of the built-in library are found without the catalogue's help, where there is a signature to find.
        """
        for each in exhibits():
            head = each.path.read_bytes()[:SNIFFED]
            self.assertIn(media_type(head, None, None), (each.type, "application/octet-stream"))

    def test_nothing_that_a_browser_would_run(self) -> None:
        """
        Markup is never taken for what it looks like.
        """
        for markup in (
            b"<!DOCTYPE html><script>",
            b"<svg xmlns='http://www.w3.org/2000/svg'>",
            b"<?xml version='1.0'?>",
        ):
            self.assertEqual(media_type(markup, None, None), "application/octet-stream")
