"""
How a node ends, and what it finds when it starts again: killed, drained, hurried; and a manifest read anew.
"""

from __future__ import annotations

import json
import signal
import sqlite3
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from time import monotonic, sleep

from tests.integration.client import ask, get, read_to_end, run, settled, status
from tests.integration.media import MIB, folder, write_manifest
from tests.integration.process import PATIENCE_S, Node, ProcessTestCase, StorageNodeProcess
from tests.upstream import payload

#: What a test says for C{never}: longer than it would wait.
_NEVER_S = 10**6


class _NodeTestCase(ProcessTestCase):
    """
    A node and a storage node that has object 7.
    """

    def serve(self, content: bytes, rate: int | None = None, **limits: object) -> None:
        """
        Start both.
        """
        self.content = content
        self.limits = limits
        self.media = folder(self, {"7": content})
        self.storage = StorageNodeProcess.start(self, self.media, rate=rate)
        self.node = Node.start(self, manifest=self.storage.manifest, config={"limits": limits})

    def start_again(self) -> None:
        """
        Start another node where the one before has ended.
        """
        data_dir = self.node.data_dir
        config = {"limits": self.limits}
        self.node = Node.start(self, manifest=self.storage.manifest, config=config, data_dir=data_dir)

    def ask(self, object_id: str = "7", receive_buffer: int | None = None) -> HTTPResponse:
        """
        Begin to read an object.
        """
        return ask(self, f"{self.node.url}/api/v1/asset/{object_id}", receive_buffer=receive_buffer)

    def on_disk(self) -> dict[str, int]:
        """
        The sizes of what the store consists of, by path in the directory of assets.
        """
        assets = self.node.data_dir / "assets"
        files = [path for path in assets.rglob("*") if path.is_file() and path.name != "lock"]
        return {str(path.relative_to(assets)): path.stat().st_size for path in files}


class KillTests(_NodeTestCase):
    """
    C{kill -9} in the middle of a download.
    """

    def served_right(self, expected_cache: str) -> None:
        """
        The object comes whole and right, and then from the store, which is as large as it says.
        """
        for expected in (expected_cache, "hit"):
            _, response, body = get(self, f"{self.node.url}/api/v1/asset/7")
            self.assertEqual(response.headers["X-Cache"], expected)
            self.assertEqual(body, self.content)
        # The last byte may go out before the file has its name; the end of the process does not come before that.
        self.node.stop()
        self.assertEqual(self.on_disk(), {"7": len(self.content)})
        self.start_again()
        told = status(self, self.node.url)
        self.assertEqual((told["storageUsed"], told["objectsInCache"]), (len(self.content), 1))

    def test_before_anything_was_recorded(self) -> None:
        """
        What the index does not know of is cleared away by the next start, and fetched anew.
        """
        self.serve(payload(6 * MIB), rate=6 * MIB)
        self.assertEqual(self.ask().read(MIB), self.content[:MIB])
        self.node.kill()
        self.assertIn(".partial/7", self.on_disk())

        self.start_again()
        self.assertEqual(self.on_disk(), {})
        self.assertEqual(status(self, self.node.url)["storageUsed"], 0)
        self.served_right("miss")

    def test_after_something_was_recorded(self) -> None:
        """
        What the index knows of is counted as what it takes on disk, and only the rest is fetched.
        """
        self.serve(payload(96 * MIB), rate=24 * MIB)
        answer = self.ask()
        answer.read(64 * MIB)
        index = self.node.data_dir / "state" / "index.sqlite3"
        recorded = _recorded(index)
        self.assertGreaterEqual(recorded, 64 * MIB)
        answer.read(2 * MIB)
        self.node.kill()

        before = status(self, self.storage.url)["bytesAsked"]
        self.start_again()
        self.assertGreaterEqual(status(self, self.node.url)["storageUsed"], recorded)
        # It goes on by itself, for the sake of the reader that it had.
        self.served_right("pending")
        asked = status(self, self.storage.url)["bytesAsked"] - before
        self.assertLessEqual(asked, len(self.content) - recorded)

    def test_among_others(self) -> None:
        """
        Objects that were complete are served from the disk afterwards, without a request upstream.
        """
        self.serve(payload(3 * MIB))
        self.ask().read()
        (self.media / "8").write_bytes(payload(2 * MIB, 8))
        self.storage.kill()
        self.storage = StorageNodeProcess.start(self, self.media, rate=MIB)
        self.node.stop()
        self.start_again()
        self.ask("8").read(1)
        self.node.kill()
        self.storage.kill()

        self.start_again()
        self.served_right("hit")

    def test_reader_resumes(self) -> None:
        """
        A reader whose answer was cut resumes it with the next process, and has the right bytes.
        """
        self.serve(payload(6 * MIB), rate=6 * MIB)
        here = self.directory()
        with (here / "part").open("wb") as part:
            part.write(self.ask().read(2 * MIB))
        self.node.kill()

        self.start_again()
        url = f"{self.node.url}/api/v1/asset/7"
        done = run("curl", "-sS", "--fail", "-C", "-", "-o", "part", url, directory=here)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertEqual((here / "part").read_bytes(), self.content)


