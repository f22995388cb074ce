"""
A disk that is full long before the store has what it may have: a small tmpfs, which only root can mount.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from time import monotonic

from twisted.trial.unittest import SkipTest

from tests.integration.process import PATIENCE_S, Node, ProcessTestCase, StorageNodeProcess

MIB = 1024 * 1024
DISK = 16 * MIB
SMALL = [random.Random(number).randbytes(3 * MIB) for number in range(4)]
LARGE = random.Random(9).randbytes(10 * MIB)
TOO_LARGE = random.Random(10).randbytes(40 * MIB)

#: Bytes per second, where the node is to be looked at in the middle.
SLOW = 8 * MIB


def mounted(case: ProcessTestCase, size: int) -> Path:
    """
    A file system of its own of so many bytes, until the test ends.

    @raise SkipTest: this process may not mount one.
    """
    path = case.directory()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mount.returncode != 0:
        raise SkipTest(f"mounting a tmpfs is not permitted here: {mount.stderr.strip()}")
    # Lazily, as a process that does not end well must not leave it behind.
    case.addCleanup(subprocess.run, ["umount", "--lazy", str(path)], check=True)
    return path


class FullDiskTests(ProcessTestCase):
    """
    C{limits.storage} is what the operator says; the disk is smaller.
    """

    def setUp(self) -> None:
        self.disk = mounted(self, DISK)

    def start(self, rate: int | None = None) -> Node:
        """
        Start both nodes. Objects 1 to 4 are small, 5 is large, and 6 is larger than the disk.
        """
        media = self.directory()
        for object_id, content in enumerate([*SMALL, LARGE, TOO_LARGE], 1):
            (media / str(object_id)).write_bytes(content)
        self.storage = StorageNodeProcess.start(self, media, rate=rate)
        config = {
            "limits": {"storage": "1G"},
            "directories": {"assets": str(self.disk)},
            "publicApi": {"showDownloads": True},
        }
        self.node = Node.start(self, manifest=self.storage.manifest, config=config)
        return self.node

    def ask(self, object_id: int, start: int = 0, stop: int | None = None) -> HTTPResponse:
        """
        The head of an answer.
        """
        connection = HTTPConnection("127.0.0.1", self.node.port, timeout=PATIENCE_S)
        self.addCleanup(connection.close)
        asked = {"Range": f"bytes={start}-{'' if stop is None else stop - 1}"} if start or stop else {}
        connection.request("GET", f"/api/v1/asset/{object_id}", headers=asked)
        return connection.getresponse()

    def get(self, object_id: int) -> bytes:
        """
        All of an object.
        """
        answer = self.ask(object_id)
        self.assertEqual(answer.status, 200)
        return answer.read()

    def used(self) -> int:
        """
        Bytes of the disk.
        """
        status = os.statvfs(self.disk)
        return (status.f_blocks - status.f_bfree) * status.f_frsize

    def status(self, name: str) -> int:
        """
        What the node says of itself.
        """
        with closing(HTTPConnection("127.0.0.1", self.node.port, timeout=PATIENCE_S)) as connection:
            connection.request("GET", "/api/v1/status")
            value: int = json.loads(connection.getresponse().read())[name]
        return value

    def assert_empty(self) -> None:
        """
        Before long, the disk and the books have nothing left.
        """
        deadline = monotonic() + PATIENCE_S
        while self.status("storageUsed") or self.status("downloadsInProgress"):
            self.assertLess(monotonic(), deadline, "space is not given back")
        self.assertLess(self.used(), MIB)
        self.assertEqual([path for path in self.disk.rglob("*") if path.is_file() and path.name != "lock"], [])

    def test_evicts_and_goes_on(self) -> None:
        """
        What was least recently wanted goes, and the download goes on, into the store.
        """
        self.start()
        for object_id, content in enumerate(SMALL, 1):
            self.assertTrue(self.get(object_id) == content)
        self.assertTrue(self.get(2) == SMALL[1])
        self.assertTrue(self.get(5) == LARGE)
        answer = self.ask(5)
        self.assertEqual(answer.getheader("X-Cache"), "hit")
        self.assertTrue(answer.read() == LARGE)
        self.assertTrue((self.disk / "2").exists())
        self.assertFalse((self.disk / "1").exists())
        self.assertEqual(self.status("storageUsed"), sum(path.stat().st_size for path in self.disk.glob("[0-9]")))
        self.assertNotIn("passed through", self.node.log())

    def test_evicts_everything_and_passes_through(self) -> None:
        """
        When nothing is left to evict, the reader has the rest of the object without a break, and nothing of the object
        stays on the disk.
        """
        self.start()
        for object_id, content in enumerate(SMALL, 1):
            self.assertTrue(self.get(object_id) == content)
        answer = self.ask(6)
        self.assertEqual((answer.status, answer.getheader("X-Cache")), (200, "miss"))
        self.assertTrue(answer.read() == TOO_LARGE)
        self.assert_empty()
        self.assertEqual(self.node.log().count("object 6 is passed through"), 1)

    def test_every_reader_goes_on_where_it_is(self) -> None:
        """
        Readers of the whole and of parts, some of which are on the disk and some of which are not, all get theirs.
        """
        self.start(SLOW)
        answers = [(self.ask(6), 0, len(TOO_LARGE))]
        for start, stop in ((0, 40 * MIB), (5 * MIB, 38 * MIB), (30 * MIB, 31 * MIB), (39 * MIB, 40 * MIB)):
            answers.append((self.ask(6, start, stop), start, stop))
        for answer, start, stop in reversed(answers):
            self.assertEqual(answer.status, 200 if answer is answers[0][0] else 206)
            self.assertTrue(answer.read() == TOO_LARGE[start:stop], (start, stop))
        self.assert_empty()
        self.assertEqual(self.node.log().count("is passed through"), 1)

    def test_space_is_given_back_at_once(self) -> None:
        """
        It is not kept until the last reader has gone: others may need it.
        """
        self.start(SLOW)
        answer = self.ask(6)
        received = 0
        while "is passed through" not in self.node.log():
            data = answer.read1(65536)
            self.assertTrue(data == TOO_LARGE[received : received + len(data)])
            received += len(data)
        while received < 30 * MIB:
            received += len(answer.read1(65536))
        self.assertLess(self.used(), MIB)
        self.assertEqual(self.status("storageUsed"), 0)
        self.assertTrue(answer.read() == TOO_LARGE[received:])

    def test_one_line_in_the_log(self) -> None:
        """
        However many requests meet the full disk, the log has one line of it; and there is no traceback.
        """
        self.start()
        for _ in range(5):
            self.assertTrue(self.get(6) == TOO_LARGE)
        self.assertEqual(self.node.log().count("is passed through"), 1)
        self.assertEqual(self.node.log().count("No space left"), 1)
        self.assert_empty()

    def test_recovers(self) -> None:
        """
        What fits is kept afterwards, as if nothing had happened.
        """
        self.start()
        self.assertTrue(self.get(6) == TOO_LARGE)
        self.assert_empty()
        self.assertTrue(self.get(5) == LARGE)
        answer = self.ask(5)
        self.assertEqual(answer.getheader("X-Cache"), "hit")
        self.assertTrue(answer.read() == LARGE)

    def test_somebody_else_fills_the_disk(self) -> None:
        """
        A file that is none of ours takes the space: what is read stays, and the rest is passed through.
        """
        self.start()
        self.assertTrue(self.get(1) == SMALL[0])
        (self.disk / "somebody-elses").write_bytes(bytes(10 * MIB))
        answer = self.ask(5)
        self.assertTrue(answer.read() == LARGE)
        self.assertTrue(self.get(1) == SMALL[0])
        self.assertTrue((self.disk / "somebody-elses").exists())
