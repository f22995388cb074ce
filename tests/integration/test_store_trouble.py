"""
A store without room, or on a disk that is full or altered behind its back; and more readers and downloads than a node
may have.
"""

from __future__ import annotations

import json
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

from twisted.trial.unittest import SkipTest

from tests.integration.client import ask, get, read_to_end, run, settled, status
from tests.integration.media import MIB, folder, manifest
from tests.integration.process import PATIENCE_S, Node, ProcessTestCase, StorageNodeProcess
from tests.upstream import payload


class _StoreTestCase(ProcessTestCase):
    """
    A node, and one storage node.
    """

    def start(self, contents: dict[str, bytes], data_dir: Path | None = None, **limits: object) -> None:
        """
        Start both.

        @param contents: by object id.
        @param limits: the node's.
        """
        self.contents = contents
        self.storage = StorageNodeProcess.start(self, folder(self, contents))
        self.node = Node.start(
            self, manifest=self.storage.manifest, config={"limits": limits} if limits else None, data_dir=data_dir
        )

    def assert_served(self, expected_cache: str, object_id: str = "7") -> HTTPResponse:
        """
        The answer is right, and over for the node, too, which does not hold the file any longer.
        """
        code, response, body = get(self, f"{self.node.url}/api/v1/asset/{object_id}")
        self.assertEqual((code, response.headers["X-Cache"]), (200, expected_cache))
        self.assertEqual(body, self.contents[object_id])
        self.wait_for_end(response)
        return response

    def wait_for_end(self, response: HTTPResponse) -> None:
        """
        Wait until the node logs an answer, which it does at the end of it.
        """
        self.node.wait_for(f"{response.headers['X-Request-Id']}$")

    def assert_passed_through(self, object_id: str = "7") -> None:
        """
        The answer is complete and right, comes from a storage node, and does not claim to be verified.
        """
        response = self.assert_served("miss", object_id)
        self.assertEqual(response.headers["X-Data-Source"], "external")
        self.assertIn("must-revalidate", response.headers["Cache-Control"])

    def told(self) -> tuple[int, int]:
        """
        How many objects the node has, and how many bytes they take.
        """
        told = settled(self, self.node.url)
        return told["objectsInCache"], told["storageUsed"]


class RoomTests(_StoreTestCase):
    """
    Trouble with the store.
    """

    def test_larger_than_the_store(self) -> None:
        """
        An object that the store is too small for is passed through, whole and in ranges; the log says so once, not for
        each request.
        """
        content = payload(2 * MIB)
        self.start({"7": content}, storage="1M")
        for _ in range(3):
            self.assert_passed_through()
        part = ask(self, f"{self.node.url}/api/v1/asset/7", {"Range": "bytes=100-199"})
        self.assertEqual((part.status, part.read()), (206, content[100:200]))
        self.assertEqual(self.node.log().count("is passed through"), 1)
        self.assertEqual(self.told(), (0, 0))

    def test_larger_than_may_be_kept(self) -> None:
        """
        So is one that is larger than C{limits.maxCachedItemSize}.
        """
        self.start({"7": payload(2 * MIB)}, maxCachedItemSize="1M")
        for _ in range(2):
            self.assert_passed_through()
        self.assertEqual(self.told(), (0, 0))

    def test_slow_reader_of_a_passage(self) -> None:
        """
        What is passed through comes no faster than its reader takes it.
        """
        content = payload(32 * MIB)
        self.start({"7": content}, storage="1M")
        slow = ask(self, f"{self.node.url}/api/v1/asset/7", receive_buffer=64 * 1024)
        begun = slow.read(MIB)
        # While another one takes all of it, as much could have been sent for the first.
        self.assert_passed_through()
        # The buffers of three connections and two processes hold some MiB at the most.
        self.assertLess(status(self, self.storage.url)["bytesSent"], 2 * len(content) - 8 * MIB)
        self.assertEqual(begun + slow.read(), content)

    def test_wrong_when_passed_through(self) -> None:
        """
        A wrong byte never makes a complete answer there, either.
        """
        content = payload(2 * MIB)
        wrong = bytearray(content)
        wrong[100] ^= 1
        storage = StorageNodeProcess.start(self, folder(self, {"7": bytes(wrong)}))
        listed = manifest(self, [storage.url], {"7": content})
        node = Node.start(self, manifest=listed, config={"limits": {"storage": "1M"}})
        self.assertLess(len(read_to_end(ask(self, f"{node.url}/api/v1/asset/7"))), len(content))

    def test_eviction(self) -> None:
        """
        What was not wanted for longest gives way, but not while somebody reads it: then the other is passed through.
        """
        self.start({"7": payload(8 * MIB, 7), "8": payload(8 * MIB, 8)}, storage="12M")
        self.assert_served("miss")
        reading = ask(self, f"{self.node.url}/api/v1/asset/7", receive_buffer=64 * 1024)
        begun = reading.read(1)
        self.assert_passed_through("8")
        self.assertEqual(begun + reading.read(), self.contents["7"])
        self.wait_for_end(reading)
        self.assert_served("miss", "8")
        self.assert_served("hit", "8")
        self.assertEqual(self.told(), (1, 8 * MIB))
        self.assert_served("miss", "7")

    def test_lost_file(self) -> None:
        """
        An object whose file has been deleted, or cut, behind the node's back is fetched anew.
        """
        self.start({"7": payload(MIB)})
        self.assert_served("miss")
        self.assertEqual(self.told(), (1, MIB))
        file = self.node.data_dir / "assets" / "7"
        file.unlink()
        self.assert_served("miss")
        self.assertEqual(self.told(), (1, MIB))
        self.assert_served("hit")
        with file.open("r+b") as opened:
            opened.truncate(1000)
        # It is open from the answer before, and what is missing comes from the storage node; then it is looked at anew.
        self.assert_served("hit")
        self.assert_served("miss")
        self.assert_served("hit")
        self.assertEqual(self.told(), (1, MIB))


