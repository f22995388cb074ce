"""
An operator of a node that is several processes: they are one to him.
"""

from __future__ import annotations

import os
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from urllib.parse import urlsplit

from tests.integration.client import get, settled
from tests.integration.network import eventually
from tests.integration.operator import OperatorTestCase
from tests.integration.process import PATIENCE_S
from tests.integration.test_workers import children
from tests.upstream import payload

#: A dozen: that one of them leaves is no large loss.
CONTENTS = {"1": payload(100_001), "2": payload(3_000_000, 2), **{str(number): b"more" for number in range(3, 13)}}

#: More connections than one process gets by chance.
MANY = 40

ASSET = "/api/v1/assets/1"


class OperatedWorkersTests(OperatorTestCase):
    """
    C{--workers 2}.
    """

    def setUp(self) -> None:
        self.begin(CONTENTS)
        self.start_operated(args=["--workers", "2"], ttl_s=1)
        self.node.wait_for("worker: PublicSite starting")

    def answers(self, path: str) -> set[tuple[int, str | None]]:
        """
        How all processes answer: the statuses, and C{X-Cache}.
        """

        def ask(_: int) -> tuple[int, str | None]:
            code, answer, _body = get(self, f"{self.node.url}{path}")
            return code, answer.headers["X-Cache"]

        with ThreadPoolExecutor(8) as pool:
            return set(pool.map(ask, range(MANY)))

    def answered_by_worker(self) -> int:
        """
        How many answers the other process has logged.
        """
        return self.node.log().count("worker: 127.0.0.1 GET")

    def test_stopped(self) -> None:
        """
        The operator stops all processes, starts all, and ends all; what leaves the node leaves all of them.
        """
        self.assert_served("1")
        eventually(self, lambda: self.answers(ASSET) == {(200, "hit")}, "not all know it")
        self.do("POST", "/stop-api")
        eventually(self, lambda: self.answers(ASSET) == {(503, None)}, "not all refuse")
        self.assertEqual(self.answers("/readyz"), {(503, None)})
        self.assertEqual(self.answers("/api/v1/status"), {(200, None)})
        self.do("POST", "/start-api")
        eventually(self, lambda: self.answers(ASSET) == {(200, "hit")}, "not all serve again")
        self.assertEqual(self.answers("/readyz"), {(200, None)})
        self.assertGreater(self.answered_by_worker(), 0)
        self.redistribute("1")
        eventually(self, lambda: self.answers(ASSET) == {(421, None)}, "not all know that it has left")
        self.do("POST", "/shutdown")
        self.assertEqual(self.node.wait(), 0)

    def test_summed_up(self) -> None:
        """
        Whichever process answers, and asks storage nodes: it is counted.
        """
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(self.assert_served, MANY * ["1"]))
            list(pool.map(self.assert_served, 8 * ["2"]))
        settled(self, self.node.url)
        expected = MANY * len(CONTENTS["1"]) + 8 * len(CONTENTS["2"])
        eventually(self, lambda: self.metric("sent_bytes_total") == expected, "it is not the sum")
        metrics = self.metrics()
        self.assertEqual(sum(value for (name, _), value in metrics.items() if name == "requests_total"), MANY + 8)
        self.assertEqual(self.metric("first_byte_seconds_count"), MANY + 8)
        requests = self.requests_of(self.storage)
        asked = sum(value for (name, _), value in metrics.items() if name == "storage_node_requests_total")
        self.assertEqual(asked, len(requests))
        self.assertEqual(self.metric("received_bytes_total"), sum(each["sent"] for each in requests))
        self.assertGreater(self.answered_by_worker(), 0)

    def test_clients_of_all(self) -> None:
        """
        Whichever process a client is connected to: it is counted as long as it is there.
        """
        address = urlsplit(self.node.url)
        with ExitStack() as clients:
            for _ in range(MANY):
                clients.enter_context(socket.create_connection((address.hostname, address.port), PATIENCE_S))
            eventually(self, lambda: self.metric("connections") == MANY, "not all are counted")
        eventually(self, lambda: self.metric("connections") == 0, "some are still counted")

    def test_a_worker_that_is_ended(self) -> None:
        """
        What it has answered up to then is counted.
        """
        rounds = 5
        for _ in range(rounds):
            self.answers(ASSET)
        for worker in children(self.node.pid):
            os.kill(worker, signal.SIGTERM)
        self.node.wait_for("a worker has ended")
        metrics = self.metrics()
        counted = sum(value for (name, _), value in metrics.items() if name == "requests_total")
        self.assertEqual(counted, rounds * MANY)