class FoundTests(_NodeTestCase):
    """
    Files that the node finds where it starts, and that may not be what they seem to be.
    """

    def start_with(self, content: bytes, found: bytes) -> None:
        """
        Start a node whose directory of assets has a file for object 7 already, which the index does not know.
        """
        self.content = content
        self.limits: dict[str, object] = {}
        self.storage = StorageNodeProcess.start(self, folder(self, {"7": content}))
        data_dir = self.directory()
        (data_dir / "assets").mkdir()
        (data_dir / "assets" / "7").write_bytes(found)
        self.node = Node.start(self, manifest=self.storage.manifest, data_dir=data_dir)

    def test_whole(self) -> None:
        """
        A file that is right is served without a request upstream.
        """
        content = payload(16 * MIB)
        self.start_with(content, content)
        self.assertEqual(self.ask().read(), content)
        self.assertEqual(status(self, self.storage.url)["requests"], 0)
        self.assertEqual(settled(self, self.node.url)["objectsInCache"], 1)

    def test_altered(self) -> None:
        """
        One with a wrong byte is replaced by the storage node's copy before its last byte is given away.
        """
        content = payload(16 * MIB)
        self.start_with(content, content[:-1] + bytes([content[-1] ^ 1]))
        end = ask(self, f"{self.node.url}/api/v1/asset/7", {"Range": "bytes=-1"})
        self.assertEqual((end.status, end.read()), (206, content[-1:]))
        self.assertEqual(self.ask().read(), content)
        self.assertEqual(status(self, self.storage.url)["bytesAsked"], len(content))

    def test_unfinished_altered(self) -> None:
        """
        A download that was left off, one of whose bytes has changed meanwhile, never makes a complete answer.
        """
        self.serve(payload(8 * MIB), rate=4 * MIB)
        answer = self.ask()
        answer.read(MIB)
        answer.close()
        self.node.stop()
        with (self.node.data_dir / "assets" / ".partial" / "7").open("r+b") as file:
            file.write(bytes([self.content[0] ^ 1]))

        self.start_again()
        answer = self.ask()
        self.assertEqual(answer.headers["Content-Length"], str(len(self.content)))
        self.assertLess(len(read_to_end(answer)), len(self.content))
        self.assertEqual(self.ask().read(), self.content)


def _recorded(index: Path) -> int:
    """
    Wait until the index of a running node knows of bytes of object 7; how many. There is no event for it.
    """
    deadline = monotonic() + PATIENCE_S
    while monotonic() < deadline:
        with closing(sqlite3.connect(f"file:{index}?mode=ro", uri=True, timeout=PATIENCE_S)) as database:
            rows = list(database.execute("SELECT extents FROM object WHERE id = '7'"))
        if rows:
            return sum(stop - start for start, stop in json.loads(rows[0][0]))
        sleep(0.05)
    raise AssertionError("nothing was recorded")


