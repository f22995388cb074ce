"""
Tests for L{distributor.service}: the whole node from its start to its end, without threads, sockets or waiting.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from attrs import evolve
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Site
from zope.interface import implementer

from distributor import __version__, service
from distributor.catalogue import parse_manifest
from distributor.config import Config, Directories, Limits, standalone_config
from distributor.devnet import Cut, Ending, Fault
from distributor.model import DistributorError
from distributor.observe.systemd import READY, RELOADING, STOPPING
from distributor.service import Distributor
from tests.upstream import TIMEOUT_S, Upstream, payload
from tests.web.node_in_memory import ASSET, Answer, Visit

CONTENT = payload(300_000)
CAME = 100_000
STALL = Fault(cut=Cut(CAME, Ending.STALL))
DRAIN_S = 30.0


class Reactor(MemoryReactorClock):
    """
    The reactor, as far as the service needs it.
    """

    def callFromThread(self, f: Callable[..., object], *args: object, **kwargs: object) -> None:
        f(*args, **kwargs)


class Pool:
    """
    A thread pool that works at once, unless it is told to wait.

    @ivar waiting: jobs that have not been done, where it waits.
    """

    waits = False
    waiting: list[Callable[[], None]] = []  # noqa: RUF012

    def __init__(self, minthreads: int = 5, maxthreads: int = 20, name: str | None = None) -> None:
        self.name = name
        self.running = False

    def start(self) -> None:
        self.running = True

    def stop(self) -> None:
        assert self.running
        self.running = False

    def callInThreadWithCallback(
        self, told: Callable[[bool, object], object], f: Callable[..., object], *args: object, **kwargs: object
    ) -> None:
        assert self.running, f"a job for {self.name}, which does not run"

        def work() -> None:
            try:
                result = f(*args, **kwargs)
            except Exception:
                told(False, Failure())
            else:
                told(True, result)

        if Pool.waits:
            Pool.waiting.append(work)
        else:
            work()


@implementer(IStreamServerEndpoint)
class Endpoint:
    """
    Where the node listens: nowhere.

    @ivar site: the node's server, once it listens.
    """

    def __init__(self, refuses: Exception | None = None) -> None:
        self._refuses = refuses
        self.site: Site | None = None
        self.listens = 0
        self.stopped = False

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        if self._refuses is not None:
            return fail(self._refuses)
        assert isinstance(protocolFactory, Site)
        self.site = protocolFactory
        self.listens += 1
        return succeed(cast(IListeningPort, self))

    def stopListening(self) -> Deferred[None]:
        self.stopped = True
        return succeed(None)


class ServiceCase(SynchronousTestCase):
    """
    A service over a storage node that has object 7.
    """

    def setUp(self) -> None:
        self.clock = Reactor()
        self.upstream = Upstream(self, cast(Any, self.clock), CONTENT)
        self.faults = self.upstream.nodes[0].faults
        self.directory = Path(self.mktemp()).absolute()
        self.endpoint = Endpoint()
        self.told: list[str] = []
        self.announced: list[list[IListeningPort]] = []
        self.written = self.manifest()
        self.pools: list[Pool] = []
        self.patch(Pool, "waits", False)
        self.patch(Pool, "waiting", [])
        self.patch(service, "ThreadPool", self.pool)
        self.patch(service, "agent", lambda *_: self.upstream._agent)
        self.patch(service, "notify", lambda message, environ: self.told.append(message))

    def pool(self, *args: Any, **options: Any) -> Pool:
        pool = Pool(*args, **options)
        self.pools.append(pool)
        return pool

    def manifest(self, **more: object) -> str:
        """
        The text of a manifest with object 7.
        """
        object = self.upstream.listing.object
        described = {"size": object.size, "hash": str(object.content_hash), **more}
        return json.dumps(
            {"storageNodes": [{"id": "0", "endpoint": "http://node0.example/"}], "objects": {"7": described}}
        )

    def config(self, limits: dict[str, Any] | None = None, **more: Any) -> Config:
        config = standalone_config()
        changed: Limits = evolve(
            config.limits, **{"outbound_requests_timeout_s": TIMEOUT_S, "drain_timeout_s": DRAIN_S, **(limits or {})}
        )
        return evolve(config, id="a-node", limits=changed, **more)

    def make(self, config: Config | None = None, *endpoints: Endpoint) -> Distributor:
        """
        A service that has not been started.
        """
        return Distributor(
            self.clock,
            config or self.config(),
            Directories(assets=self.directory / "assets", cache_state=self.directory / "state"),
            lambda: parse_manifest(self.written, "manifest.yml"),
            [cast(IStreamServerEndpoint, each) for each in endpoints or (self.endpoint,)],
            lambda origin: f"the page at {origin}",
            "default-src 'none'",
            {},
            self.announced.append,
        )

    def started(self, config: Config | None = None) -> Distributor:
        """
        One that serves.
        """
        node = self.make(config)
        node.privilegedStartService()
        node.startService()
        self.settle()
        return node

    def stopped(self, node: Distributor) -> None:
        """
        Stop one whose clients are all served.
        """
        done = node.stopService()
        self.settle()
        self.successResultOf(done)
        self.assert_over(node)

    def assert_over(self, node: Distributor) -> None:
        """
        It holds nothing any more but what it holds until the process ends.
        """
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual([pool.running for pool in self.pools], [False] * len(self.pools))
        self.assertTrue(self.endpoint.stopped)
        node._lock.release()

    def settle(self) -> None:
        self.upstream.flush(40)

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.settle()

    @property
    def site(self) -> Site:
        assert self.endpoint.site is not None, "it does not listen"
        return self.endpoint.site

    def visit(self, room: int | None = None) -> Visit:
        """
        A client comes.
        """
        return Visit(cast(Any, self), room)

    def ask(self, target: str = ASSET, *fields: str, method: str = "GET") -> Answer:
        """
        The answer to a client, who then goes.
        """
        visit = self.visit()
        visit.send(target, *fields, method=method)
        answer = visit.answer
        visit.lose()
        return answer


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
        node._lock.release()

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

        self.patch(service.Store, "start", broken)
        node = self.make()
        node.privilegedStartService()
        with capturedLogs() as events:
            node.startService()
            lines = [formatEvent(event) for event in events if event["log_level"].name == "critical"]
        self.assertEqual(len(lines), 1)
        self.assertEqual(len(self.flushLoggedErrors(DistributorError)), 1)
        self.assertTrue(self.clock.hasStopped)
        self.assertEqual((self.told, self.announced), ([], []))
        self.assertEqual(self.ask().status, 503)
        node._lock.release()

    def test_wrong_manifest(self) -> None:
        """
        A manifest that is wrong is refused before anything is listened on.
        """
        self.written = self.manifest(size=-1)
        self.assertRaises(DistributorError, self.make)
        self.assertEqual(self.endpoint.listens, 0)


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


class StopTests(ServiceCase):
    """
    From serving to nothing.
    """

    def test_idle(self) -> None:
        """
        A node without clients stops at once, and has told systemd.
        """
        node = self.started()
        self.stopped(node)
        self.assertEqual(self.told, [READY, STOPPING])

    def test_idle_connections(self) -> None:
        """
        Clients that only keep their connections open do not hold it up: those are closed.
        """
        node = self.started()
        visits = [self.visit(), self.visit()]
        visits[0].send("/healthz")
        self.stopped(node)
        self.assertEqual([visit.wire.ended for visit in visits], ["closed", "closed"])

    def test_answers_finish(self) -> None:
        """
        Answers in progress finish; new ones are refused; then all is saved.
        """
        node = self.started()
        self.faults.next.append(STALL)
        inside, late = self.visit(), self.visit()
        inside.send(ASSET)
        done = node.stopService()
        self.settle()
        self.assertTrue(self.endpoint.stopped)
        late.send(ASSET)
        self.assertEqual((late.answer.status, late.answer["Connection"]), (503, "close"))
        self.assertIn(b'"shutting_down"', late.answer.body)
        self.assertEqual(self.ask("/readyz").status, 503)
        self.assertNoResult(done)
        self.advance(TIMEOUT_S)
        self.assertTrue(inside.answer.whole and inside.answer.body == CONTENT)
        self.successResultOf(done)
        self.assert_over(node)
        again = self.started()
        self.assertEqual(self.ask()["X-Cache"], "hit")
        self.stopped(again)

    def test_what_is_in_buffers(self) -> None:
        """
        An answer has not finished as long as bytes of it wait for a slow client.
        """
        node = self.started()
        self.ask()
        slow = self.visit(room=5000)
        slow.send(ASSET, "Range: bytes=0-899")
        self.assertIn(CONTENT[:900], slow.wire.value())
        done = node.stopService()
        self.settle()
        self.assertNoResult(done)
        slow.wire.take()
        self.settle()
        self.assertTrue(slow.answer.whole)
        self.assertEqual(slow.wire.ended, "closed")
        self.successResultOf(done)
        self.assert_over(node)

    def test_buffers_that_stay_full(self) -> None:
        """
        A client that does not even take what is in the buffers is waited for a few seconds.
        """
        node = self.started()
        slow = self.visit(room=5000)
        slow.send("/healthz")
        done = node.stopService()
        self.settle()
        self.assertNoResult(done)
        self.advance(5)
        self.assertEqual(slow.wire.ended, "cut")
        self.successResultOf(done)
        self.assert_over(node)

    def test_takes_too_long(self) -> None:
        """
        Answers that take too long are cut, never so that they look whole; what has arrived is kept.
        """
        node = self.started()
        self.ask()
        stuck = self.visit(room=1000)
        stuck.send(ASSET)
        done = node.stopService()
        self.settle()
        self.clock.advance(DRAIN_S - 1)
        self.settle()
        self.assertNoResult(done)
        self.assertIsNone(stuck.wire.ended)
        self.advance(1)
        self.assertEqual(stuck.wire.ended, "cut")
        self.successResultOf(done)
        self.assert_over(node)

    def test_hurry(self) -> None:
        """
        An operator who cannot wait need not.
        """
        node = self.started()
        node.hurry()
        self.faults.next.append(STALL)
        visit = self.visit()
        visit.send(ASSET)
        done = node.stopService()
        self.settle()
        self.assertNoResult(done)
        node.hurry()
        self.settle()
        self.assertEqual(visit.wire.ended, "cut")
        self.successResultOf(done)
        node.hurry()
        self.assert_over(node)

    def test_download_is_left_off(self) -> None:
        """
        A download that nobody waits for any more is left off, and gone on with after the next start.
        """
        node = self.started()
        self.faults.next.append(STALL)
        visit = self.visit()
        visit.send(ASSET)
        visit.lose()
        self.stopped(node)
        again = self.started()
        self.assertTrue(self.ask().body == CONTENT)
        self.assertEqual(self.upstream.ranges, [None, f"bytes={CAME}-299999"])
        self.stopped(again)

    def test_while_it_starts(self) -> None:
        """
        A node that is told to stop before it serves never says that it does.
        """
        Pool.waits = True
        node = self.make()
        node.privilegedStartService()
        node.startService()
        done = node.stopService()
        self.assertNoResult(done)
        Pool.waits = False
        while Pool.waiting:
            Pool.waiting.pop(0)()
        self.settle()
        self.successResultOf(done)
        self.assertEqual((self.told, self.announced), ([STOPPING], []))
        self.assert_over(node)

    def test_marks_are_saved(self) -> None:
        """
        Which objects were wanted last is known after a restart, and is written while the node runs.
        """
        node = self.started()
        flushed = []
        flush = node._store.flush

        async def counted() -> None:
            flushed.append(self.clock.seconds())
            await flush()

        self.patch(node._flushing, "f", counted)
        self.advance(10)
        self.advance(10)
        self.assertEqual(flushed, [10, 20])
        self.stopped(node)
