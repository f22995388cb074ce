"""
The worker processes of an owner: started, started again when they die, and ended.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Factory, ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from distributor.observe.relay import Relay
from distributor.workers.owner import Owner, Shared
from distributor.workers.wire import Admit, Crowd, Finish

#: Before a worker that has died is started again, in seconds; doubled each time up to the second, and as at first once
#: one has lived longer than that.
FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 30.0

#: What a worker that should have ended is given before it is killed, in seconds.
_GRACE_S = 5.0

#: The descriptors of a worker: its connection to the owner, and from there on what it listens on.
CONNECTION_FD = 3
FIRST_PORT_FD = 4


class Crew:
    """
    So many workers.
    """

    _log = Logger()

    def __init__(self, reactor: Any, number: int, arguments: Sequence[str], shared: Shared) -> None:
        """
        @param number: how many workers there are to be.
        @param arguments: the command of a worker, which finds its descriptors where the constants here say.
        """
        self._reactor = reactor
        self._number = number
        self._arguments = list(arguments)
        self._shared = shared
        self._refusal = ""
        self._ports: tuple[int, ...] = ()
        self._members: dict[_Member, None] = {}
        self._restarts: set[IDelayedCall] = set()
        self._stopping = False
        self._gone: list[Deferred[None]] = []

    def start(self, ports: Sequence[int]) -> None:
        """
        @param ports: the descriptors that everybody listens on, in the order of the endpoints. They stay the caller's.
        """
        self._ports = tuple(ports)
        for _ in range(self._number):
            self._spawn(FIRST_DELAY_S)

    def _spawn(self, delay_s: float) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            member = _Member(self, delay_s)
            member.owner = Owner(self._shared, self._reactor, member.disconnected)
            descriptors: dict[int, int | str] = {0: 0, 1: "r", 2: "r", CONNECTION_FD: theirs.fileno()}
            descriptors.update({FIRST_PORT_FD + place: fd for place, fd in enumerate(self._ports)})
            self._reactor.spawnProcess(
                member, self._arguments[0], self._arguments, dict(os.environ), childFDs=descriptors
            )
            self._members[member] = None
            self._reactor.adoptStreamConnection(ours.fileno(), socket.AF_UNIX, _One(member.owner))
        member.began_at = self._reactor.seconds()
        member.admit(self._refusal)

    def ended(self, member: _Member, reason: Failure) -> None:
        """
        A process is over.
        """
        self._members.pop(member, None)
        if self._stopping:
            if not self._members:
                gone, self._gone = self._gone, []
                for waiter in gone:
                    waiter.callback(None)
            return
        lived_s = self._reactor.seconds() - member.began_at
        delay_s = FIRST_DELAY_S if lived_s > LONGEST_DELAY_S else member.delay_s
        self._log.error(
            "a worker has ended ({reason}); another one starts in {delay:g} s",
            reason=reason.getErrorMessage(),
            delay=delay_s,
        )

        def again() -> None:
            self._restarts.discard(call)
            self._spawn(min(2 * delay_s, LONGEST_DELAY_S))

        call = self._reactor.callLater(delay_s, again)
        self._restarts.add(call)

    def admit(self, refusal: str = "") -> None:
        """
        Let everybody in, or nobody.

        @param refusal: the type of the error that everybody gets; empty where there is none.
        """
        self._refusal = refusal
        for member in self._members:
            member.admit(refusal)

    def moved(self, object_ids: Sequence[str]) -> None:
        """
        Whether these are to be answered from the disk has changed.
        """
        for member in self._members:
            member.owner.moved(object_ids)

    @property
    def pids(self) -> list[int]:
        """
        The processes that run.
        """
        return [pid for member in self._members if (pid := member.pid) is not None]

    @property
    def crowd(self) -> Crowd:
        """
        Who is with all of them.
        """
        return sum((member.owner.crowd for member in self._members), Crowd())

    def finish(self, patience_s: float) -> Deferred[None]:
        """
        Let nobody in, and let those inside finish. Fires when no worker runs any more.
        """
        self._stopping = True
        for call in self._restarts:
            call.cancel()
        self._restarts.clear()
        if not self._members:
            return succeed(None)
        for member in self._members:
            member.finish(patience_s)
        gone: Deferred[None] = Deferred()
        self._gone.append(gone)
        gone.addTimeout(patience_s + _GRACE_S, self._reactor)
        return gone.addErrback(self._kill)

    def hurry(self) -> None:
        """
        Let those inside finish no longer.
        """
        for member in self._members:
            member.finish(0)

    def _kill(self, failure: Failure) -> Deferred[None]:
        failure.trap(TimeoutError)
        gone: Deferred[None] = Deferred()
        self._gone = [gone]
        for member in self._members:
            member.kill()
        return gone


class _Member(ProcessProtocol):
    """
    One process.
    """

    _log = Logger("distributor.workers")
    owner: Owner
    began_at = 0.0

    def __init__(self, crew: Crew, delay_s: float) -> None:
        """
        @param delay_s: how long its successor is to wait.
        """
        self._crew = crew
        self.delay_s = delay_s
        self._relay = Relay("worker")

    def outReceived(self, data: bytes) -> None:
        self._relay.received(data)

    errReceived = outReceived

    @property
    def pid(self) -> int | None:
        return None if self.transport is None else self.transport.pid

    def kill(self) -> None:
        self._log.error("worker {pid} does not end, and is killed", pid=self.pid)
        if self.pid is not None:
            self.transport.signalProcess("KILL")  # type: ignore[union-attr]

    def admit(self, refusal: str) -> None:
        if self.owner.up:
            self._told(self.owner.callRemote(Admit, refusal=refusal))  # type: ignore[no-untyped-call]

    def finish(self, patience_s: float) -> None:
        if self.owner.up:
            self._told(self.owner.callRemote(Finish, patience_s=float(patience_s)))  # type: ignore[no-untyped-call]

    def _told(self, told: Deferred[Any]) -> None:
        # That it is gone is told by the end of the process.
        told.addErrback(lambda failure: self._log.debug("a worker is not told: {why}", why=failure.getErrorMessage()))

    def disconnected(self) -> None:
        """
        It has ended, or is of no use any more.
        """
        if self.pid is not None:
            self.transport.signalProcess("TERM")  # type: ignore[union-attr]

    def processEnded(self, reason: Failure) -> None:
        self._relay.ended()
        self._crew.ended(self, reason)


class _One(Factory):
    """
    Of one connection that is there already.
    """

    noisy = False

    def __init__(self, protocol: Owner) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: object) -> Owner:
        return self._protocol
