"""
Tests for L{distributor.workers.crew}.
"""

from __future__ import annotations

import os
import socket
from typing import Any, cast

from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.test.iosim import FakeTransport
from twisted.trial.unittest import SynchronousTestCase

from distributor.workers.crew import CONNECTION_FD, FIRST_DELAY_S, FIRST_PORT_FD, LONGEST_DELAY_S, Crew
from distributor.workers.owner import Shared
from distributor.workers.wire import Crowd


class Process:
    """
    A process that does what the test says.
    """

    def __init__(self, pid: int, protocol: Any, descriptors: dict[int, int]) -> None:
        self.pid: int | None = pid
        self.protocol = protocol
        self.descriptors = descriptors
        self.signals: list[str] = []
        protocol.transport = self

    def signalProcess(self, name: str) -> None:
        self.signals.append(name)

    def end(self, reason: Exception | None = None) -> None:
        self.pid = None
        self.protocol.processEnded(Failure(reason or ProcessDone(0)))


class Reactor(Clock):
    """
    Starts no process.
    """

    def __init__(self) -> None:
        super().__init__()
        self.processes: list[Process] = []
        self.owners: list[Any] = []

    def spawnProcess(
        self, protocol: Any, executable: str, args: list[str], env: dict[str, str], childFDs: dict[int, int]
    ) -> None:
        assert (executable, args) == ("program", ["program", "--option"])
        # Each of them has to be open now.
        for fd in childFDs.values():
            if isinstance(fd, int):
                os.fstat(fd)
        self.processes.append(Process(100 + len(self.processes), protocol, childFDs))

    def adoptStreamConnection(self, fd: int, family: int, factory: Factory) -> None:
        assert family == socket.AF_UNIX
        os.fstat(fd)
        owner: Any = factory.buildProtocol(cast(Any, None))
        owner.makeConnection(FakeTransport(owner, True))
        self.owners.append(owner)


class Store:
    """
    Has nothing.
    """

    def watch(self, changed: object) -> None:
        pass

    unwatch = watch

    def complete(self) -> list[str]:
        return []


class CrewTests(SynchronousTestCase):
    """
    Two workers.
    """

    def setUp(self) -> None:
        self.reactor = Reactor()
        shared = Shared(cast(Any, None), cast(Any, Store()), {}, lambda fault: None, lambda counts: None)
        self.crew = Crew(self.reactor, 2, ["program", "--option"], shared)
        self.port = socket.socket()
        self.addCleanup(self.port.close)
        self.crew.start([self.port.fileno()])

    def died(self, process: Process, status: int = 1) -> None:
        process.end(ProcessTerminated(status))

    def told(self, number: int) -> bytes:
        """
        What has been written to one.
        """
        return b"".join(self.reactor.owners[number].transport.stream)

    def test_started_with_what_they_need(self) -> None:
        """
        Each has its connection to the owner, what everybody listens on, and our output for its log.
        """
        self.assertEqual(self.crew.pids, [100, 101])
        for process in self.reactor.processes:
            self.assertEqual(set(process.descriptors), {0, 1, 2, CONNECTION_FD, FIRST_PORT_FD})
            self.assertEqual(process.descriptors[FIRST_PORT_FD], self.port.fileno())

    def test_one_that_dies(self) -> None:
        """
        Another one is started in its place, ever later when that dies, too.
        """
        delay_s = FIRST_DELAY_S
        for number in range(2, 10):
            self.died(self.reactor.processes[-1])
            self.reactor.advance(delay_s - 0.01)
            self.assertEqual(len(self.reactor.processes), number)
            self.reactor.advance(0.01)
            self.assertEqual(len(self.reactor.processes), number + 1)
            delay_s = min(2 * delay_s, LONGEST_DELAY_S)

    def test_one_that_has_lived_long(self) -> None:
        """
        Its successor does not wait for its predecessors' sake.
        """
        for _ in range(5):
            self.died(self.reactor.processes[-1])
            self.reactor.advance(LONGEST_DELAY_S)
        self.reactor.advance(LONGEST_DELAY_S + 1)
        self.died(self.reactor.processes[-1])
        before = len(self.reactor.processes)
        self.reactor.advance(FIRST_DELAY_S)
        self.assertEqual(len(self.reactor.processes), before + 1)

    def test_told_who_may_come_in(self) -> None:
        """
        Those that run are told at once, and those that come later as soon as they are there.
        """
        self.crew.admit("api_stopped")
        self.assertIn(b"api_stopped", self.told(0))
        self.died(self.reactor.processes[0])
        self.reactor.advance(FIRST_DELAY_S)
        self.assertIn(b"api_stopped", self.told(2))

    def test_all_finish(self) -> None:
        """
        They are told to, and it is over when the last has ended. None is started any more.
        """
        self.died(self.reactor.processes[0])
        done = self.crew.finish(30)
        self.assertIn(b"30.0", self.told(1))
        self.assertNoResult(done)
        self.reactor.processes[1].end()
        self.successResultOf(done)
        self.assertEqual((self.reactor.getDelayedCalls(), self.crew.pids), ([], []))

    def test_one_that_does_not_finish(self) -> None:
        """
        It is killed when its time, and a little more, is over.
        """
        done = self.crew.finish(30)
        self.reactor.processes[0].end()
        self.reactor.advance(34)
        self.assertEqual(self.reactor.processes[1].signals, [])
        self.reactor.advance(2)
        self.assertEqual(self.reactor.processes[1].signals, ["KILL"])
        self.died(self.reactor.processes[1], 9)
        self.successResultOf(done)

    def test_nobody_there(self) -> None:
        """
        Where none runs, there is nothing to wait for.
        """
        for process in self.reactor.processes:
            self.died(process)
        self.successResultOf(self.crew.finish(30))
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_who_is_there(self) -> None:
        """
        Those who are with any of them are counted, and not those who were with one that has ended.
        """
        self.assertEqual(self.crew.crowd, Crowd())
        self.reactor.owners[0].crowd = Crowd(answering=1, connections=20)
        self.reactor.owners[1].crowd = Crowd(answering=300, connections=4000)
        self.assertEqual(self.crew.crowd, Crowd(answering=301, connections=4020))
        self.died(self.reactor.processes[1])
        self.assertEqual(self.crew.crowd, Crowd(answering=1, connections=20))

    def test_hurry(self) -> None:
        """
        They are told that there is no time left.
        """
        done = self.crew.finish(30)
        self.crew.hurry()
        self.assertIn(b"0.0", self.told(0).rpartition(b"Finish")[2])
        for process in self.reactor.processes:
            process.end()
        self.successResultOf(done)

    def test_one_that_hangs_up(self) -> None:
        """
        A worker that is not heard of any more is of no use, and is ended.
        """
        self.reactor.owners[0].connectionLost(Failure(ConnectionError()))
        self.assertEqual(self.reactor.processes[0].signals, ["TERM"])
