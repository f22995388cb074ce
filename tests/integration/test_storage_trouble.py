"""
Storage nodes that die, stall, lie or are not there.
"""

from __future__ import annotations

import json
import signal
import socket
from http.client import HTTPResponse
from pathlib import Path

from tests.integration.client import ask, get, read_to_end, status
from tests.integration.media import MIB, folder, manifest
from tests.integration.process import Node, ProcessTestCase, StorageNodeProcess
from tests.upstream import payload


def silent_endpoint(case: ProcessTestCase) -> str:
    """
    A storage node that takes connections, and never says a word.
    """
    listening = socket.create_server(("127.0.0.1", 0))
    case.addCleanup(listening.close)
    return f"http://127.0.0.1:{listening.getsockname()[1]}/"


def dead_endpoint(case: ProcessTestCase) -> str:
    """
    A storage node that is not there: its port is kept from others, and refuses connections.
    """
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    case.addCleanup(bound.close)
    return f"http://127.0.0.1:{bound.getsockname()[1]}/"


class _NodeTestCase(ProcessTestCase):
    """
    A node whose catalogue lists object 7.
    """

    def start_node(self, endpoints: list[str], content: bytes, data_dir: Path | None = None, **limits: object) -> None:
        """
        Start a node for which all of C{endpoints} have C{content}.
        """
        self.content = content
        self.listed = manifest(self, endpoints, {"7": content})
        config = {"limits": {"outboundRequestsTimeoutMs": 1000, **limits}}
        self.node = Node.start(self, manifest=self.listed, config=config, data_dir=data_dir)
        self.url = f"{self.node.url}/api/v1/asset/7"

    def assert_error(self, status: int, type: str) -> None:
        """
        The answer is this error, as JSON that nobody may cache.
        """
        code, response, body = get(self, self.url)
        self.assertEqual((code, json.loads(body)["type"]), (status, type))
        self.assertEqual(response.headers["Content-Type"], "application/json")
        self.assertEqual(response.headers["Cache-Control"], "no-store")

    def assert_served(self, expected_cache: str) -> HTTPResponse:
        """
        The answer is right.
        """
        code, response, body = get(self, self.url)
        self.assertEqual((code, response.headers["X-Cache"]), (200, expected_cache))
        self.assertEqual(body, self.content)
        return response


class StorageNodeTests(_NodeTestCase):
    """
    Trouble with storage nodes.
    """

    def storage(self, content: bytes, rate: int | None = None) -> StorageNodeProcess:
        """
        A storage node that has C{content} as object 7, in C{self.file}.
        """
        media = folder(self, {"7": content})
        self.file = media / "7"
        return StorageNodeProcess.start(self, media, rate=rate)

    def asked_bytes(self, storage: StorageNodeProcess) -> int:
        """
        For how many bytes it was asked.
        """
        asked: int = status(self, storage.url)["bytesAsked"]
        return asked

    def test_killed(self) -> None:
        """
        One that is killed in the middle of a transfer is replaced by another, which is asked for the rest alone; those
        who read see one right answer.
        """
        content = payload(4 * MIB)
        first, second = self.storage(content, rate=2 * MIB), self.storage(content)
        self.start_node([first.url, second.url], content)
        early = ask(self, self.url)
        begun = early.read(MIB)
        late = ask(self, self.url)
        first.kill()
        self.assertEqual(begun + early.read(), content)
        self.assertEqual(late.read(), content)
        self.assertLessEqual(self.asked_bytes(second), len(content) - MIB)
        self.assert_served("hit")

    def test_stalled(self) -> None:
        """
        One that falls silent in the middle of a transfer is replaced, too.
        """
        content = payload(4 * MIB)
        first, second = self.storage(content, rate=2 * MIB), self.storage(content)
        self.start_node([first.url, second.url], content)
        answer = ask(self, self.url)
        begun = answer.read(MIB)
        first.signal(signal.SIGSTOP)
        # It would not hear the signal that ends it.
        self.addCleanup(first.signal, signal.SIGCONT)
        self.assertEqual(begun + answer.read(), content)
        self.assertLessEqual(self.asked_bytes(second), len(content) - MIB)

    def test_the_only_one_comes_back(self) -> None:
        """
        When the only one dies, readers wait until it is there again, and go on from what had arrived.
        """
        content = payload(4 * MIB)
        storage = self.storage(content, rate=2 * MIB)
        self.start_node([storage.url], content)
        answer = ask(self, self.url)
        begun = answer.read(MIB)
        storage.kill()
        again = StorageNodeProcess.start(self, self.file.parent, port=storage.port)
        self.assertEqual(begun + answer.read(), content)
        self.assertLessEqual(self.asked_bytes(again), len(content) - MIB)
        self.assert_served("hit")

    def test_flipped_byte(self) -> None:
        """
        A wrong byte never makes a complete answer, whole or range: it is cut, and nothing of it is kept. The next
        request fetches anew.
        """
        content = payload(2 * MIB)
        storage = self.storage(content)
        self.start_node([storage.url], content)
        wrong = bytearray(content)
        wrong[MIB] ^= 1
        self.file.write_bytes(wrong)
        answer = ask(self, self.url)
        self.assertEqual(answer.headers["Content-Length"], str(len(content)))
        self.assertLess(len(read_to_end(answer)), len(content))
        # Its last byte comes after the whole has been verified.
        end = ask(self, self.url, {"Range": "bytes=-1"})
        self.assertEqual((end.status, json.loads(end.read())["type"]), (502, "content_mismatch"))
        self.assertEqual(status(self, self.node.url)["objectsInCache"], 0)

        self.file.write_bytes(content)
        self.assert_served("miss")
        self.assert_served("hit")

    def test_all_down(self) -> None:
        """
        When none answers, that is said with 502; and served as soon as one does.
        """
        content = payload(1000)
        storage = self.storage(content)
        self.start_node([dead_endpoint(self), storage.url], content)
        storage.kill()
        self.assert_error(502, "sources_failed")
        StorageNodeProcess.start(self, self.file.parent, port=storage.port)
        self.assert_served("miss")

    def test_all_hang(self) -> None:
        """
        When all of them take too long, that is said with 504.
        """
        self.start_node([silent_endpoint(self), silent_endpoint(self)], payload(1000))
        self.assert_error(504, "sources_timed_out")

    def test_one_hangs(self) -> None:
        """
        One that never answers costs a delay.
        """
        content = payload(1000)
        self.start_node([silent_endpoint(self), self.storage(content).url], content)
        self.assert_served("miss")

    def test_absent(self) -> None:
        """
        One that does not have what it should is passed over.
        """
        content = payload(1000)
        empty = StorageNodeProcess.start(self, folder(self, {"8": b"another"}))
        self.start_node([empty.url, self.storage(content).url], content)
        self.assert_served("miss")
