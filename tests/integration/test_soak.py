"""
The soak itself: its clients against a server that answers wrong, and a short one of the real thing.
"""

from __future__ import annotations

import json
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, ClassVar

from tests.integration.process import PATIENCE_S, ROOT, ProcessTestCase, environment

_CONTENT = bytes(range(256)) * 40


class _Server(BaseHTTPRequestHandler):
    """
    Serves one object, as C{how} says.
    """

    how: ClassVar[str]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        start, stop, status = 0, len(_CONTENT), 200
        wanted = self.headers["Range"]
        if wanted is not None:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start = int(first) if first else stop - int(last)
            stop = int(last) + 1 if first and last else stop
            status = 206 if start < len(_CONTENT) else 416
        body = b'{"type": "x"}'
        if not self.path.endswith("/1"):
            status = 404
        elif status != 416 and self.how != "refuses":
            body = _CONTENT[start:stop]
        declared = len(body)
        if self.how == "wrong bytes":
            body = body[:-1] + b"x"
        elif self.how == "cut":
            body = body[: len(body) // 2]
        elif self.how == "refuses":
            status = 503
        elif self.how == "wrong status" and status == 206:
            status = 200
        self.send_response(status)
        self.send_header("Content-Length", str(declared))
        self.send_header("Content-Type", "application/json" if self.how == "refuses" else "text/plain")
        self.send_header("ETag", '"a"')
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(_CONTENT)}")
        elif status == 416:
            self.send_header("Content-Range", f"bytes */{len(_CONTENT)}")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)
        self.close_connection = self.how == "cut" or self.headers["Connection"] == "close"

    do_HEAD = do_GET

    def log_message(self, format: str, *arguments: object) -> None:
        pass


class ClientsTests(ProcessTestCase):
    """
    C{tools.soak_clients} notices what is wrong.
    """

    def outcomes(self, how: str, rude: int = 0) -> dict[str, int]:
        """
        What clients make of a server.
        """

        class Handler(_Server):
            pass

        Handler.how = how
        directory = self.directory()
        (directory / "1.bin").write_bytes(_CONTENT)
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        plan: dict[str, Any] = {
            "targets": [{"port": server.server_port, "ids": ["1"]}],
            "sizes": {"1": len(_CONTENT)},
            "media": str(directory),
            "clients": 4,
            "rude": rude,
            "seconds": 1,
            "bytes_per_s": 10**8,
            "seed": 1,
        }
        path = directory / "plan.json"
        path.write_text(json.dumps(plan), encoding="utf-8")
        ended = subprocess.run(
            [sys.executable, "-m", "tools.soak_clients", path],
            cwd=ROOT,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        server.shutdown()
        thread.join()
        server.server_close()
        self.assertEqual(ended.returncode, 0, ended.stderr)
        found: dict[str, int] = json.loads(ended.stdout)["outcomes"]
        return {name: number for name, number in found.items() if number}

    def test_right(self) -> None:
        """
        Where all is well, all is right.
        """
        self.assertEqual(set(self.outcomes("well")), {"right"})

    def test_wrong_bytes(self) -> None:
        """
        One wrong byte, the last one, is enough.
        """
        self.assertIn("wrong", self.outcomes("wrong bytes"))

    def test_wrong_status(self) -> None:
        """
        A range that comes as 200 is not what was asked for.
        """
        self.assertIn("wrong", self.outcomes("wrong status"))

    def test_refusals_and_cuts_are_not_wrong(self) -> None:
        """
        A refusal says what it is, and anybody sees that a short answer is not whole.
        """
        self.assertEqual(set(self.outcomes("refuses")), {"refused"})
        self.assertTrue({"cut"} <= set(self.outcomes("cut")) <= {"cut", "right"})


class SoakTests(ProcessTestCase):
    """
    C{make soak}, as short as it can be.
    """

    def test_short(self) -> None:
        """
        It ends by itself, with all checks passed, and tells so in text and in JSON.
        """
        output = self.directory() / "soak.json"
        ended = subprocess.run(
            [sys.executable, "-m", "tools.soak", "--seconds", "8", "--output", output],
            cwd=ROOT,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=4 * PATIENCE_S,
            check=False,
        )
        self.assertEqual(ended.returncode, 0, ended.stdout + ended.stderr)
        self.assertRegex(ended.stdout.splitlines()[-1], r"^\d+ checks passed, 0 failed$")
        seen = json.loads(output.read_text(encoding="utf-8"))
        self.assertTrue(all(check["well"] for check in seen["checks"]))
        self.assertGreater(seen["clients"]["bytes"], 1_000_000)
        self.assertGreater(sum(seen["clients"]["rude"].values()), 0)
