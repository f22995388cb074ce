"""
Tests for L{distributor.cli.bars}.
"""

from __future__ import annotations

import io

from hypothesis import given
from rich.console import Console
from twisted.trial.unittest import SynchronousTestCase

from distributor.cli.bars import Bar, Lines, Moving, drawn, line, of_downloads, of_verification
from tests.cli import samples
from tests.cli.test_views import distorted
from tests.cli.test_views import drawn as on_paper


class BarsTests(SynchronousTestCase):
    """
    From answers to bars, and to what is drawn.
    """

    def test_downloads(self) -> None:
        """
        How much there is of each, how fast it comes, and when it will be there; or why it does not come.
        """
        self.assertEqual(
            [line(bar) for bar in of_downloads(samples.DOWNLOADS)],
            [
                "object 7  filling  14 %  700.0 MiB, 8.0 MiB/s, 1 min 15 s left, 2 readers",
                "object 12045  queued  0 %  3.0 MiB, queued, 1 reader",
            ],
        )

    def test_verification(self) -> None:
        """
        A scrub goes by bytes; while it still counts, nothing is done.
        """
        bar = of_verification(samples.VERIFYING)
        self.assertEqual(line(bar), "verifying  29 %  300 of 1204 objects, 12 min 54 s left")
        self.assertEqual(of_verification({"state": "running", "bytes": 0, "totalBytes": 0}).share, "0 %")
        self.assertEqual(of_verification({"state": "done", "bytes": 0, "totalBytes": 0}).share, "100 %")
        self.assertIn("1 bad", line(of_verification(samples.VERIFIED)))

    def test_fits_a_terminal(self) -> None:
        """
        With the longest ids there are, each bar is one line of at most 80 columns, and has a bar.
        """
        row = {**samples.DOWNLOADS["downloads"][0], "objectId": "18446744073709551615", "readers": 10_000}
        [shown] = on_paper(drawn(of_downloads({"downloads": [row]}))).splitlines()
        self.assertLessEqual(len(shown), 80)
        self.assertRegex(shown, "[━╸╺]")
        self.assertIn("14 %", shown)

    @given(distorted(samples.DOWNLOADS).filter(lambda answer: isinstance(answer, dict)))
    def test_whatever_comes(self, answer: dict[str, object]) -> None:
        """
        Whatever a node says, it can be drawn.
        """
        on_paper(drawn(of_downloads(answer)))


class LinesTests(SynchronousTestCase):
    """
    L{Lines}: without a terminal.
    """

    def test_news_only(self) -> None:
        """
        There is a line when something begins, gets on by a tenth, or changes its state; and one when all is over.
        """
        file = io.StringIO()
        with Lines(Console(file=file, width=30)) as lines:
            lines.show([Bar("a", 0, 100, "slow", "queued")], "idle")
            for done in range(100):
                lines.show([Bar("a", done, 100, "a note that is longer than the width", "filling")], "idle")
            lines.show([], "idle")
            lines.show([], "idle")
            lines.show([Bar("b", 0, 0)], "idle")
        shown = file.getvalue().splitlines()
        self.assertEqual(shown[:2], ["a  queued  0 %  slow", "a  filling  0 %  a note that is longer than the width"])
        self.assertEqual(len(shown), 1 + 10 + 1 + 1)
        self.assertEqual(shown[-2:], ["idle", "b  100 %"])


class MovingTests(SynchronousTestCase):
    """
    L{Moving}: on a terminal.
    """

    def moved(self, *, interrupted: bool = False, **options: object) -> str:
        """
        What goes to a terminal when a bar moves once.
        """
        file = io.StringIO()
        console = Console(file=file, width=80, force_terminal=True, **options)  # type: ignore[arg-type]
        try:
            with Moving(console) as display:
                display.show([Bar("a", 1, 4, "first")])
                display.show([Bar("a", 2, 4, "second")])
                if interrupted:
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            pass
        return file.getvalue()

    def test_stays_in_its_place(self) -> None:
        """
        The second time is written over the first, and the cursor is there again at the end, ctrl-C or not.
        """
        for interrupted in (False, True):
            shown = self.moved(interrupted=interrupted, color_system="standard")
            self.assertIn("\x1b[2K", shown)
            self.assertLess(shown.index("first"), shown.index("second"))
            self.assertLess(shown.rindex("\x1b[?25l"), shown.rindex("\x1b[?25h"))

    def test_no_colour(self) -> None:
        """
        C{NO_COLOR} leaves the bar without colours, and moving.
        """
        coloured = self.moved(color_system="256", _environ={})
        plain = self.moved(color_system="256", _environ={"NO_COLOR": "1"})
        self.assertIn("\x1b[38;5;", coloured)
        self.assertNotRegex(plain, r"\x1b\[(3|9)[0-9]")
        self.assertIn("50 %", plain)
