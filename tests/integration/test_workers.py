"""
Several processes that share a port.
"""

from __future__ import annotations

import json
import os
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from http.client import IncompleteRead
from pathlib import Path
from time import monotonic

from twisted.trial.unittest import SkipTest

from tests.integration.client import ask, get
from tests.integration.process import PATIENCE_S, Node, ProcessTestCase, StorageNodeProcess, run_to_end
from tests.memory import CAN_COLLAPSE, in_huge_pages
from tests.upstream import payload

CONTENT = payload(8_000_000)
ASSET = "/api/v1/asset/1"


def children(pid: int) -> list[int]:
    """
    The processes that one has started.
    """
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for each in tasks for child in each.read_text(encoding="ascii").split()]


def refuses(port: int) -> bool:
    """
    Whether nobody listens.
    """
    try:
        socket.create_connection(("127.0.0.1", port), PATIENCE_S).close()
    except ConnectionError:
        return True
    return False


class WorkersTests(ProcessTestCase):
    """
    A node of three processes.
    """

    def begun(self, rate: int | None = None) -> Node:
        media = self.directory()
        (media / "1.bin").write_bytes(CONTENT)
        self.storage = StorageNodeProcess.start(self, media, rate=rate)
        node = Node.start(self, manifest=self.storage.manifest, args=["--workers", "3"])
        self.await_workers(node, 2)
        return node

    def await_workers(self, node: Node, number: int) -> None:
        """
        Wait until so many more have begun to listen.
        """
        position = 0
        for _ in range(number):
            position = node.wait_for(r"worker: PublicSite starting", position).end()

    def wait_until(self, right: object, what: str) -> None:
        """
        Wait for what no log tells.
        """
        deadline = monotonic() + PATIENCE_S
        while not right():  # type: ignore[operator]
            self.assertLess(monotonic(), deadline, what)

    def answered_by(self, node: Node) -> int:
        """
        How many answers the workers have logged.
        """
        return node.log().count("worker: 127.0.0.1 GET")

    def test_readers_of_all_processes_share_a_download(self) -> None:
        """
        Forty who want a cold object, some of them a part of it, get it from one transfer of the storage node.
        """
        node = self.begun(rate=8_000_000)

        def read(number: int) -> bool:
            start = 0 if number % 2 else 4_000_000
            headers = {"Range": f"bytes={start}-"} if start else {}
            return get(self, node.url + ASSET, headers)[2] == CONTENT[start:]

        with ThreadPoolExecutor(40) as pool:
            self.assertEqual(list(pool.map(read, range(40))), 40 * [True])
        self.assertGreater(self.answered_by(node), 0)
        self.assertGreater(40, self.answered_by(node))
        sent = json.loads(get(self, self.storage.url + "/api/v1/status")[2])["bytesSent"]
        self.assertLess(sent, 1.3 * len(CONTENT))

    def test_each_answers_for_the_whole_node(self) -> None:
        """
        Whoever accepts a connection, C{/status} is of all of them, and what one has fetched is a hit for all.
        """
        node = self.begun()
        self.assertEqual(get(self, node.url + ASSET)[2], CONTENT)
        self.wait_until(
            lambda: {get(self, node.url + ASSET)[1].headers["X-Cache"] for _ in range(20)} == {"hit"}, "not all know it"
        )
        told = [json.loads(get(self, node.url + "/api/v1/status")[2]) for _ in range(30)]
        self.assertEqual({each["objectsInCache"] for each in told}, {1})
        self.assertEqual({each["storageUsed"] for each in told}, {len(CONTENT)})

    def test_memory(self) -> None:
        """
        Once they run, what the processes have loaded is in huge pages, where the kernel can do that.
        """
        if not CAN_COLLAPSE:
            raise SkipTest("this kernel cannot do it, or does it by itself")
        node = self.begun()
        self.wait_until(
            lambda: all(in_huge_pages(pid) >= 4096 for pid in [node.pid, *children(node.pid)]), "memory in small pages"
        )

    def test_a_worker_that_dies(self) -> None:
        """
        Another one takes its place, and the others go on.
        """
        node = self.begun()
        before = children(node.pid)
        self.assertEqual(len(before), 2)
        position = len(node.log())
        os.kill(before[0], signal.SIGKILL)
        node.wait_for(r"a worker has ended", position)
        self.assertEqual(get(self, node.url + ASSET)[2], CONTENT)
        node.wait_for(r"worker: PublicSite starting", position)
        self.assertEqual(len(children(node.pid)), 2)

    def test_the_owner_dies(self) -> None:
        """
        Answers from complete files come to their end, whoever has accepted them but the owner; what depends on it is
        cut, and its port is free for another one.
        """
        node = self.begun()
        get(self, node.url + ASSET)
        workers = children(node.pid)
        # Enough that each process has some, and each with more to send than the sockets take.
        answers = [ask(self, node.url + ASSET, receive_buffer=4096) for _ in range(30)]
        port = node.port
        node.kill()
        self.wait_until(lambda: refuses(port), "the port is not free while answers come to their end")
        ended = 0
        for answer in answers:
            try:
                ended += answer.read() == CONTENT
            except (IncompleteRead, ConnectionError):
                continue
        self.assertGreater(ended, 0)
        self.wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), "a worker goes on")

    def test_stopped_with_answers_in_progress(self) -> None:
        """
        Every answer comes to its end, and then all processes do.
        """
        node = self.begun()
        get(self, node.url + ASSET)
        workers = children(node.pid)
        answers = [ask(self, node.url + ASSET, receive_buffer=4096) for _ in range(12)]
        node.signal(signal.SIGTERM)
        self.assertEqual([answer.read() == CONTENT for answer in answers], 12 * [True])
        self.assertEqual(node.wait(), 0)
        self.assertEqual([pid for pid in workers if Path(f"/proc/{pid}").exists()], [])

    def test_what_cannot_be_shared(self) -> None:
        """
        A UNIX socket has one owner.
        """
        done = run_to_end(self, "distributor", "--workers", "2", "--listen", "unix:here")
        self.assertEqual(done.returncode, 1)
        self.assertIn("tcp: and ssl:", done.stderr)
