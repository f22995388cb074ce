"""
Runs trial over the named tests, and closes with one line: C{N passed, N failed}, and C{, N skipped} if there are any.

The tests run in a process of their own, which reports trial's counts over a pipe: neither what a test prints, nor a
test that ends the process, can be taken for a result. Exit status 0 means that tests ran and that none failed.
"""

from __future__ import annotations

import json
import os
import pkgutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from tempfile import TemporaryFile
from typing import IO

from twisted.trial.reporter import Reporter, TreeReporter
from twisted.trial.runner import TestLoader, TrialRunner


def run_here(names: list[str], counts_fd: int) -> None:
    """
    Run the tests in this process, and write their counts to C{counts_fd} as JSON.
    """
    os.set_inheritable(counts_fd, False)
    results: list[Reporter] = []

    def reporter(*args: object) -> Reporter:
        results.append(TreeReporter(*args))
        return results[-1]

    suite = TestLoader().loadByNames(names, recurse=True)
    TrialRunner(reporter).run(suite)
    [result] = results
    # One test may both fail and fail to clean up: it is still one. A "todo" is a skip until it passes, then a failure.
    failed = {test.id() for test, _ in [*result.failures, *result.errors]} | {
        test.id() for test, _ in result.unexpectedSuccesses
    }
    counts = {
        "passed": result.successes,
        "failed": len(failed),
        "skipped": len(result.skips) + len(result.expectedFailures),
    }
    with open(counts_fd, "w") as pipe:
        json.dump(counts, pipe)


class Apart:
    """
    Tests that run in another process.
    """

    def __init__(self, names: Sequence[str], output: IO[bytes] | None = None) -> None:
        """
        @param output: where they print; L{None}: where this process does.
        """
        self._output = output
        self._counts_fd, write_fd = os.pipe()
        self._child = subprocess.Popen(
            [sys.executable, __file__, "--counts-fd", str(write_fd), *names],
            pass_fds=[write_fd],
            stdout=output,
            stderr=None if output is None else subprocess.STDOUT,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        os.close(write_fd)

    def result(self) -> tuple[dict[str, int], str | None]:
        """
        Wait for them, and print what they have printed, if that is not there yet.

        @return: what was counted, and what went wrong besides.
        """
        with open(self._counts_fd) as pipe:
            text = pipe.read()
        status = self._child.wait()
        if self._output is not None:
            self._output.seek(0)
            sys.stdout.buffer.write(self._output.read())
            sys.stdout.flush()
        if not text:
            counts = {"passed": 0, "failed": 1, "skipped": 0}
            return counts, f"trial ended before it could report; its status was {status}"
        problem = None if status == 0 else f"trial reported, and then ended with status {status}"
        return json.loads(text), problem


def groups(names: list[str]) -> list[list[str]]:
    """
    What runs side by side: of all tests, half of those that wait for real processes, and all others. Each takes about
    as long, and more than two at a time are more than two cores bear.
    """
    if names != ["tests"]:
        return [names]
    parts = sorted(f"tests.{module.name}" for module in pkgutil.iter_modules(["tests"]))
    computing = [name for name in parts if name != "tests.integration"]
    waiting = sorted(f"tests.integration.{module.name}" for module in pkgutil.iter_modules(["tests/integration"]))
    first = [name for name in waiting if name < "tests.integration.test_r"]
    return [group for group in (first, [*computing, *waiting[len(first) :]]) if group]


def main(arguments: list[str]) -> int:
    """
    @return: the exit status.
    """
    if arguments[:1] == ["--counts-fd"]:
        run_here(arguments[2:], int(arguments[1]))
        return 0
    # A Ctrl-C reaches all processes; trial's answer to it is the one that counts.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    first, *others = groups(arguments or ["tests"])
    with ExitStack() as files:
        running = [Apart(first)]
        running += [Apart(names, files.enter_context(TemporaryFile())) for names in others]
        results = [apart.result() for apart in running]
    counts = {key: sum(counted[key] for counted, _ in results) for key in ("passed", "failed", "skipped")}
    problems = [problem for _, problem in results if problem is not None]
    if any(counted["passed"] + counted["failed"] == 0 for counted, _ in results):
        problems.append("no test ran")
    for problem in problems:
        print(problem)
    skipped = f", {counts['skipped']} skipped" if counts["skipped"] else ""
    print(f"{counts['passed']} passed, {counts['failed']} failed{skipped}", flush=True)
    return 0 if counts["failed"] == 0 and not problems else 1


if __name__ == "__main__":
    # The tests are found from where it is called, as trial finds them.
    sys.path[0] = os.getcwd()
    sys.exit(main(sys.argv[1:]))
