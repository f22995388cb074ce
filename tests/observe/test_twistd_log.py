"""
Tests for L{distributor.observe.twistd_log}.
"""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from twisted.logger import ILogObserver, Logger, LogPublisher, capturedLogs
from twisted.python.syslog import SyslogObserver
from twisted.trial.unittest import SynchronousTestCase

from distributor.observe.twistd_log import twistd_log

OPTIONS = {"logger": None, "syslog": False, "prefix": "twisted", "logfile": None, "nodaemon": True}


class TwistdLogTests(SynchronousTestCase):
    """
    Where twistd would log to, and less of it.
    """

    def setUp(self) -> None:
        self.in_reactor: list[Callable[[], object]] = []
        directory = Path(self.mktemp()).absolute()
        directory.mkdir()
        before = os.getcwd()
        os.chdir(directory)
        self.addCleanup(os.chdir, before)

    def log(self, level: str | None, **options: Any) -> ILogObserver | None:
        found = twistd_log(level, {**OPTIONS, **options}, lambda work: self.in_reactor.append(work))
        if found is not None:
            log = Logger(observer=LogPublisher(found))
            log.info("as usual")
            log.error("trouble")
        return found

    def test_everything(self) -> None:
        """
        Without a level, twistd does what it always does, and nothing is opened.
        """
        self.assertIsNone(self.log(None, logfile="log"))
        self.assertFalse(Path("log").exists())

    def test_stdout(self) -> None:
        """
        In the foreground it logs to stdout, unless a file is named.
        """
        for logfile in (None, "-"):
            with mock.patch("sys.stdout", io.StringIO()) as out:
                self.assertIsNotNone(self.log("warn", logfile=logfile))
            self.assertRegex(out.getvalue(), r"\A\S+ .*trouble\n\Z")
            self.assertNotIn("as usual", out.getvalue())

    def test_file(self) -> None:
        """
        It logs to the file that is named, and as a daemon to C{twistd.log} if none is; C{SIGUSR1} begins a new one.
        """
        before = signal.getsignal(signal.SIGUSR1)
        self.addCleanup(signal.signal, signal.SIGUSR1, before)
        for name, options in (("log", {"logfile": "log"}), ("twistd.log", {"nodaemon": False})):
            signal.signal(signal.SIGUSR1, signal.SIG_DFL)
            self.log("error", **options)
            written = Path(name).read_text()
            self.assertIn("trouble", written)
            self.assertNotIn("as usual", written)
            os.kill(os.getpid(), signal.SIGUSR1)
            [rotate] = self.in_reactor
            rotate()
            self.in_reactor.clear()
            self.assertEqual((Path(name).read_text(), Path(f"{name}.1").read_text()), ("", written))

    def test_other_handlers(self) -> None:
        """
        Whoever else waits for that signal keeps it.
        """
        before = signal.getsignal(signal.SIGUSR1)
        self.addCleanup(signal.signal, signal.SIGUSR1, before)
        mine: list[object] = []
        signal.signal(signal.SIGUSR1, lambda *_: mine.append(None))
        self.log("error", logfile="log")
        os.kill(os.getpid(), signal.SIGUSR1)
        self.assertEqual((len(mine), self.in_reactor), (1, []))

    def test_syslog(self) -> None:
        """
        It logs to syslog, under the name that twistd was given.
        """
        opened: list[object] = []
        told: list[object] = []
        self.patch(SyslogObserver, "openlog", lambda self, prefix, options, facility: opened.append(prefix))
        self.patch(SyslogObserver, "syslog", lambda self, priority, line: told.append(line))
        self.log("error", syslog=True, prefix="node")
        self.assertEqual(opened, ["node"])
        lines = " ".join(map(str, told))
        self.assertIn("trouble", lines)
        self.assertNotIn("as usual", lines)

    def test_off(self) -> None:
        """
        Nothing at all is something else than twistd's own way.
        """
        with mock.patch("sys.stdout", io.StringIO()) as out:
            self.assertIsNotNone(self.log("off"))
        self.assertEqual(out.getvalue(), "")

    def test_not_ours(self) -> None:
        """
        Where only twistd knows what it logs to, that is left to it, and told of.
        """
        for options in ({"logger": object}, {"logfile": "-", "nodaemon": False}):
            with capturedLogs() as events:
                self.assertIsNone(self.log("warn", **options))
            self.assertIn("no effect", events[0]["log_format"])
        with capturedLogs() as events:
            self.assertIsNone(twistd_log("warn", None, lambda work: None))
        self.assertEqual(len(events), 1)
