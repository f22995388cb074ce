"""
Downloads that a node was in the middle of when it was killed or stopped, and files that it finds, over real sockets.
"""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Callable
from http.client import HTTPConnection, HTTPResponse, IncompleteRead
from time import monotonic
from typing import Any

from tests.integration.process import PATIENCE_S, Node, ProcessTestCase, StorageNodeProcess

MIB = 1024 * 1024
SIZE = 24 * MIB
CONTENT = random.Random(4).randbytes(SIZE)

#: Bytes per second of the storage node that is to be seen at work: all of the object takes eight seconds.
SLOW = 3 * MIB

#: What a storage node may have sent that did not arrive, because the node was killed, or cut a connection: what the
#: sockets of both sides hold.
IN_FLIGHT = 4 * MIB


class ResumeCase(ProcessTestCase):
    """
    A storage node, and one node after another over the same directories.
    """

    def setUp(self) -> None:
        self.media = self.directory()
        self.data_dir = self.directory()
        self.connections: list[HTTPConnection] = []

    def store_upstream(self, rate: int | None, **contents: bytes) -> StorageNodeProcess:
        """
        Start the storage node.

        @param contents: of the objects, by C{_} and their ids.
        """
        for name, content in contents.items():
            (self.media / name.removeprefix("_")).write_bytes(content)
        self.storage = StorageNodeProcess.start(self, self.media, rate=rate)
        return self.storage

    def start(self, **limits: object) -> Node:
        """
        Start the node, or the next one.
        """
        config = {"limits": {"drainTimeoutSec": 0, **limits}, "publicApi": {"showDownloads": True}}
        return Node.start(self, manifest=self.storage.manifest, config=config, data_dir=self.data_dir)

    def ask(self, node: Node, path: str, headers: dict[str, str] | None = None) -> HTTPResponse:
        """
        The head of an answer.
        """
        connection = HTTPConnection("127.0.0.1", node.port, timeout=PATIENCE_S)
        self.addCleanup(connection.close)
        self.connections.append(connection)
        connection.request("GET", path, headers=headers or {})
        return connection.getresponse()

    def json(self, node: Node, path: str) -> Any:
        """
        What the node says of itself.
        """
        return json.loads(self.ask(node, path).read())

    def downloads(self, node: Node) -> list[dict[str, Any]]:
        """
        The downloads in progress.
        """
        found: list[dict[str, Any]] = self.json(node, "/api/v1/downloads")["downloads"]
        return found

    def until(self, node: Node, done: Callable[[], bool]) -> None:
        """
        Ask the node until it is so.
        """
        deadline = monotonic() + PATIENCE_S
        while not done():
            self.assertLess(monotonic(), deadline, "takes too long")
            # Its answers are what paces this.
            self.json(node, "/api/v1/status")

    def sent(self) -> int:
        """
        How many bytes the storage node has sent.
        """
        with_status = HTTPConnection("127.0.0.1", self.storage.port, timeout=PATIENCE_S)
        with_status.request("GET", "/api/v1/status")
        status = json.loads(with_status.getresponse().read())
        with_status.close()
        sent: int = status["bytesSent"]
        return sent

    def in_cache(self, node: Node) -> int:
        """
        How many objects are complete and verified.
        """
        count: int = self.json(node, "/api/v1/status")["objectsInCache"]
        return count

    def assert_asset(self, node: Node, content: bytes, cache: str, object_id: str = "1") -> None:
        """
        An object is served whole and right, from the cache or not.
        """
        answer = self.ask(node, f"/api/v1/asset/{object_id}")
        self.assertEqual((answer.status, answer.getheader("X-Cache")), (200, cache))
        self.assertTrue(answer.read() == content)


