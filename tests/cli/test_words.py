"""
Tests for L{distributor.cli.words}.
"""

from __future__ import annotations

from datetime import UTC

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from distributor.cli import words
from tests.cli.operator_api import NOW
from tests.test_document import json_values


class WordsTests(SynchronousTestCase):
    """
    How values are written.
    """

    def test_sizes(self) -> None:
        """
        Sizes go up by 1024, and never show 1024 of a unit.
        """
        for amount, expected in (
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1024**2 - 1, "1.0 MiB"),
            (734003200, "700.0 MiB"),
            (107374182400, "100.0 GiB"),
            (1024**4, "1.0 TiB"),
            (900 * 1024**5, "900.0 PiB"),
            (-1, "-"),
            (None, "-"),
            ("7", "-"),
            (True, "-"),
            (float("nan"), "-"),
        ):
            self.assertEqual(words.size(amount), expected)
        self.assertEqual(words.rate(8 * 1024**2), "8.0 MiB/s")
        self.assertEqual(words.rate(None), "-")

    @given(st.integers(0, 10**17))
    def test_a_size_is_what_it_says(self, amount: int) -> None:
        """
        What is read back is the size, to a tenth of its unit; and there are never more than four digits before the
        point.
        """
        figure, unit = words.size(amount).split()
        factor = 1024 ** ["B", "KiB", "MiB", "GiB", "TiB", "PiB"].index(unit)
        self.assertLessEqual(abs(float(figure) * factor - amount), 0.0501 * factor)
        self.assertLess(float(figure), 1024)

    def test_shares(self) -> None:
        """
        Only all of it is 100 %; all of nothing is, too.
        """
        for part, whole, expected in (
            (0, 9, "0 %"),
            (999_999, 1_000_000, "99 %"),
            (9, 9, "100 %"),
            (0, 0, "100 %"),
            (10, 9, "-"),
            (None, 9, "-"),
        ):
            self.assertEqual(words.share(part, whole), expected)

    def test_times(self) -> None:
        """
        Durations have their two largest units; what a clock that is ahead says was now.
        """
        for seconds, expected in (
            (0.4, "0 s"),
            (59.4, "59 s"),
            (59.6, "1 min 0 s"),
            (75, "1 min 15 s"),
            (3599, "59 min 59 s"),
            (12_000, "3 h 20 min"),
            (270_000, "3 d 3 h"),
            (-1, "-"),
            ("x", "-"),
        ):
            self.assertEqual(words.duration(seconds), expected)
        self.assertEqual(words.ago(NOW - 60, NOW), "1 min 0 s ago")
        self.assertEqual(words.ago(NOW + 60, NOW), "0 s ago")
        self.assertEqual(words.ago(None, NOW), "-")
        self.assertEqual(words.milliseconds(81.4), "81 ms")
        self.assertEqual(words.moment(NOW, UTC), "2026-11-24 12:00:00")
        self.assertEqual(words.moment(1e14, UTC), "-")

    def test_texts_cannot_command_a_terminal(self) -> None:
        """
        What is not to be printed is escaped: sequences for a terminal, and characters that turn the line round.
        """
        self.assertEqual(words.text("a\x1b[31m\nb\u202e\x9b1m"), r"a\x1b[31m\nb\u202e\x9b1m")
        self.assertEqual(words.text("\U0001f600 ä"), "\U0001f600 ä")
        self.assertEqual(
            [words.text(each) for each in (None, "", True, False, 7, ["a"])], ["-", "-", "yes", "no", "7", '["a"]']
        )

    @given(json_values)
    def test_whatever_comes(self, value: object) -> None:
        """
        Whatever stands in an answer, it makes a short text of one line.
        """
        for write in (
            words.size,
            words.rate,
            words.count,
            words.milliseconds,
            words.duration,
            words.moment,
            words.text,
        ):
            written = write(value)
            self.assertTrue(written.isprintable() and written, written)
        self.assertTrue(words.ago(value, NOW).isprintable())
        self.assertTrue(words.share(value, value).isprintable())
