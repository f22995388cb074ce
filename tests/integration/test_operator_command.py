"""
The operator's command line as a process: on a terminal, and when somebody presses ctrl-C.
"""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.cli import samples
from tests.cli.operator_api import SECRET, fake_api
from tests.integration.process import PATIENCE_S, environment


class ProcessTests(SynchronousTestCase):
    """
    C{python -m distributor}.
    """

    def setUp(self) -> None:
        self.api = fake_api(self)

    def start(self, *arguments: str, stdout: int, **environ: str) -> subprocess.Popen[bytes]:
        """
        Start a command; its clock is the right one, which the fake has to take.
        """
        self.api.now = time.time()
        directory = Path(self.mktemp())
        directory.mkdir()
        (directory / "secret").write_text(SECRET)
        command = [sys.executable, "-m", "distributor", *arguments, "--url", self.api.url, "--secret-file", "secret"]
        process = subprocess.Popen(
            command,
            cwd=directory,
            env=environment(environ),
            stdout=stdout,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.addCleanup(self._end, process)
        return process

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.communicate()

    def test_interrupted_in_a_pipe(self) -> None:
        """
        What has been seen is in the pipe at once; ctrl-C ends it with 130, and no traceback.
        """
        self.api.answer("GET /downloads", samples.DOWNLOADS)
        process = self.start("downloads", "--watch", "--interval", "3600", stdout=subprocess.PIPE)
        assert process.stdout is not None
        self.assertTrue(process.stdout.readline().startswith(b"object 7  filling  14 %"))
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=PATIENCE_S)
        self.assertEqual((process.returncode, complaint), (130, b"\n"))

    def test_on_a_terminal(self) -> None:
        """
        There are bars that move, until ctrl-C gives the cursor back.
        """
        self.api.answer("GET /downloads", samples.DOWNLOADS)
        ours, its = pty.openpty()
        self.addCleanup(os.close, ours)
        process = self.start(
            "downloads", "--watch", "--interval", "0.1", stdout=its, TERM="xterm", COLUMNS="80", LINES="24"
        )
        os.close(its)
        shown = b""
        # Twice, so that it has moved.
        while shown.count(b"14 %") < 2:
            shown += os.read(ours, 65536)
        process.send_signal(signal.SIGINT)
        while True:
            try:
                came = os.read(ours, 65536)
            except OSError:
                # The last of the other side has closed it.
                break
            if not came:
                break
            shown += came
        self.assertEqual(process.wait(PATIENCE_S), 130)
        text = shown.decode()
        self.assertRegex(text, "━")
        self.assertIn("\x1b[2K", text)
        self.assertLess(text.rindex("\x1b[?25l"), text.rindex("\x1b[?25h"))
        for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).splitlines():
            self.assertLessEqual(len(line.rpartition("\r")[2]), 80)

    def test_reader_goes_away(self) -> None:
        """
        C{| head} is no reason for a traceback.
        """
        row = samples.OBJECTS["objects"][0]
        many = [{**row, "objectId": str(each)} for each in range(2000)]
        self.api.answer("GET /objects", {"objects": many, "next": None})
        process = self.start("objects", stdout=subprocess.PIPE)
        assert process.stdout is not None
        self.assertTrue(process.stdout.readline().startswith(b"object"))
        process.stdout.close()
        assert process.stderr is not None
        self.assertEqual(process.stderr.read(), b"")
        self.assertEqual(process.wait(PATIENCE_S), 1)
