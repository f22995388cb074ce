"""
Tests for L{distributor.service}: its start, and what it does while it runs. Its end is in C{test_stop}.
"""

from __future__ import annotations

import json
from typing import cast

from attrs import evolve
from twisted.internet.error import CannotListenError
from twisted.logger import capturedLogs, formatEvent

from distributor import __version__, service
from distributor.cache import Store
from distributor.config import Config
from distributor.model import DistributorError
from distributor.observe.systemd import READY, RELOADING, STOPPING
from distributor.workers import Crew, Crowd
from tests.service_in_memory import CAME, CONTENT, STALL, Endpoint, Pool, ServiceCase
from tests.upstream import TIMEOUT_S
from tests.web.node_in_memory import ASSET


class StartTests(ServiceCase):
    """
    From nothing to serving.
    """

    def test_serves(self) -> None:
        """
        Once started, it answers, has told systemd, and has announced where.
        """
        node = self.started()
        self.assertEqual(self.told, [READY])
        self.assertEqual(self.announced, [[self.endpoint]])
        self.assertTrue(self.ask().body == CONTENT)
        self.assertEqual(self.ask()["X-Cache"], "hit")
        self.assertEqual(self.upstream.ranges, [None])
        self.assertEqual(self.ask("/readyz").status, 200)
        self.stopped(node)

    def test_starting(self) -> None:
        """
        It listens at once, and says that it is starting until its store is open.
        """
        Pool.waits = True
        node = self.make()
        node.privilegedStartService()
        for _ in range(2):
            refused = self.ask()
            self.assertEqual((refused.status, refused["Retry-After"]), (503, "1"))
            self.assertIn(b'"starting"', refused.body)
            self.assertEqual(self.ask("/readyz").status, 503)
            self.assertEqual(self.ask("/healthz").status, 200)
            self.assertEqual(self.ask("/api/v1/status").status, 200)
            if not node.running:
                node.startService()
        self.assertEqual((self.told, self.announced), ([], []))
        self.do_jobs()
        self.assertEqual((self.told, len(self.announced)), ([READY], 1))
        self.assertTrue(self.ask().whole)
        self.stopped(node)

    def do_jobs(self) -> None:
        """
        The threads do what there is to do, and wait no more.
        """
        Pool.waits = False
        while Pool.waiting:
            Pool.waiting.pop(0)()
        self.settle()

    def test_listens_once(self) -> None:
        """
        With privileges or without, it listens once.
        """
        node = self.make()
        node.startService()
        self.settle()
        self.assertEqual(self.endpoint.listens, 1)
        self.stopped(node)

    def test_cannot_listen(self) -> None:
        """
        Where it cannot listen at one of its endpoints, it does not start.
        """
        refused = Endpoint(CannotListenError("127.0.0.1", 80, OSError(13, "Permission denied")))
        node = self.make(None, self.endpoint, refused)
        error = self.assertRaises(CannotListenError, node.privilegedStartService)
        self.assertEqual(service.why(error), "cannot listen on 127.0.0.1:80: [Errno 13] Permission denied")
        node._parts.lock.release()

    def test_second_node(self) -> None:
        """
        Two nodes cannot have the same directories.
        """
        node = self.started()
        error = self.assertRaises(DistributorError, self.make)
        self.assertIn("in use by another distributor", str(error))
        self.stopped(node)

    def test_cannot_open_the_store(self) -> None:
        """
        When the store cannot be opened, the node says why and ends.
        """

        async def broken(_: object) -> None:
            raise DistributorError("the store is broken")

        self.patch(Store, "start", broken)
        node = self.make()
        node.privilegedStartService()
        node.startService()
        self.assertEqual(self.given_up, ["the store is broken"])
        self.assertEqual((self.told, self.announced), ([], []))
        self.assertEqual(self.ask().status, 503)
        node._parts.lock.release()

    def test_wrong_manifest(self) -> None:
        """
        A manifest that is wrong is refused before anything is listened on.
        """
        self.written = self.manifest(size=-1)
        self.assertRaises(DistributorError, self.make)
        self.assertEqual(self.endpoint.listens, 0)


class MetricsTests(ServiceCase):
    """
    What a monitoring system reads.
    """

    def test_those_of_other_processes(self) -> None:
        """
        Clients are counted, whichever process they are with.
        """
        self.patch(Crew, "crowd", Crowd(answering=2, connections=30))
        config = self.config()
        node = self.started(evolve(config, public_api=evolve(config.public_api, metrics=True)))
        self.faults.next.append(STALL)
        reading = self.visit()
        reading.send(ASSET)
        told = self.ask("/metrics").body.decode("ascii")
        self.assertIn("\ndistributor_answers_in_progress 3.0\n", told)
        self.assertIn("\ndistributor_connections 32.0\n", told)
        reading.lose()
        self.stopped(node)


class AbsenceTests(ServiceCase):
    """
    For how long others may remember that an object is not here.
    """

    def said(self, config: Config | None = None) -> str:
        node = self.started(config)
        said = self.ask("/api/v1/assets/8")["Cache-Control"]
        self.stopped(node)
        return said

    def test_manifest(self) -> None:
        """
        Not for longer than it takes who has written a manifest to look whether it works.
        """
        self.assertEqual(self.said(), "max-age=30")


