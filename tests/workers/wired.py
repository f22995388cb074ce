"""
An owner and a worker in one process: a wire without a socket between them, over which descriptors go, too.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IUNIXTransport
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.protocols.amp import AMP
from twisted.test.iosim import FakeTransport, IOPump, connect
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from distributor.model import Fault
from distributor.node import Node, Passages
from distributor.observe import Sparse
from distributor.transfer import Downloads
from distributor.workers import Crowd, Mirror, Owner, RemoteNode, Shared, Worker
from tests.stored import in_thread, started_store
from tests.upstream import Upstream, payload

CONTENT = payload(3_000_000)
PATIENCE_S = 60.0


@implementer(IUNIXTransport)
class _Transport(FakeTransport):
    """
    One end of it.
    """

    other: AMP

    def sendFileDescriptor(self, descriptor: int) -> None:
        self.other.fileDescriptorReceived(os.dup(descriptor))


class Serving:
    """
    What the owner has decided.
    """

    def __init__(self) -> None:
        self.refusals: list[str] = []
        self.finished: list[float | None] = []

    def admit(self, refusal: str) -> None:
        self.refusals.append(refusal)

    def finish(self, patience_s: float | None) -> None:
        self.finished.append(patience_s)


class WiredCase(SynchronousTestCase):
    """
    A node with one worker.
    """

    new_clock: Callable[[], Clock] = Clock
    negative_ttl_s = 12

    def setUp(self) -> None:
        self.clock = self.new_clock()
        self.clock.advance(1_000_000)
        self.directory = Path(self.mktemp())
        self.store = started_store(self, self.clock, directory=self.directory)
        self.upstream = Upstream(self, self.clock, CONTENT)
        self.trouble = Sparse(self.clock, Logger())
        self.downloads = Downloads(
            self.store, self.upstream.client, self.clock, in_thread, self.trouble, 2, 2, PATIENCE_S
        )
        self.addCleanup(lambda: self.successResultOf(Deferred.fromCoroutine(self.downloads.stop())))
        self.lookups = 0
        self.largest_cached: int | None = None
        self.faults: list[Fault] = []
        self.counted: list[Mapping[str, int]] = []
        self.facts: dict[str, object] = {"status": {"id": "a-node"}}
        self.counts: dict[str, int] = {}
        self.crowd = Crowd(answering=0, connections=0)

    async def lookup(self, object_id: str) -> object:
        """
        The catalogue.
        """
        self.lookups += 1
        return self.upstream.listing

    def hire(self) -> None:
        """
        Build the owner's node, and connect a worker to it.
        """
        self.serving = Serving()
        self.mirror = Mirror(self.directory / "assets", in_thread)
        self.employ(Worker(self.mirror, self.serving, lambda: self.counts, lambda: self.crowd))
        passages = Passages(self.upstream.client, self.clock, in_thread, PATIENCE_S, 2)
        self.remote = RemoteNode(
            self.mirror,
            self.worker,
            passages,
            in_thread,
            self.trouble,
            largest_cached=self.largest_cached,
            negative_ttl_s=self.negative_ttl_s,
        )
        self.settle()

    def employ(self, worker: Worker) -> None:
        """
        Build the owner's node, and connect C{worker} to it.
        """
        self.worker = worker
        self.node = Node(
            self.store,
            self.downloads,
            self,  # type: ignore[arg-type]
            self.upstream.client,
            self.clock,
            in_thread,
            self.trouble,
            largest_cached=self.largest_cached,
            patience_s=PATIENCE_S,
            most_passages=2,
        )
        facts = {about: (lambda fact=fact: fact) for about, fact in self.facts.items()}
        self.gone = 0
        shared = Shared(self.node, self.store, facts, self.faults.append, self.counted.append)
        self.owner = Owner(shared, self.clock, self.lost)
        ours, theirs = _Transport(self.owner, True), _Transport(self.worker, False)
        ours.other, theirs.other = self.worker, self.owner
        self.pump: IOPump = connect(self.owner, ours, self.worker, theirs)
        self.addCleanup(self.part)

    def lost(self) -> None:
        self.gone += 1

    def part(self) -> None:
        """
        End the connection between them.
        """
        for protocol in (self.owner, self.worker):
            if protocol.transport is not None:
                protocol.transport.loseConnection()
        self.settle()

    def settle(self) -> None:
        """
        Let everything go where it goes.
        """
        for _ in range(60):
            self.pump.flush()
            self.upstream.flush(2)

    def report(self) -> None:
        """
        Have the worker tell the owner what it has seen.
        """
        told = Deferred.fromCoroutine(self.worker.report())
        self.settle()
        self.successResultOf(told)
