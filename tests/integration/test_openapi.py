"""
The running node against its own OpenAPI document, over a socket.
"""

from __future__ import annotations

import json
import random
import re
import socket
import subprocess
import sys
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPResponse
from importlib import resources
from typing import Any

import schemathesis
from schemathesis import Response
from schemathesis.checks import not_a_server_error

from distributor import __version__
from distributor.model import BLAKE3_256, ContentHash
from distributor.web.errors import ALL_ERRORS
from tests.integration.process import PATIENCE_S, Node, ProcessTestCase, StorageNodeProcess, environment

DOCUMENT = "/api/v1/openapi.json"
FILE = resources.files("distributor.web").joinpath("openapi.json").read_bytes()
METHODS = ("get", "head", "options")

#: For schemathesis, which otherwise takes it for a bug that a well-formed condition or range is refused.
SETTINGS = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "304", "404", "412", "416"]
"""

CONTENT = random.Random(1).randbytes(100_000)


def content_hash(content: bytes) -> str:
    """
    As a manifest has it.
    """
    hasher = ContentHash(BLAKE3_256, bytes(32)).hasher()
    hasher.update(content)
    return str(ContentHash(BLAKE3_256, hasher.digest()))


def exchange(connection: HTTPConnection, method: str, path: str) -> tuple[HTTPResponse, bytes]:
    """
    One request, and the whole answer.
    """
    connection.request(method, path)
    response = connection.getresponse()
    return response, response.read()


class DemoTests(ProcessTestCase):
    """
    The standalone demo.
    """

    def test_schemathesis(self) -> None:
        """
        Whatever schemathesis makes up, right or wrong by the document, has an answer that the document gives: status,
        media type, header fields and body; and methods that it does not have are refused.
        """
        node = Node.start(self)
        directory = self.directory()
        settings = directory / "schemathesis.toml"
        settings.write_text(SETTINGS, encoding="utf-8")
        program = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(settings), "run", node.url + DOCUMENT]
        options = "--mode all --phases examples,coverage,fuzzing --max-examples 20 --continue-on-failure --no-color"
        fixed = "--seed 3 --generation-deterministic"
        done = subprocess.run(
            [*program, *options.split(), *fixed.split()],
            cwd=directory,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=2 * PATIENCE_S,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stdout)
        operations = sum(method in item for item in json.loads(FILE)["paths"].values() for method in METHODS)
        # All but the one by which it got the document.
        self.assertIn(f"Tested: {operations - 1}\n", done.stdout)
        generated = re.search(r"(\d+) generated", done.stdout)
        assert generated is not None, done.stdout
        self.assertGreater(int(generated[1]), 400)

    def connection(self) -> HTTPConnection:
        """
        To a node.
        """
        connection = HTTPConnection("127.0.0.1", Node.start(self).port, timeout=PATIENCE_S)
        self.addCleanup(connection.close)
        return connection

    def test_document(self) -> None:
        """
        What is served is the file, and its version is the one that runs.
        """
        connection = self.connection()
        response, body = exchange(connection, "GET", DOCUMENT)
        self.assertEqual((response.status, response.getheader("Content-Type")), (200, "application/json"))
        self.assertEqual(body, FILE)
        self.assertEqual(json.loads(body)["info"]["version"], __version__)
        _, status = exchange(connection, "GET", "/api/v1/status")
        self.assertEqual(json.loads(status)["version"], __version__)

    def test_other_addresses(self) -> None:
        """
        Where the document has no path, there is nothing, whatever the method; a slash at the end of some is let pass.
        Where it has one, other methods are refused. The preflight is answered everywhere.
        """
        connection = self.connection()
        for path in ("/nothing", "/api/v1", "/api/v1/", "/api/v1/asset", "/api/v1/asset/", "/api/v2/status", "/%FF"):
            for method in ("GET", "PUT"):
                response, body = exchange(connection, method, path)
                self.assertEqual((response.status, json.loads(body)["type"]), (404, "route_not_found"), path)
        for path in ("/api/v1/asset/1/", "/api/v1/assets/1/", "/api/v1/status/", "/api/v1/buckets/"):
            self.assertEqual(exchange(connection, "GET", path)[0].status, 200, path)
        for path in ("/", "/healthz", "/readyz", "/api/v1/status", "/api/v1/buckets", "/api/v1/asset/1", DOCUMENT):
            for method in ("PUT", "POST", "DELETE", "PATCH", "TRACE", "PROPFIND", "M-SEARCH"):
                response, body = exchange(connection, method, path)
                self.assertEqual((response.status, json.loads(body)["type"]), (405, "method_not_allowed"), path)
                self.assertEqual(response.getheader("Allow"), "GET, HEAD, OPTIONS")
        for path in ("/", "/nothing", "/api/v1/asset/1"):
            self.assertEqual(exchange(connection, "OPTIONS", path)[0].status, 204, path)


class TableTests(ProcessTestCase):
    """
    The rows of the table of answers, each held against the document. Of the objects, 1 can be had, 2 has not been
    uploaded, 3 is of another node's bucket, 4 is empty; the storage node of 5 is down, and that of 6 says nothing.
    """

    def setUp(self) -> None:
        media = self.directory()
        (media / "1").write_bytes(CONTENT)
        (media / "4").write_bytes(b"")
        storage = StorageNodeProcess.start(self, media)
        # Bound and not listening, it refuses.
        down = socket.socket()
        self.addCleanup(down.close)
        down.bind(("127.0.0.1", 0))
        self.silent = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(self.silent.close)
        self.silent.settimeout(PATIENCE_S)
        endpoints = {"good": storage.url}
        for name, sock in (("down", down), ("silent", self.silent)):
            endpoints[name] = f"http://127.0.0.1:{sock.getsockname()[1]}"

        def entry(content: bytes = b"?", stored_by: str = "good", **more: object) -> dict[str, object]:
            return {"size": len(content), "hash": content_hash(content), "storedBy": [stored_by], **more}

        written = {
            "storageNodes": [{"id": name, "endpoint": endpoint} for name, endpoint in endpoints.items()],
            "objects": {
                "1": entry(CONTENT, buckets=["0:0"]),
                "2": entry(accepted=False),
                "3": entry(buckets=["7:7"]),
                "4": entry(b""),
                "5": entry(stored_by="down"),
                "6": entry(stored_by="silent"),
            },
        }
        self.manifest = self.directory() / "manifest.json"
        self.manifest.write_text(json.dumps(written), encoding="utf-8")

    def start(self, **limits: object) -> None:
        """
        Start the node.
        """
        limits = {"outboundRequestsTimeoutMs": 1000, **limits}
        config = {"buckets": ["0:0"], "limits": limits}
        self.node = Node.start(self, manifest=self.manifest, config=config)
        self.schema = schemathesis.openapi.from_url(self.node.url + DOCUMENT)

    def ask(self, object_id: str, method: str = "GET", path: str = "asset", **headers: str) -> Response:
        """
        Ask for an object, and hold the answer against the document.

        @param headers: with underscores for hyphens.
        @raise AssertionError: they differ.
        """
        operation = self.schema[f"/{path}/{{objectId}}"][method]
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        case = operation.Case(path_parameters={"objectId": object_id}, headers=fields)
        response = case.call(timeout=PATIENCE_S)
        # A 502 is right where the table says so.
        case.validate_response(response, excluded_checks=[not_a_server_error])
        return response

    def assertError(self, response: Response, status: int, type: str) -> None:
        """
        It is this error, as the document has it.
        """
        [expected] = [error for error in ALL_ERRORS if error.type == type]
        self.assertEqual((response.status_code, expected.status), (status, status), response.text)
        self.assertEqual(response.json(), {"type": type, "message": expected.message})

    def assertHeaders(self, response: Response, expected: Mapping[str, Any]) -> None:
        """
        These header fields are there.
        """
        found = {name: response.headers[name.lower()] for name in expected}
        self.assertEqual(found, {name: [value] for name, value in expected.items()})

    def test_table(self) -> None:
        """
        The situations that can be brought about in a node that runs well.
        """
        self.start()
        whole = {"Content-Length": str(len(CONTENT)), "Accept-Ranges": "bytes", "ETag": f'"{content_hash(CONTENT)}"'}

        head = self.ask("1", "HEAD")
        self.assertEqual((head.status_code, head.content), (200, b""))
        self.assertHeaders(head, {**whole, "X-Cache": "miss"})
        self.assertHeaders(self.ask("1", "HEAD", Range="bytes=0-0"), {**whole, "X-Cache": "miss"})
        self.assertEqual(self.ask("1", "OPTIONS").status_code, 204)

        for path in ("asset", "assets"):
            full = self.ask("1", path=path)
            self.assertEqual((full.status_code, full.content), (200, CONTENT))
            self.assertHeaders(full, whole)
        for value, start, stop in (("2-3", 2, 4), ("99990-", 99990, 100_000), ("-999999", 0, 100_000)):
            part = self.ask("1", Range=f"bytes={value}")
            self.assertEqual((part.status_code, part.content), (206, CONTENT[start:stop]))
            self.assertHeaders(part, {"Content-Range": f"bytes {start}-{stop - 1}/100000"})
        several = self.ask("1", Range="bytes=0-1, 9-")
        self.assertEqual(several.status_code, 206)
        self.assertTrue(several.headers["content-type"][0].startswith("multipart/byteranges; boundary="))
        for ignored in ("lines=0-1", "bytes=3-2", ",".join(f"bytes={n}-{n}" for n in range(0, 20, 2))):
            self.assertEqual(self.ask("1", Range=ignored).status_code, 200, ignored)

        self.assertEqual(self.ask("1", If_None_Match="*").status_code, 304)
        self.assertEqual(self.ask("1", "HEAD", If_None_Match="*").status_code, 304)
        self.assertEqual(self.ask("1", Range="bytes=0-0", If_Range='"other"').status_code, 200)
        self.assertError(self.ask("1", If_Match='"other"'), 412, "precondition_failed")
        self.assertEqual(self.ask("1", "HEAD", If_Match='"other"').status_code, 412)
        beyond = self.ask("1", Range="bytes=100000-")
        self.assertError(beyond, 416, "range_not_satisfiable")
        self.assertHeaders(beyond, {"Content-Range": "bytes */100000"})
        self.assertError(self.ask("4", Range="bytes=0-"), 416, "range_not_satisfiable")
        self.assertEqual(self.ask("4").status_code, 200)

        for unknown in ("8", "007", "1e3", "1" * 21, "1/2", "é"):
            self.assertError(self.ask(unknown), 404, "object_not_found")
        self.assertError(self.ask("2"), 404, "object_not_accepted")
        self.assertError(self.ask("3"), 421, "object_not_distributed")
        self.assertEqual(self.ask("3", "HEAD").status_code, 421)
        self.assertError(self.ask("5"), 502, "sources_failed")
        self.assertEqual(self.ask("5", "HEAD").status_code, 200)
        self.assertError(self.ask("6"), 504, "sources_timed_out")

    def test_overloaded(self) -> None:
        """
        Beyond the limit of answers in progress the next one is 503, and says when to try again.
        """
        self.start(maxInboundConnections=1)
        busy = HTTPConnection("127.0.0.1", self.node.port, timeout=PATIENCE_S)
        self.addCleanup(busy.close)
        busy.request("GET", "/api/v1/asset/6")
        # Once a storage node is asked, the answer is in progress; it lasts as long as that node says nothing.
        asked, _ = self.silent.accept()
        self.addCleanup(asked.close)
        refused = self.ask("1")
        self.assertError(refused, 503, "overloaded")
        self.assertHeaders(refused, {"Retry-After": "5", "Cache-Control": "no-store"})
        self.assertEqual(self.ask("1", "HEAD").status_code, 503)
        self.assertEqual(busy.getresponse().status, 504)