class CrowdTests(_StoreTestCase):
    """
    More to do than the limits allow.
    """

    def test_connections(self) -> None:
        """
        Beyond C{limits.maxInboundConnections}, a reader is told to try another time.
        """
        self.start({"7": payload(8 * MIB)}, maxInboundConnections=1)
        url = f"{self.node.url}/api/v1/asset/7"
        first = ask(self, url, receive_buffer=64 * 1024)
        code, response, body = get(self, url)
        self.assertEqual((code, json.loads(body)["type"]), (503, "overloaded"))
        self.assertGreater(int(response.headers["Retry-After"]), 0)
        self.assertEqual(first.read(), self.contents["7"])
        self.wait_for_end(first)
        self.assert_served("hit")

    def test_downloads(self) -> None:
        """
        Beyond C{limits.maxConcurrentStorageNodeDownloads}, downloads wait for one another, and each comes to its turn.
        """
        contents = {str(number): payload(MIB, number) for number in range(1, 9)}
        self.start(contents, maxConcurrentStorageNodeDownloads=1, maxConcurrentOutboundConnections=1)
        connections = []
        for object_id in contents:
            connection = HTTPConnection("127.0.0.1", self.node.port, timeout=PATIENCE_S)
            self.addCleanup(connection.close)
            connection.request("GET", f"/api/v1/asset/{object_id}")
            connections.append(connection)
        for connection, content in zip(connections, contents.values(), strict=True):
            self.assertEqual(connection.getresponse().read(), content)
        self.assertEqual(self.told()[0], len(contents))


class FullDiskTests(_StoreTestCase):
    """
    A disk that is full before the store is: a file system of its own, in memory, of 4 MiB.
    """

    def setUp(self) -> None:
        self.mounted = self.directory()
        done = run("mount", "-t", "tmpfs", "-o", "size=4M", "none", self.mounted, directory=Path("/"))
        if done.returncode != 0:
            raise SkipTest(f"mounting is not permitted: {done.stderr.decode().strip()}")
        self.addCleanup(run, "umount", self.mounted, directory=Path("/"))

    def test_full(self) -> None:
        """
        Whoever reads when the disk is full, or comes later, gets a complete and right answer; the log says once what
        the matter is.
        """
        content = payload(8 * MIB)
        self.start({"7": content}, self.mounted / "data")
        url = f"{self.node.url}/api/v1/asset/7"
        readers = [ask(self, url, receive_buffer=64 * 1024) for _ in range(3)]
        middle = ask(self, url, {"Range": "bytes=5000000-5000099"})
        for reader in readers:
            self.assertEqual(reader.read(), content)
        self.assertEqual((middle.status, middle.read()), (206, content[5000000:5000100]))
        for _ in range(3):
            self.assertEqual(get(self, url)[2], content)
        self.assertEqual(self.node.log().count("No space left on device"), 1, self.node.log())
        self.assertEqual(self.told()[0], 0)

    def test_space_again(self) -> None:
        """
        Once there is space again, the object is kept.
        """
        self.start({"7": payload(2 * MIB)}, self.mounted / "data")
        filler = self.mounted / "filler"
        filler.write_bytes(bytes(3 * MIB))
        self.assert_served("miss")
        filler.unlink()
        self.assert_served("miss")
        self.assert_served("hit")
        self.assertEqual(self.told(), (1, 2 * MIB))
