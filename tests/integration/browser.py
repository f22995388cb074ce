"""
A headless Chromium, driven over the pipe of its DevTools protocol.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
from contextlib import suppress
from select import select
from subprocess import DEVNULL, STDOUT, Popen, TimeoutExpired
from time import monotonic
from typing import Any

from tests.integration.client import program
from tests.integration.process import PATIENCE_S, ProcessTestCase

_OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
    # Nothing but the node is to be reached, whatever else it may want to tell its makers.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    "--remote-debugging-pipe",
    "about:blank",
)


class Browser:
    """
    A browser with one page.

    @ivar complaints: what the page's console and the browser found wrong with it.
    """

    def __init__(self, case: ProcessTestCase) -> None:
        """
        @raise SkipTest: Chromium is not installed.
        """
        path = program("chromium")
        self._case = case
        self.complaints: list[str] = []
        self._log = case.directory() / "chromium.log"
        self._number = 0
        self._received = b""
        # The browser reads commands from descriptor 3, and writes to 4.
        commands, self._commands = os.pipe()
        self._answers, answers = os.pipe()
        for fd in (self._commands, self._answers):
            case.addCleanup(os.close, fd)
        # Out of the way of the two.
        spare_commands, spare_answers = (fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (commands, answers))
        with self._log.open("wb") as log:
            self._process = Popen(
                [
                    sys.executable,
                    "-c",
                    # A shell's redirections know no descriptors of two digits.
                    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4);"
                    " os.execv(sys.argv[3], sys.argv[3:])",
                    str(spare_commands),
                    str(spare_answers),
                    path,
                    f"--user-data-dir={case.directory()}",
                    *_OPTIONS,
                ],
                pass_fds=(spare_commands, spare_answers),
                stdin=DEVNULL,
                stdout=log,
                stderr=STDOUT,
                # A group of its own, since it starts processes that may outlive it.
                start_new_session=True,
            )
        case.addCleanup(self._end)
        for fd in (commands, answers, spare_commands, spare_answers):
            os.close(fd)
        target = self._command("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._command("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._in_page(f"{domain}.enable")

    def open(self, url: str) -> None:
        """
        Load a page.
        """
        answer = self._in_page("Page.navigate", url=url)
        self._case.assertNotIn("errorText", answer)

    def evaluate(self, script: str) -> Any:
        """
        Run JavaScript in the page, until the promise that it gives is fulfilled.

        @raise AssertionError: it throws, or takes too long.
        """
        answer = self._in_page(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in answer:
            raise self._case.failureException(f"{answer['exceptionDetails']}; the browser found: {self.complaints}")
        return answer["result"].get("value")

    def _in_page(self, method: str, **parameters: object) -> dict[str, Any]:
        return self._command(method, self._session, **parameters)

    def _command(self, method: str, session: str | None = None, **parameters: object) -> dict[str, Any]:
        self._number += 1
        message: dict[str, object] = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        deadline = monotonic() + PATIENCE_S
        while True:
            told = self._next_message(method, deadline)
            if told.get("id") == self._number:
                if "error" in told:
                    raise self._case.failureException(f"{method}: {told['error']}")
                result: dict[str, Any] = told["result"]
                return result
            self._note(told)

    def _next_message(self, method: str, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._received:
            if not select([self._answers], [], [], max(0.0, deadline - monotonic()))[0]:
                raise self._case.failureException(f"no answer to {method}; the browser found: {self.complaints}")
            data = os.read(self._answers, 1 << 20)
            if not data:
                raise self._case.failureException(f"Chromium has ended: {self._log.read_text(errors='replace')}")
            self._received += data
        message, _, self._received = self._received.partition(b"\0")
        told: dict[str, Any] = json.loads(message)
        return told

    def _note(self, event: dict[str, Any]) -> None:
        parameters = event.get("params", {})
        if event["method"] == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.complaints.append(parameters["entry"]["text"])
        elif event["method"] == "Runtime.exceptionThrown":
            self.complaints.append(parameters["exceptionDetails"]["text"])

    def _end(self) -> None:
        try:
            self._command("Browser.close")
            self._process.wait(PATIENCE_S)
        except (AssertionError, OSError, TimeoutExpired):
            # It is gone already, or does not listen; the group is ended below either way.
            pass
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
