"""
C{twistd distributor --adopt-only}: how far it is, for whoever watches.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from twisted.logger import Logger

from distributor.transfer import Checked

_log = Logger("distributor")

#: Where nobody watches a bar, a line comes each time that so much more is done, in percent.
_STEP = 5


def progress_teller() -> Callable[[Checked], None]:
    """
    A bar at a terminal, else lines in the log.
    """
    # Twisted has put its log in the place of stdout.
    if sys.__stderr__ is not None and sys.__stderr__.isatty():
        return _bar()
    return _lines()


def _lines() -> Callable[[Checked], None]:
    said = -1

    def tell(checked: Checked) -> None:
        nonlocal said
        step = 100 * checked.bytes // checked.total_bytes // _STEP if checked.total_bytes else 0
        if step != said:
            said = step
            _log.info(
                "{checked} of {total} files, {bytes} of {total_bytes} bytes",
                checked=checked.checked,
                total=checked.total,
                bytes=checked.bytes,
                total_bytes=checked.total_bytes,
            )

    return tell


def _bar() -> Callable[[Checked], None]:
    # Imported only here: a node has no use for it.
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    progress = Progress(
        TextColumn("{task.fields[files]}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(file=sys.__stderr__),
    )
    task = progress.add_task("", total=None, files="")

    def tell(checked: Checked) -> None:
        progress.start()
        files = f"{checked.checked} of {checked.total} files"
        progress.update(task, completed=checked.bytes, total=checked.total_bytes, files=files)
        if checked.state != "running":
            progress.stop()

    return tell