class FactsTests(ServiceCase):
    """
    What the node says of itself.
    """

    def said(self, path: str) -> dict[str, object]:
        answer = self.ask(f"/api/v1/{path}")
        self.assertEqual(answer.status, 200)
        return cast(dict[str, object], json.loads(answer.body))

    def test_status(self) -> None:
        """
        The status counts whole seconds, objects, bytes and downloads.
        """
        node = self.started(self.config({"storage_bytes": 10**6}))
        self.clock.advance(7.9)
        expected = {
            "id": "a-node",
            "objectsInCache": 0,
            "storageLimit": 10**6,
            "storageUsed": 0,
            "uptime": 7,
            "downloadsInProgress": 0,
            "version": __version__,
        }
        self.assertEqual(self.said("status"), expected)
        self.faults.next.append(STALL)
        visit = self.visit()
        visit.send(ASSET)
        self.assertEqual(self.said("status"), expected | {"storageUsed": CAME, "downloadsInProgress": 1})
        self.advance(TIMEOUT_S)
        self.assertEqual(
            self.said("status"), expected | {"storageUsed": len(CONTENT), "objectsInCache": 1, "uptime": 12}
        )
        visit.lose()
        self.stopped(node)

    def test_buckets(self) -> None:
        """
        The buckets are the configured ones; else the worker's; else those of the manifest.
        """
        self.written = self.manifest(buckets=["0:1", "0:0"])
        for config, expected in (
            (self.config(buckets=(0, "0:1")), {"bucketIds": [0, "0:1"]}),
            (self.config(buckets=()), {"bucketIds": []}),
            (self.config(worker_id=3), {"allByWorkerId": 3}),
            (self.config(worker_id=0), {"allByWorkerId": 0}),
            (self.config(buckets=(5,), worker_id=3), {"bucketIds": [5]}),
        ):
            node = self.started(config)
            self.assertEqual(self.said("buckets"), expected)
            self.stopped(node)
        node = self.started()
        self.assertEqual(sorted(cast(list[str], self.said("buckets")["bucketIds"])), ["0:0", "0:1"])
        self.stopped(node)

    def test_bucket_of_another_node(self) -> None:
        """
        Objects of other buckets are others' to distribute.
        """
        self.written = self.manifest(buckets=["0:1"])
        node = self.started(self.config(buckets=("0:2",)))
        self.assertEqual(self.ask().status, 421)
        self.stopped(node)

    def test_leaves_while_it_is_fetched(self) -> None:
        """
        Who is inside is served to the end; from then on, the object is another node's, also when it is whole.
        """
        self.written = self.manifest(buckets=["0:1"])
        node = self.started(self.config(buckets=("0:1",)))
        self.faults.next.append(STALL)
        inside = self.visit()
        inside.send(ASSET)
        node._parts.catalogue.set_buckets(["0:2"])
        self.advance(0)
        self.assertEqual(self.ask().status, 421)
        self.advance(TIMEOUT_S)
        self.assertEqual(inside.answer.body, CONTENT)
        self.assertEqual(self.ask().status, 421)
        node._parts.catalogue.set_buckets(["0:1"])
        self.advance(0)
        self.assertEqual(self.ask()["X-Cache"], "hit")
        self.stopped(node)

    def test_page(self) -> None:
        """
        The page is the given one.
        """
        node = self.started()
        self.assertEqual(self.ask("/").body, b"the page at http://node")
        self.stopped(node)

    def test_limits(self) -> None:
        """
        The configured limits are in force.
        """
        node = self.started(self.config({"max_cached_item_bytes": len(CONTENT) - 1, "max_inbound_connections": 1}))
        self.faults.next.append(STALL)
        visit = self.visit()
        visit.send(ASSET)
        self.assertEqual(visit.answer["X-Data-Source"], "external")
        self.assertEqual(self.ask().status, 503)
        visit.lose()
        self.stopped(node)


class ReloadTests(ServiceCase):
    """
    What SIGHUP does.
    """

    def test_not_running(self) -> None:
        """
        A node that starts or stops does not say that it is ready because of that.
        """
        node = self.make()
        node.privilegedStartService()
        node.reload()
        self.assertEqual(self.told, [])
        node.startService()
        self.settle()
        self.stopped(node)
        node.reload()
        self.assertEqual(self.told, [READY, STOPPING])

    def test_manifest(self) -> None:
        """
        The manifest is read again; systemd is told before and after.
        """
        node = self.started()
        self.written = self.manifest(accepted=False)
        self.assertEqual(self.ask(method="HEAD").status, 200)
        node.reload()
        self.assertEqual(self.ask(method="HEAD").status, 404)
        self.assertEqual([message.partition("\n")[0] for message in self.told], [READY, RELOADING, READY])
        self.stopped(node)

    def test_wrong_manifest(self) -> None:
        """
        One that is wrong is refused with one line, and the old one stays in force; systemd is told that it is over.
        """
        node = self.started()
        self.written = self.manifest(size=-1)
        with capturedLogs() as events:
            node.reload()
            lines = [formatEvent(event) for event in events if event["log_level"].name != "info"]
        self.assertEqual(self.ask(method="HEAD").status, 200)
        self.assertEqual(len(lines), 1, lines)
        self.assertIn('objects."7".size', lines[0])
        self.assertEqual(self.told[-1], READY)
        self.assertEqual(self.flushLoggedErrors(), [])
        self.stopped(node)
