"""
Runs trial over the named tests, and closes with one line: C{N passed, N failed}, and C{, N skipped} if there are any.

The tests run in a process of their own, which reports trial's counts over a pipe: neither what a test prints, nor a
test that ends the process, can be taken for a result. Exit status 0 means that tests ran and that none failed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

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


def run_apart(names: Sequence[str]) -> tuple[dict[str, int] | None, int]:
    """
    Run the tests in another process.

    @return: what it counted, if it came so far; and its exit status.
    """
    read_fd, write_fd = os.pipe()
    # A Ctrl-C reaches both processes; trial's answer to it is the one that counts.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    child = subprocess.Popen(
        [sys.executable, __file__, "--counts-fd", str(write_fd), *names],
        pass_fds=[write_fd],
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    os.close(write_fd)
    with open(read_fd) as pipe:
        text = pipe.read()
    status = child.wait()
    return (json.loads(text) if text else None), status


def main(arguments: list[str]) -> int:
    """
    @return: the exit status.
    """
    if arguments[:1] == ["--counts-fd"]:
        run_here(arguments[2:], int(arguments[1]))
        return 0
    counts, status = run_apart(arguments or ["tests"])
    problem = None
    if counts is None:
        counts = {"passed": 0, "failed": 1, "skipped": 0}
        problem = f"trial ended before it could report; its status was {status}"
    elif counts["passed"] + counts["failed"] == 0:
        problem = "no test ran"
    elif status != 0:
        problem = f"trial reported, and then ended with status {status}"
    if problem is not None:
        print(problem)
    skipped = f", {counts['skipped']} skipped" if counts["skipped"] else ""
    print(f"{counts['passed']} passed, {counts['failed']} failed{skipped}", flush=True)
    return 0 if counts["failed"] == 0 and problem is None else 1


if __name__ == "__main__":
    # The tests are found from where it is called, as trial finds them.
    sys.path[0] = os.getcwd()
    sys.exit(main(sys.argv[1:]))