class StopTests(_NodeTestCase):
    """
    SIGTERM and SIGINT.
    """

    def test_drains(self) -> None:
        """
        An answer in progress comes to its end, while nobody else gets in; then the node exits with status 0.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            self.serve(payload(2 * MIB), rate=2 * MIB)
            answer = self.ask()
            first = answer.read(1)
            self.node.signal(number)
            self.node.wait_for("waiting up to 30 s for answers in progress")
            connection = HTTPConnection("127.0.0.1", self.node.port, timeout=PATIENCE_S)
            self.assertRaises(ConnectionRefusedError, connection.connect)
            self.assertEqual(first + answer.read(), self.content)
            self.assertEqual(self.node.wait(), 0)
            self.assertNotIn("cutting", self.node.log())

    def test_refuses_while_draining(self) -> None:
        """
        On a connection that is still open, a request that comes meanwhile is told to try another time.
        """
        self.serve(payload(3 * MIB), rate=2 * MIB)
        with closing(HTTPConnection("127.0.0.1", self.node.port, timeout=PATIENCE_S)) as kept:
            kept.request("GET", "/readyz")
            self.assertEqual(kept.getresponse().read() is not None, True)
            answer = self.ask()
            self.node.signal(signal.SIGTERM)
            self.node.wait_for("waiting up to")
            kept.request("GET", "/api/v1/asset/7")
            refused = kept.getresponse()
            self.assertEqual((refused.status, json.loads(refused.read())["type"]), (503, "shutting_down"))
            self.assertIsNotNone(refused.headers["Retry-After"])
        self.assertEqual(answer.read(), self.content)
        self.assertEqual(self.node.wait(), 0)

    def test_drain_timeout(self) -> None:
        """
        A reader that takes nothing is cut after C{limits.drainTimeoutSec}; the status is 0 all the same.
        """
        self.serve(payload(8 * MIB), drainTimeoutSec=1)
        answer = self.ask(receive_buffer=64 * 1024)
        self.node.signal(signal.SIGTERM)
        self.node.wait_for("waiting up to 1 s")
        self.assertEqual(self.node.wait(), 0)
        self.assertIn("cutting answers that are still in progress", self.node.log())
        self.assertLess(len(read_to_end(answer)), len(self.content))

    def test_twice(self) -> None:
        """
        A second signal does not wait for answers in progress.
        """
        for first, second in ((signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGINT)):
            self.serve(payload(8 * MIB), drainTimeoutSec=_NEVER_S)
            answer = self.ask(receive_buffer=64 * 1024)
            self.node.signal(first)
            self.node.wait_for("waiting up to")
            self.node.signal(second)
            self.assertEqual(self.node.wait(), 0)
            self.assertLess(len(read_to_end(answer)), len(self.content))

    def test_goes_on(self) -> None:
        """
        A download that a stop has left off is gone on with after the next start, from where it was.
        """
        self.serve(payload(8 * MIB), rate=4 * MIB)
        answer = self.ask()
        answer.read(MIB)
        answer.close()
        self.node.stop()
        present = self.on_disk()[".partial/7"]

        self.start_again()
        self.assertEqual(status(self, self.node.url)["storageUsed"], present)
        self.assertEqual(self.ask().read(), self.content)
        told = status(self, self.storage.url)
        self.assertEqual((told["requests"], told["bytesAsked"]), (2, 2 * len(self.content) - present))
        self.node.stop()
        self.assertEqual(self.on_disk(), {"7": len(self.content)})

    def test_during_a_download_without_readers(self) -> None:
        """
        A download that nobody waits for does not hold up the stop.
        """
        self.serve(payload(2 * MIB), rate=64 * 1024, drainTimeoutSec=_NEVER_S)
        answer = self.ask()
        answer.read(1)
        answer.close()
        self.node.stop()


class ReloadTests(_NodeTestCase):
    """
    SIGHUP.
    """

    def test_reload(self) -> None:
        """
        What the manifest lists by then is served; an invalid one is refused, with the path of what is wrong, and the
        old one stays in force.
        """
        contents = {"7": payload(1000, 7), "8": payload(1000, 8)}
        storage = StorageNodeProcess.start(self, folder(self, contents))
        manifest = self.directory() / "manifest.yml"
        write_manifest(manifest, [storage.url], {"7": contents["7"]})
        self.node = Node.start(self, manifest=manifest)
        self.assertEqual(self.ask("8").status, 404)

        write_manifest(manifest, [storage.url], {"8": contents["8"]})
        self.reload("The manifest lists 1 objects.")
        self.assertEqual(self.ask("8").read(), contents["8"])
        self.assertEqual(self.ask("7").status, 404)

        manifest.write_text('objects: {"8": {size: -1, hash: gW}}', encoding="utf-8")
        self.reload(r'objects\."8"\.size: must be')
        manifest.unlink()
        self.reload("The manifest is refused, the old one stays in force:\n.*cannot be read")
        self.assertEqual(self.ask("8").read(), contents["8"])

    def reload(self, expected: str) -> None:
        """
        Send SIGHUP, and wait for C{expected} in the log.
        """
        start = len(self.node.log())
        self.node.signal(signal.SIGHUP)
        self.node.wait_for(expected, start)
