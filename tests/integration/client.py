"""
Requests to real processes from a blocking client, which sees each byte and each end of a connection; and the programs
that others use.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.parse import urlsplit

from twisted.trial.unittest import SkipTest

from tests.integration.process import PATIENCE_S, ProcessTestCase

_CHUNK = 64 * 1024


def ask(
    case: ProcessTestCase, url: str, headers: Mapping[str, str] | None = None, receive_buffer: int | None = None
) -> HTTPResponse:
    """
    Send a GET on a connection of its own, which closing the answer closes, and wait for the head of the answer.

    @param receive_buffer: what the system may take in of the answer before it is read; in bytes.
    """
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=PATIENCE_S)
    case.addCleanup(connection.close)
    if receive_buffer is not None:
        _connect_narrowly(connection, receive_buffer)
    connection.request("GET", parts.path, headers={"Connection": "close", **(headers or {})})
    response = connection.getresponse()
    case.addCleanup(response.close)
    return response


def _connect_narrowly(connection: HTTPConnection, receive_buffer: int) -> None:
    narrow = socket.socket()
    narrow.settimeout(PATIENCE_S)
    # Before the connection is made, or it would have no effect on the window.
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    narrow.connect((connection.host, connection.port))
    connection.sock = narrow


def get(case: ProcessTestCase, url: str, headers: Mapping[str, str] | None = None) -> tuple[int, HTTPResponse, bytes]:
    """
    The same, and read it to the end.

    @return: the status, the answer, and its body.
    """
    response = ask(case, url, headers)
    return response.status, response, response.read()


def read_to_end(response: HTTPResponse) -> bytes:
    """
    What comes of a body, whether it ends in order, short of its C{Content-Length}, or by a reset.
    """
    received = []
    try:
        while data := response.read(_CHUNK):
            received.append(data)
    except ConnectionError:
        pass
    return b"".join(received)


def status(case: ProcessTestCase, url: str) -> dict[str, Any]:
    """
    C{/api/v1/status}, of a node or of a storage node.
    """
    code, _, body = get(case, f"{url}/api/v1/status")
    case.assertEqual(code, 200)
    answer: dict[str, Any] = json.loads(body)
    return answer


def settled(case: ProcessTestCase, url: str) -> dict[str, Any]:
    """
    C{/api/v1/status} of a node, once it downloads nothing any more: the last byte of an object goes out before its file
    has been brought to the disk and has its name.
    """
    deadline = monotonic() + PATIENCE_S
    while (answer := status(case, url))["downloadsInProgress"]:
        case.assertLess(monotonic(), deadline, "the node goes on downloading")
        sleep(0.02)
    return answer


def program(name: str) -> str:
    """
    The path of a program.

    @raise SkipTest: it is not installed.
    """
    path = shutil.which(name)
    if path is None:
        raise SkipTest(f"{name} is not installed")
    return path


def run(*command: str | Path, directory: Path, timeout_s: float = PATIENCE_S) -> subprocess.CompletedProcess[bytes]:
    """
    Run a program to its end, whatever its exit status.

    @param directory: where it runs.
    @raise SkipTest: it is not installed.
    @raise subprocess.TimeoutExpired: it does not end.
    """
    name, *arguments = command
    return subprocess.run(
        [program(str(name)), *arguments],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=timeout_s,
        check=False,
    )
