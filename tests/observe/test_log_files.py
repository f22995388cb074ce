"""
Tests for L{distributor.observe.log_files}.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import IO, Any, cast
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import Logger, LogPublisher, capturedLogs, textFileLogObserver
from twisted.trial.unittest import SynchronousTestCase

from distributor.observe.log_files import PERIODS, LogFiles, old_name, period, surplus

# A Saturday, at noon.
NOON = datetime(2026, 1, 31, 12, 0).timestamp()  # noqa: DTZ001
HOUR_S = 3600.0
DAY_S = 24 * HOUR_S

old_names = st.builds(
    "distributor-{}{}.log{}".format,
    st.sampled_from(("2026", "2026-01", "2026-01-31", "2026-02-01", "2026-01-31-12")),
    st.sampled_from(("", ".1", ".2", ".10")),
    st.sampled_from(("", ".gz")),
)


class DecisionTests(SynchronousTestCase):
    """
    Names of files, and which of them go.
    """

    def test_periods(self) -> None:
        """
        A period has the name of its time, as precisely as it is long.
        """
        names = {frequency: period(frequency, NOON) for frequency in PERIODS}
        self.assertEqual(
            names, {"yearly": "2026", "monthly": "2026-01", "daily": "2026-01-31", "hourly": "2026-01-31-12"}
        )
        self.assertEqual(period("monthly", NOON + DAY_S), "2026-02")

    def test_names(self) -> None:
        """
        The second file of a period has a number, also where the first one is compressed or gone.
        """
        self.assertEqual(
            old_name("2026-01-31", ["distributor.log", "x", "distributor-2026-01.log"]), "distributor-2026-01-31.log"
        )
        self.assertEqual(old_name("2026", ["distributor-2026.log.gz"]), "distributor-2026.1.log")
        self.assertEqual(
            old_name("2026", ["distributor-2026.9.log", "distributor-2026.10.log"]), "distributor-2026.11.log"
        )

    def test_surplus(self) -> None:
        """
        The oldest go first; what is not one of our old files never does.
        """
        names = [
            "distributor.log",
            "distributor-2026-02-01.log",
            "distributor-2026-01-31.10.log",
            "distributor-2026-01-31.9.log.gz",
            "distributor-2026-01-31.log",
            "distributor-of-wood.log",
            "distributor-2026-01-30.log.gz.tmp",
        ]
        self.assertEqual(surplus(names, None), [])
        self.assertEqual(surplus(names, 5), [])
        self.assertEqual(surplus(names, 3), ["distributor-2026-01-31.log", "distributor-2026-01-31.9.log.gz"])
        self.assertEqual(len(surplus(names, 1)), 4)

    @given(st.sets(old_names), st.integers(1, 9), st.sampled_from(("2026", "2026-01-31")))
    def test_any_names(self, names: set[str], max_files: int, ended: str) -> None:
        """
        A new name is not taken, compressed or not, and what goes leaves as many files as wanted.
        """
        name = old_name(ended, names)
        self.assertNotIn(name, names)
        self.assertNotIn(f"{name}.gz", names)
        gone = surplus(names, max_files)
        self.assertEqual(len(names) - len(gone), min(len(names), max_files - 1))
        self.assertTrue(set(gone) <= names)


class LogFilesTests(SynchronousTestCase):
    """
    Files are begun, named, compressed and removed.
    """

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()) / "logs"
        self.now = NOON
        self.in_thread: list[Callable[[], None]] = []

    def open(self, **more: Any) -> LogFiles:
        options: dict[str, Any] = {"frequency": "daily", "max_bytes": None, "max_files": None, "archive": False, **more}
        files = LogFiles(
            self.folder, **options, now=lambda: self.now, call_in_thread=lambda work: self.in_thread.append(work)
        )
        self.addCleanup(files.close)
        return files

    def work(self) -> None:
        """
        Do what is to be done in a thread.
        """
        while self.in_thread:
            self.in_thread.pop(0)()

    def contents(self) -> dict[str, str]:
        """
        What is in which file, what is compressed read.
        """
        return {
            path.name: (gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()).decode()
            for path in self.folder.iterdir()
        }

    def test_writes_at_once(self) -> None:
        """
        The directory is made, and each line is in the file when it has been written.
        """
        files = self.open()
        files.write("grüße\n")
        files.write(b"bytes\n")
        files.write("\udc80\n")
        files.flush()
        self.assertEqual(self.contents(), {"distributor.log": "grüße\nbytes\n\\udc80\n"})

    def test_as_an_observer(self) -> None:
        """
        It is a file for Twisted's own observer.
        """
        observer = textFileLogObserver(cast(IO[str], self.open()))
        Logger(observer=LogPublisher(observer)).info("hello {who}", who="you")
        self.assertRegex(self.contents()["distributor.log"], r"\A2.*hello you\n\Z")

    def test_a_new_period(self) -> None:
        """
        The first line of a day goes to a new file; the old one has its day in its name. Time alone begins no file.
        """
        self.now -= DAY_S
        files = self.open()
        self.now += DAY_S
        files.write("saturday\n")
        self.now += HOUR_S
        files.write("still\n")
        self.now += DAY_S
        self.assertEqual(self.contents(), {"distributor.log": "saturday\nstill\n"})
        files.write("sunday\n")
        self.assertEqual(
            self.contents(), {"distributor-2026-01-31.log": "saturday\nstill\n", "distributor.log": "sunday\n"}
        )
        self.now += 2 * DAY_S
        files.write("tuesday\n")
        self.assertEqual(self.contents()["distributor-2026-02-01.log"], "sunday\n")

    def test_full(self) -> None:
        """
        A file that has as many bytes as it may gets no more.
        """
        files = self.open(max_bytes=4)
        for line in ("a\n", "b\n", "c\n", "longer\n", "d\n"):
            files.write(line)
        self.assertEqual(
            self.contents(),
            {
                "distributor-2026-01-31.log": "a\nb\n",
                "distributor-2026-01-31.1.log": "c\nlonger\n",
                "distributor.log": "d\n",
            },
        )

    def test_goes_on(self) -> None:
        """
        A process goes on with the file of the one before, on the same day, and begins one on another.
        """
        self.open().write("before\n")
        os.utime(self.folder / "distributor.log", (NOON, NOON))
        files = self.open(max_bytes=8)
        files.write("after\n")
        self.assertEqual(self.contents(), {"distributor.log": "before\nafter\n"})
        files.write("full\n")
        self.assertEqual(
            self.contents(), {"distributor-2026-01-31.log": "before\nafter\n", "distributor.log": "full\n"}
        )
        os.utime(self.folder / "distributor.log", (NOON, NOON))
        self.now += DAY_S
        self.open().write("sunday\n")
        self.assertEqual(self.contents()["distributor-2026-01-31.1.log"], "full\n")

    def test_too_many(self) -> None:
        """
        As many files as may be are kept, the current one included; the others go in a thread.
        """
        files = self.open(max_files=3)
        for day in "abcd":
            files.write(day)
            self.now += DAY_S
        self.assertEqual(len(self.contents()), 4)
        self.work()
        self.assertEqual(sorted(self.contents().values()), ["b", "c", "d"])

    def test_archive(self) -> None:
        """
        Old files are compressed, in a thread, and counted as others.
        """
        files = self.open(max_files=3, archive=True)
        for day in "abcd":
            files.write(day)
            self.now += DAY_S
            self.work()
        self.assertEqual(
            self.contents(),
            {"distributor-2026-02-01.log.gz": "b", "distributor-2026-02-02.log.gz": "c", "distributor.log": "d"},
        )

    def test_left_undone(self) -> None:
        """
        What a process that was killed had not compressed, or only half, the next one compresses.
        """
        self.folder.mkdir(parents=True)
        (self.folder / "distributor-2026-01-30.log").write_text("friday")
        (self.folder / "distributor-2026-01-30.log.gz.tmp").write_bytes(b"half")
        self.open(archive=True)
        self.work()
        self.assertEqual(self.contents(), {"distributor-2026-01-30.log.gz": "friday", "distributor.log": ""})

    def test_cannot_rename(self) -> None:
        """
        Where no new file can be begun, the old one goes on, until one can.
        """
        files = self.open(max_bytes=1)
        files.write("a")
        with mock.patch("os.rename", side_effect=PermissionError):
            files.write("b")
        self.assertEqual(self.contents(), {"distributor.log": "ab"})
        files.write("c")
        self.assertEqual(self.contents(), {"distributor-2026-01-31.log": "ab", "distributor.log": "c"})

    def test_cannot_tidy(self) -> None:
        """
        What cannot be removed is told of, and tried again with the next file.
        """
        files = self.open(max_files=1, max_bytes=1)
        self.work()
        files.write("a")
        files.write("b")
        with mock.patch.object(Path, "unlink", side_effect=PermissionError("not yours")), capturedLogs() as events:
            self.work()
        self.assertEqual([str(event["error"]) for event in events], ["not yours"])
        self.assertEqual(len(self.contents()), 2)
        files.write("c")
        self.work()
        self.assertEqual(self.contents(), {"distributor.log": "c"})

    def test_directory_cannot_be_made(self) -> None:
        """
        Where there cannot be a directory, that is told before anything is logged.
        """
        self.folder.parent.mkdir()
        self.folder.touch()
        self.assertRaises(FileExistsError, self.open)
