"""
The devnet as real processes.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from select import select
from threading import Timer
from urllib.error import HTTPError
from urllib.request import urlopen

from tests.integration.process import PATIENCE_S, ROOT, ProcessTestCase, environment

_DISTRIBUTORS = ("distributor-a", "distributor-b")


class DevnetTests(ProcessTestCase):
    """
    C{python -m distributor.devnet}.
    """

    def started(self, *arguments: str) -> subprocess.Popen[str]:
        """
        Start one; it ends with the test.
        """
        process = subprocess.Popen(
            [sys.executable, "-m", "distributor.devnet", "--objects", "8", *arguments],
            env=environment(),
            cwd=self.directory(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        # Reading its output blocks; a devnet that hangs must not.
        timer = Timer(PATIENCE_S, process.kill)
        timer.start()
        self.addCleanup(timer.cancel)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        assert process.stdout is not None
        self.addCleanup(process.stdout.close)
        return process

    def read_until(self, process: subprocess.Popen[str], pattern: str) -> str:
        """
        Its output up to the line that has the pattern.
        """
        assert process.stdout is not None
        output = ""
        for line in process.stdout:
            output += line
            if re.search(pattern, line):
                return output
        raise self.failureException(f"no {pattern!r} in:\n{output}")

    def test_life(self) -> None:
        """
        It starts, says where everything is, and all of it works: each distributor, through its query node, serves what
        the other does not; the operator's commands are answered. At Ctrl-C it ends every process that it has started.
        """
        directory = self.directory()
        process = self.started("--dir", str(directory))
        output = self.read_until(process, "Ctrl-C ends everything")
        urls = dict(re.findall(r"^  (\S+) +(http://127\.0\.0\.1:\d+)$", output, re.MULTILINE))
        self.assertEqual(len(urls), 7, output)
        targets = re.findall(r"curl -o /dev/null (http://\S+)", output)
        self.assertEqual({target.partition("/api")[0] for target in targets}, {urls[name] for name in _DISTRIBUTORS})
        for target in targets:
            with urlopen(target, timeout=PATIENCE_S) as answer:
                served = answer.read()
            media = directory / "media" / f"{target.rpartition('/')[2]}.bin"
            self.assertTrue(served == media.read_bytes(), "other bytes than those of the media")
        [elsewhere] = re.findall(r"curl -si (http://\S+) .*421", output)
        self.assertEqual(self.assertRaises(HTTPError, urlopen, elsewhere, timeout=PATIENCE_S).code, 421)
        for name in _DISTRIBUTORS:
            status = subprocess.run(
                [sys.executable, "-m", "distributor", "status", "--json", "--config", directory / name / "config.yml"],
                env=environment(),
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
                check=False,
            )
            self.assertEqual(status.returncode, 0, status.stderr)
            self.assertIn(name, status.stdout)
        children = children_of(process.pid)
        self.assertEqual(len(children), 7)
        process.send_signal(signal.SIGINT)
        self.read_until(process, r"devnet +\| stopped")
        self.assertEqual(process.wait(), 0)
        self.assertEqual([pid for pid in children if Path(f"/proc/{pid}").exists()], [])
        for log in (directory / "logs").iterdir():
            self.assertNotIn("Traceback", log.read_text(encoding="utf-8"), log.name)
        self.assertEqual(len(list((directory / "logs").iterdir())), 7)

    def test_chaos(self) -> None:
        """
        With C{--chaos} things happen to nodes, and it still ends well; here, with distributors that read a manifest.
        """
        process = self.started("--chaos", "--quiet", "--manifest")
        self.read_until(process, r"^chaos .*(kill|SIGSTOP|restart|spoil)")
        process.send_signal(signal.SIGTERM)
        self.read_until(process, r"devnet +\| stopped")
        self.assertEqual(process.wait(), 0)

    def test_killed(self) -> None:
        """
        When it is killed, nothing that it has started outlives it.
        """
        process = self.started("--quiet")
        self.read_until(process, "Ctrl-C ends everything")
        watched = [os.pidfd_open(pid) for pid in children_of(process.pid)]
        process.kill()
        self.assertEqual(len(watched), 7)
        for pidfd in watched:
            self.addCleanup(os.close, pidfd)
            # Readable once the process has ended, though whoever adopts it may not have reaped it.
            self.assertEqual(select([pidfd], [], [], PATIENCE_S)[0], [pidfd])

    def test_without_graphql(self) -> None:
        """
        A node needs graphql-core neither to be imported nor to run the demo.
        """
        script = (
            "import sys; sys.modules['graphql'] = None\n"
            "import distributor.devnet, distributor.tap\n"
            "import distributor.devnet.query_node"
        )
        ended = subprocess.run(
            [sys.executable, "-c", script], env=environment(), cwd=ROOT, capture_output=True, text=True, check=False
        )
        self.assertIn('File "<string>", line 3', ended.stderr)
        self.assertIn("graphql", ended.stderr.splitlines()[-1])


def children_of(pid: int) -> list[int]:
    """
    The processes that a process has started and that have not ended.
    """
    found: list[int] = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        found += map(int, children.read_text(encoding="ascii").split())
    return found
