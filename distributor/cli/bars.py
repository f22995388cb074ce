"""
How far things are: as bars that move on a terminal, and as lines where there is none.

What they show is worked out from answers alone, so that it can be tested without either.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from attrs import field, frozen
from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from distributor.cli import views, words
from distributor.cli.client import Answer


@frozen
class Bar:
    """
    How far one thing is.

    @ivar name: what it is.
    @ivar done: how much of it is done; what C{total} is counted in.
    @ivar note: what else there is to say.
    @ivar stage: when this changes, there is news.
    """

    name: str
    done: float
    total: float
    note: str = field(default="", eq=False)
    stage: str = ""

    @property
    def share(self) -> str:
        """
        How much is done, in hundredths. Nothing of nothing is all.
        """
        return words.share(self.done, self.total)

    @property
    def news(self) -> tuple[str, int]:
        """
        What has to change for another line to be worth reading: the stage, or a tenth of the whole.
        """
        return self.stage, int(10 * self.done / self.total) if self.total else 10


class Display(Protocol):
    """
    Where bars are shown; used in a C{with}.
    """

    def __enter__(self) -> Self: ...

    def __exit__(
        self, type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, bars: Sequence[Bar], idle: str = "") -> None:
        """
        @param idle: what to say where there are none.
        """


class Moving:
    """
    Bars that stay where they are on a terminal, and move.
    """

    def __init__(self, console: Console) -> None:
        # What is shown changes when there is news, and not by itself: a thread that draws would only make races.
        self._live = Live(console=console, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, bars: Sequence[Bar], idle: str = "") -> None:
        """
        Show these in place of what was there.
        """
        self._live.update(drawn(bars) if bars else Text(idle), refresh=True)


class Lines:
    """
    A line for each thing when it has come further: for files, pipes, and terminals that can do no better.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown: dict[str, tuple[str, int]] = {}
        self._idle = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def show(self, bars: Sequence[Bar], idle: str = "") -> None:
        """
        Print what is news.
        """
        if not bars and not self._idle and idle:
            self._console.print(Text(idle), soft_wrap=True)
        self._idle = not bars
        for bar in bars:
            if self._shown.get(bar.name) != bar.news:
                self._console.print(Text(line(bar)), soft_wrap=True)
        self._shown = {bar.name: bar.news for bar in bars}


class Nowhere:
    """
    Shows nothing: standard output is for programs.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def show(self, bars: Sequence[Bar], idle: str = "") -> None:
        """
        Nothing.
        """


def drawn(bars: Sequence[Bar]) -> RenderableType:
    """
    Bars below one another, as wide as there is room.
    """
    grid = Table.grid(padding=(0, 1, 0, 0), expand=True)
    grid.add_column(no_wrap=True, overflow="ellipsis")
    grid.add_column(ratio=1, min_width=8, width=8, no_wrap=True)
    grid.add_column(no_wrap=True, justify="right", min_width=5)
    grid.add_column(no_wrap=True, overflow="ellipsis", min_width=30)
    for bar in bars:
        # Rich takes a total of nothing for one that is not known.
        shape = ProgressBar(total=bar.total, completed=bar.done) if bar.total else ProgressBar(total=1, completed=1)
        grid.add_row(Text(bar.name), shape, Text(bar.share), Text(bar.note))
    return grid


def line(bar: Bar) -> str:
    """
    The same as a line of text.
    """
    return "  ".join(each for each in (bar.name, bar.stage, bar.share, bar.note) if each)


def of_downloads(answer: Answer) -> list[Bar]:
    """
    A bar for each download.
    """
    bars = []
    for row in views.rows(answer, "downloads"):
        size, present = words.number(row.get("size")) or 0.0, words.number(row.get("present")) or 0.0
        state, readers = words.text(row.get("state")), words.number(row.get("readers")) or 0
        said = [words.size(size)]
        if state == "filling":
            said.append(words.rate(row.get("bytesPerSecond")))
            if row.get("secondsLeft") is not None:
                said.append(f"{words.duration(row.get('secondsLeft'))} left")
        else:
            said.append(state)
        if readers:
            said.append(f"{readers:.0f} reader{'s' if readers != 1 else ''}")
        name = f"object {words.text(row.get('objectId'))}"
        bars.append(Bar(name, max(0.0, min(present, size)), max(0.0, size), ", ".join(said), state))
    return bars


def of_verification(answer: Answer) -> Bar:
    """
    How far a scrub is, by bytes: objects differ too much.
    """
    done, total = words.number(answer.get("bytes")) or 0.0, words.number(answer.get("totalBytes")) or 0.0
    checked, all, bad = answer.get("checked"), answer.get("total"), views.bad_count(answer)
    said = f"{words.count(checked)} of {words.count(all)} objects"
    if answer.get("secondsLeft") is not None:
        said += f", {words.duration(answer.get('secondsLeft'))} left"
    if bad:
        said += f", {bad} bad"
    state = words.text(answer.get("state"))
    # While objects are still being counted, nothing is known of the whole.
    known = max(total, 0.0) if total or state != "running" else 1.0
    return Bar("verifying", max(0.0, min(done, known)), known, said, f"{bad} bad" if bad else "")