class InterruptedTests(ResumeCase):
    """
    A film that somebody watches and another one seeks in, and a node that goes away.
    """

    def watch(self) -> Node:
        """
        A node in the middle of a download that has come out of order.
        """
        self.store_upstream(SLOW, _1=CONTENT)
        node = self.start()
        self.beginning = self.ask(node, "/api/v1/asset/1")
        self.assertEqual((self.beginning.status, self.beginning.getheader("X-Cache")), (200, "miss"))
        first = self.beginning.read(2 * MIB)
        self.assertTrue(first == CONTENT[: 2 * MIB])
        self.seek = self.ask(node, "/api/v1/asset/1", {"Range": f"bytes={16 * MIB}-"})
        self.assertEqual((self.seek.status, self.seek.getheader("X-Data-Source")), (206, "external"))
        self.assertTrue(self.seek.read(MIB) == CONTENT[16 * MIB : 17 * MIB])
        return node

    def finish(self, node: Node, before: int, present: int) -> None:
        """
        Without a request, the download goes on to its end; and nothing that was there has been fetched again.

        @param before: what storage had sent by then.
        @param present: how much was there.
        """
        self.until(node, lambda: not self.downloads(node))
        self.assertEqual(self.in_cache(node), 1)
        fetched = self.sent() - before
        self.assertLessEqual(fetched, SIZE - present + IN_FLIGHT // 4)
        self.assert_asset(node, CONTENT, "hit")
        self.assertEqual(self.sent() - before, fetched)

    def partial(self, node: Node) -> dict[str, Any]:
        """
        The one download in progress.
        """
        [download] = self.downloads(node)
        return download

    def test_killed(self) -> None:
        """
        After C{kill -9} a download goes on by itself from what was recorded, at most five seconds before.
        """
        node = self.watch()
        self.until(node, lambda: self.partial(node)["present"] >= 4 * MIB)
        recorded_by_now = self.partial(node)["present"]
        began = monotonic()
        self.until(node, lambda: monotonic() - began > 6)
        node.kill()
        before = self.sent()
        node = self.start()
        self.until(node, lambda: self.partial(node)["state"] == "filling")
        download = self.partial(node)
        self.assertGreaterEqual(download["present"], recorded_by_now)
        self.assertLess(download["present"], SIZE)
        self.assertEqual((download["objectId"], download["readers"]), ("1", 0))
        self.finish(node, before, recorded_by_now)

    def test_stopped(self) -> None:
        """
        After SIGTERM it does so from all that had come, to the last byte.
        """
        node = self.watch()
        self.until(node, lambda: self.partial(node)["present"] >= 4 * MIB)
        node.stop()
        for answer in (self.beginning, self.seek):
            # Cut short of its length.
            with self.assertRaises((IncompleteRead, ConnectionError)):
                answer.read()
        before = self.sent()
        [partial] = (self.data_dir / "assets" / ".partial").glob("1")
        self.assertGreater(partial.stat().st_size, 16 * MIB)
        node = self.start()
        self.until(node, lambda: self.partial(node)["state"] == "filling")
        self.assertGreaterEqual(self.partial(node)["present"], 4 * MIB)
        self.finish(node, before, 4 * MIB)
        self.assertLessEqual(self.sent(), SIZE + IN_FLIGHT)

    def test_nobody_waits(self) -> None:
        """
        A download that nobody reads any more is left alone after a start; the next request goes on from what there is.
        """
        node = self.watch()
        self.until(node, lambda: self.partial(node)["present"] >= 4 * MIB)
        self.beginning.close()
        self.seek.close()
        for connection in self.connections:
            connection.close()
        self.until(node, lambda: self.partial(node)["readers"] == 0)
        node.stop()
        before = self.sent()
        node = self.start()
        self.assertEqual(self.downloads(node), [])
        self.assertGreaterEqual(self.json(node, "/api/v1/status")["storageUsed"], 4 * MIB)
        self.assert_asset(node, CONTENT, "miss")
        self.assertLessEqual(self.sent() - before, SIZE - 4 * MIB + IN_FLIGHT // 4)
        self.assertLessEqual(self.sent(), SIZE + IN_FLIGHT)
        self.assert_asset(node, CONTENT, "hit")

    def test_a_reader_meanwhile(self) -> None:
        """
        Who asks while it goes on for nobody gets what there is at once, and the rest as it comes.
        """
        node = self.watch()
        self.until(node, lambda: self.partial(node)["present"] >= 4 * MIB)
        node.signal(signal.SIGTERM)
        node.wait()
        node = self.start()
        answer = self.ask(node, "/api/v1/asset/1", {"Range": f"bytes={16 * MIB}-"})
        self.assertEqual((answer.status, answer.getheader("X-Cache")), (206, "pending"))
        self.assertEqual(answer.getheader("X-Data-Source"), "local")
        self.assertTrue(answer.read() == CONTENT[16 * MIB :])
        self.until(node, lambda: not self.downloads(node))
        self.assertLessEqual(self.sent(), SIZE + IN_FLIGHT)


class AdoptedTests(ResumeCase):
    """
    Files that another program has left in C{directories.assets}.
    """

    def adopt(self, **contents: bytes) -> None:
        """
        Put them there.
        """
        assets = self.data_dir / "assets"
        assets.mkdir()
        for name, content in contents.items():
            (assets / name.removeprefix("_")).write_bytes(content)

    def test_first_request(self) -> None:
        """
        The first request is served while the file is verified; then it is a hit. Storage is asked for nothing.
        """
        self.store_upstream(None, _1=CONTENT, _2=CONTENT[:-1])
        # The background begins with one of them; whichever it is, the other one waits.
        self.adopt(_1=CONTENT, _2=CONTENT[:-1])
        node = self.start()
        first, second = (self.ask(node, f"/api/v1/asset/{object_id}") for object_id in "12")
        self.assertIn(first.getheader("X-Cache"), ("pending", "miss"))
        self.assertIn(second.getheader("X-Cache"), ("pending", "miss"))
        self.assertIn("pending", (first.getheader("X-Cache"), second.getheader("X-Cache")))
        self.assertEqual((first.getheader("X-Data-Source"), second.getheader("X-Data-Source")), ("local", "local"))
        self.assertTrue(first.read() == CONTENT)
        self.assertTrue(second.read() == CONTENT[:-1])
        self.assert_asset(node, CONTENT, "hit", "1")
        self.assert_asset(node, CONTENT[:-1], "hit", "2")
        self.assertEqual(self.sent(), 0)

    def test_wrong(self) -> None:
        """
        A file with a wrong byte is replaced by what storage has; who reads it meanwhile is not given it as whole.
        """
        self.store_upstream(None, _1=CONTENT)
        self.adopt(_1=CONTENT[:-5] + b"wrong")
        node = self.start()
        answer = self.ask(node, "/api/v1/asset/1")
        self.assertEqual(answer.status, 200)
        try:
            whole = answer.read()
        except (IncompleteRead, ConnectionError):
            pass
        else:
            self.assertTrue(whole == CONTENT)
        self.until(node, lambda: self.in_cache(node) == 1)
        self.assert_asset(node, CONTENT, "hit")
        self.assertEqual(self.sent(), SIZE)
        self.assertIn("does not have its hash", node.log())
        self.assertNotIn("gave wrong bytes", node.log())
        self.assertTrue((self.data_dir / "assets" / "1").read_bytes() == CONTENT)

    def test_in_the_background(self) -> None:
        """
        Without a request all of them become hits: right ones as they are, one that is wrong and one that is short from
        storage; what is not in the catalogue is left alone.
        """
        small = [CONTENT[start : start + 100_000] for start in range(4)]
        self.store_upstream(None, _1=CONTENT, **{f"_{n}": content for n, content in enumerate(small, 2)})
        self.adopt(
            _1=CONTENT, _2=small[0], _3=small[1], _4=b"wrong" + small[2][5:], _5=small[3][:-1], _9=b"somebody's own"
        )
        node = self.start()
        self.until(node, lambda: self.in_cache(node) == 5)
        self.assertEqual(self.sent(), 200_000)
        for object_id, content in zip("12345", [CONTENT, *small], strict=True):
            self.assert_asset(node, content, "hit", object_id)
        self.assertEqual(self.sent(), 200_000)
        self.assertEqual((self.data_dir / "assets" / "9").read_bytes(), b"somebody's own")

    def test_after_a_restart(self) -> None:
        """
        What has been verified stays so.
        """
        self.store_upstream(None, _1=CONTENT)
        self.adopt(_1=CONTENT)
        node = self.start()
        self.until(node, lambda: self.in_cache(node) == 1)
        node.stop()
        self.assert_asset(self.start(), CONTENT, "hit")
        self.assertEqual(self.sent(), 0)
