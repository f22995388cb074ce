"""
Tests for L{distributor.config.kinds}.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from distributor.config.kinds import buckets, chain_key, parse_size, size, url
from distributor.schema import Kind, Unfit


class SizeTests(SynchronousTestCase):
    """
    Sizes are written as Argus writes them.
    """

    def test_units(self) -> None:
        """
        Units are powers of 1024, and leading zeros do no harm.
        """
        sizes = {"0B": 0, "7B": 7, "2K": 2048, "3M": 3 << 20, "20G": 20 << 30, "1T": 1 << 40, "0500M": 500 << 20}
        for written, expected in sizes.items():
            self.assertEqual(parse_size(written), expected)

    def test_what_is_no_size(self) -> None:
        """
        Anything else is refused: other units, signs, fractions, digits of other scripts, more than files can have.
        """
        for written in (
            "",
            "7",
            "G",
            "7k",
            "7GB",
            "7 G",
            "-1G",
            "+1G",
            "1.5G",
            "1_0G",
            "٣G",
            "1G\n",
            "9" * 99 + "B",
            "8388608T",
        ):
            self.assertRaises(ValueError, parse_size, written)

    @given(st.integers(0, 2**64), st.sampled_from("BKMGT"))
    def test_any_number(self, number: int, unit: str) -> None:
        """
        Every size that a file can have is read, and none beyond.
        """
        expected = number << (10 * "BKMGT".index(unit))
        if expected < 2**63:
            self.assertEqual(parse_size(f"{number}{unit}"), expected)
        else:
            self.assertRaises(ValueError, parse_size, f"{number}{unit}")


class KindTests(SynchronousTestCase):
    """
    What values may be.
    """

    def refused(self, kind: Kind[Any], value: object) -> str:
        unfit: Unfit = self.assertRaises(Unfit, kind.read, value)
        return unfit.expected

    def test_least_size(self) -> None:
        """
        The minimum of a size is included, and a number is no size.
        """
        self.assertEqual(size("1M").read("1M"), 1 << 20)
        for value in ("1023K", 2**20, None):
            self.assertTrue(self.refused(size("1M"), value).endswith("at least 1M"))

    def test_urls(self) -> None:
        """
        A query node is asked over HTTP or HTTPS, at a host, and without a password in the URL.
        """
        good: tuple[object, ...] = (
            "http://localhost:8081/graphql",
            "https://[::1]/",
            "http://node?key=1",
            "HTTP://node",
        )
        value: object
        for value in good:
            self.assertEqual(url().read(value), value)
        bad: tuple[object, ...] = (
            "",
            "node",
            "//node/",
            "ws://node",
            "file:///etc",
            "http://",
            "http:///graphql",
            "http://node:x/",
            "http://node:70000/",
            "http://[::1",
            "http://a b/",
            "http://a\n/",
            7,
            None,
        )
        for value in bad:
            self.assertTrue(self.refused(url(), value).startswith("an http or https URL"), value)
        for value in ("http://me@node/", "http://me:secret@node/", "http://:secret@node/"):
            self.assertEqual(self.refused(url(), value), "an http or https URL without a user name or a password in it")

    def test_buckets(self) -> None:
        """
        Ids are text or plain integers; C{all} is no list at all.
        """
        self.assertEqual(buckets().read(["0:1", 7]), ("0:1", 7))
        self.assertEqual(buckets().read([]), ())
        self.assertIsNone(buckets().read("all"))
        bad: tuple[object, ...] = ("0:1", "ALL", 7, {}, [[]])
        for value in bad:
            self.refused(buckets(), value)

    def test_chain_keys(self) -> None:
        """
        Keys of the chain are text in old files, mappings in others.
        """
        for value in ("//Alice", {"suri": "//Alice"}):
            self.assertEqual(chain_key().read(value), value)
        self.refused(chain_key(), 7)
