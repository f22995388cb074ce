"""
The reverse proxies that operators use, with the files of C{deploy/}: the real programs before a real node.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from http.client import HTTPConnection, IncompleteRead
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from twisted.trial.unittest import SkipTest

from tests.integration.client import ask, get
from tests.integration.process import PATIENCE_S, ROOT, Node, ProcessTestCase, StorageNodeProcess
from tests.upstream import payload

CONTENT = payload(3_000_000)
ASSET = "/distributor/api/v1/asset/1"
VIEWER = "203.0.113.7"


def free_port() -> int:
    """
    A port of the loopback interface that was free a moment ago.
    """
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port


# The tests below run once for each proxy, and not for none.
if TYPE_CHECKING:
    _Case = ProcessTestCase
else:
    _Case = object


class Behind(_Case):
    """
    What viewers see of a node behind a reverse proxy.
    """

    program: str

    def arguments(self, directory: Path, port: int, node: int) -> tuple[list[str], dict[str, str]]:
        """
        How the proxy is started, and with what in its environment.
        """
        raise NotImplementedError

    def start(self, node: Node) -> str:
        """
        Start the proxy.

        @return: its URL.
        """
        path = shutil.which(self.program) or shutil.which(self.program, path="/usr/sbin:/sbin")
        if path is None:
            raise SkipTest(f"there is no {self.program} here")
        directory, port = self.directory(), free_port()
        arguments, more = self.arguments(directory, port, node.port)
        log = (directory / "log").open("wb")
        self.addCleanup(log.close)
        proxy = subprocess.Popen(
            [path, *arguments], cwd=directory, env={**os.environ, **more}, stdout=log, stderr=subprocess.STDOUT
        )

        def end() -> None:
            proxy.terminate()
            proxy.wait(PATIENCE_S)

        self.addCleanup(end)
        deadline = monotonic() + PATIENCE_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
            except OSError:
                self.assertIsNone(proxy.poll(), (directory / "log").read_text())
                self.assertLess(monotonic(), deadline, f"{self.program} does not listen")
            else:
                return f"http://127.0.0.1:{port}"

    def begun(self, rate: int | None = None, config: dict[str, object] | None = None) -> tuple[Node, str]:
        """
        A node with an object that it has not fetched, and a proxy before it.

        @param rate: of the storage node, in bytes per second.
        """
        media = self.directory()
        (media / "1.bin").write_bytes(CONTENT)
        storage = StorageNodeProcess.start(self, media, rate=rate)
        node = Node.start(self, manifest=storage.manifest, config=config)
        return node, self.start(node)

    def test_cold_then_cached(self) -> None:
        """
        A viewer gets all, from the storage node and from the disk, with the node's own header fields once each.
        """
        _, url = self.begun()
        for state in ("miss", "hit"):
            status, answer, body = get(self, url + ASSET)
            self.assertEqual((status, body == CONTENT, answer.headers["X-Cache"]), (200, True, state))
            self.assertEqual(answer.headers["Content-Length"], str(len(CONTENT)))
            self.assertEqual(answer.headers.get_all("Access-Control-Allow-Origin"), ["*"])

    def test_ranges_and_conditions(self) -> None:
        """
        Parts, suffixes, several parts at once, and what a browser has already.
        """
        _, url = self.begun()
        status, answer, body = get(self, url + ASSET, {"Range": "bytes=1000000-1000999"})
        self.assertEqual((status, body == CONTENT[1_000_000:1_001_000]), (206, True))
        self.assertEqual(answer.headers["Content-Range"], f"bytes 1000000-1000999/{len(CONTENT)}")
        status, answer, body = get(self, url + ASSET, {"Range": "bytes=-10"})
        self.assertEqual((status, body == CONTENT[-10:]), (206, True))
        status, _, body = get(self, url + ASSET, {"Range": "bytes=0-1,10-11"})
        self.assertEqual((status, CONTENT[10:12] in body), (206, True))
        status, _, body = get(self, url + ASSET, {"If-None-Match": answer.headers["ETag"]})
        self.assertEqual((status, body), (304, b""))
        status, _, _ = get(self, url + ASSET, {"Range": f"bytes={len(CONTENT)}-"})
        self.assertEqual(status, 416)

    def test_head_and_preflight(self) -> None:
        """
        What players ask before they ask for bytes.
        """
        _, url = self.begun()
        for method, status in (("HEAD", 200), ("OPTIONS", 204)):
            connection = HTTPConnection(url.removeprefix("http://"), timeout=PATIENCE_S)
            self.addCleanup(connection.close)
            connection.request(method, ASSET)
            answer = connection.getresponse()
            self.assertEqual((answer.status, answer.read()), (status, b""))
            self.assertEqual(answer.headers.get_all("Access-Control-Allow-Origin"), ["*"])

    def test_errors_are_the_nodes_own(self) -> None:
        """
        An object that is not there is said so by the node; what is not under the prefix, by the proxy.
        """
        _, url = self.begun()
        status, answer, body = get(self, url + "/distributor/api/v1/asset/999")
        self.assertEqual((status, answer.headers["Content-Type"]), (404, "application/json"))
        self.assertIn(b"object_not_found", body)
        self.assertEqual(get(self, url + "/api/v1/asset/1")[0], 404)
        self.assertEqual(get(self, url + "/distributor/api/v1/status")[0], 200)

    def test_address_of_the_viewer(self) -> None:
        """
        The node's log has the address that the proxy saw, not that which the viewer claims, and not the proxy's.
        """
        node, url = self.begun(config={"publicApi": {"trustedProxies": ["127.0.0.1"]}})
        address = url.removeprefix("http://").split(":")
        for name in ("cold", "cached"):
            # All of 127.0.0.0/8 is this machine; the proxy connects from 127.0.0.1.
            connection = HTTPConnection(address[0], int(address[1]), PATIENCE_S, source_address=("127.0.0.2", 0))
            self.addCleanup(connection.close)
            connection.request("GET", ASSET, headers={"X-Forwarded-For": VIEWER, "X-Request-Id": name})
            self.assertEqual(connection.getresponse().read(), CONTENT)
            self.assertIn("127.0.0.2 GET", node.wait_for(rf"^.*GET /api/v1/asset/1 200 .* {name}$").group())

    def test_an_answer_that_breaks_off(self) -> None:
        """
        When the node dies in the middle of an answer, the answer does not look whole.
        """
        node, url = self.begun(rate=500_000)
        answer = ask(self, url + ASSET)
        self.assertTrue(answer.read(1000))
        node.kill()
        self.assertRaises((IncompleteRead, ConnectionResetError), answer.read)


class CaddyTests(Behind, ProcessTestCase):
    """
    C{deploy/Caddyfile}.
    """

    program = "caddy"

    def arguments(self, directory: Path, port: int, node: int) -> tuple[list[str], dict[str, str]]:
        more = {
            "DISTRIBUTOR_SITE": f"http://127.0.0.1:{port}",
            "DISTRIBUTOR_NODE": f"127.0.0.1:{node}",
            # What it keeps, it keeps here.
            "HOME": str(directory),
            "XDG_CONFIG_HOME": str(directory),
            "XDG_DATA_HOME": str(directory),
        }
        text = (ROOT / "deploy" / "Caddyfile").read_text(encoding="utf-8")
        (directory / "Caddyfile").write_text("{\n\tadmin off\n}\n" + text, encoding="utf-8")
        return ["run", "--config", "Caddyfile", "--adapter", "caddyfile"], more


class NginxTests(Behind, ProcessTestCase):
    """
    C{deploy/nginx.conf}, without its TLS.
    """

    program = "nginx"

    def arguments(self, directory: Path, port: int, node: int) -> tuple[list[str], dict[str, str]]:
        text = (ROOT / "deploy" / "nginx.conf").read_text(encoding="utf-8")
        site = [
            line
            for line in text.replace("127.0.0.1:3334", f"127.0.0.1:{node}").splitlines()
            if "ssl_certificate" not in line and "listen [::]" not in line
        ]
        listening = [line.replace("listen 443 ssl http2;", f"listen 127.0.0.1:{port};") for line in site]
        self.assertNotEqual(listening, site)
        (directory / "site.conf").write_text("\n".join(listening), encoding="utf-8")
        temporary = " ".join(f"{kind}_temp_path temp;" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (directory / "nginx.conf").write_text(
            "daemon off; pid nginx.pid; error_log stderr warn; events { }\n"
            f"http {{ access_log off; {temporary} include site.conf; }}\n",
            encoding="utf-8",
        )
        return ["-p", str(directory), "-e", "stderr", "-c", "nginx.conf"], {}
