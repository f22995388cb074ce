"""
Connections that are made before they are needed, so that whoever seeks does not wait for a handshake.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from enum import Enum
from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import (
    IDelayedCall,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import RequestTransmissionFailed, ResponseNeverReceived
from twisted.web.iweb import IClientRequest, IResponse
from zope.interface import implementer

#: For each server: a player asks for the end of a film, where its index is, and for a place in it.
_EACH = 2

#: How long a connection is kept behind the last word that it may be needed, in seconds.
_KEPT_S = 5.0

#: How old one gets, in seconds: servers do not wait for a first request much longer. Where none can be had, it is not
#: tried again before.
_OLDEST_S = 30.0


class State(Enum):
    """
    Each state goes only to one below it.
    """

    CONNECTING = "connecting"
    WAITING = "waiting"
    TAKEN = "taken"
    LEFT = "left"
    ENDED = "ended"


class Spare(Protocol):
    """
    One connection, and who takes it, once somebody does.

    @ivar made_at: when it was begun, in seconds.
    """

    def __init__(self, made_at: float) -> None:
        self._state = State.CONNECTING
        self._user: IProtocol | None = None
        self._connecting: Deferred[IProtocol] | None = None
        self._lost: Deferred[None] = Deferred()
        self.made_at = made_at

    def connect(self, endpoint: IStreamClientEndpoint) -> None:
        """
        Called once.
        """
        factory = Factory.forProtocol(lambda: self)
        factory.noisy = False
        self._connecting = endpoint.connect(factory)
        # Why not is found, and told, by who needs a connection.
        self._connecting.addErrback(lambda _: self._end())

    def connectionMade(self) -> None:
        self._state = State.WAITING

    def dataReceived(self, data: bytes) -> None:
        if self._user is not None:
            self._user.dataReceived(data)
        else:
            # Nobody has asked for anything.
            self.abandon()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._end()
        if self._user is not None:
            self._user.connectionLost(reason)

    @property
    def waits(self) -> bool:
        """
        Whether it can be taken.
        """
        return self._state is State.WAITING

    def hand_to(self, factory: IProtocolFactory) -> IProtocol:
        """
        Give it to a protocol of C{factory}'s. It must wait.
        """
        assert self.waits and self.transport is not None, self._state
        self._state = State.TAKEN
        user = factory.buildProtocol(self.transport.getPeer())
        assert user is not None
        self._user = user
        user.makeConnection(self.transport)
        return user

    def abandon(self) -> Deferred[None]:
        """
        It is not needed. Fires when it is gone.
        """
        if self._state is State.CONNECTING and self._connecting is not None:
            self._connecting.cancel()
        elif self._state is State.WAITING and self.transport is not None:
            self._state = State.LEFT
            self.transport.abortConnection()  # type: ignore[attr-defined]
        return self._lost

    def _end(self) -> None:
        if self._state is not State.ENDED:
            self._state = State.ENDED
            self._lost.callback(None)


class Spares:
    """
    Owns connections to each server that may be asked for more than it is: some that nobody uses yet.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._spares: dict[Hashable, list[Spare]] = {}
        self._lapses: dict[Hashable, IDelayedCall] = {}

    def prepare(self, server: Hashable, endpoint: IStreamClientEndpoint) -> None:
        """
        Have connections ready for a few seconds from now on.

        @param endpoint: how to connect to C{server}.
        """
        now = self._clock.seconds()
        spares = self._spares.setdefault(server, [])
        if server in self._lapses:
            self._lapses[server].reset(_KEPT_S)
        else:
            self._lapses[server] = self._clock.callLater(_KEPT_S, self._leave, server)
        for spare in [each for each in spares if now - each.made_at >= _OLDEST_S]:
            spares.remove(spare)
            spare.abandon()
        while len(spares) < _EACH:
            spare = Spare(now)
            spares.append(spare)
            spare.connect(endpoint)

    def take(self, server: Hashable, factory: IProtocolFactory) -> IProtocol | None:
        """
        A protocol of C{factory}'s on a connection that is ready; L{None} where none is.
        """
        for spare in self._spares.get(server, ()):
            if spare.waits:
                self._spares[server].remove(spare)
                return spare.hand_to(factory)
        return None

    def _leave(self, server: Hashable) -> list[Deferred[None]]:
        lapse = self._lapses.pop(server)
        if lapse.active():
            lapse.cancel()
        return [spare.abandon() for spare in self._spares.pop(server)]

    async def close(self) -> None:
        """
        End all that nobody has taken.
        """
        for ended in [ended for server in list(self._spares) for ended in self._leave(server)]:
            await ended


class Ready:
    """
    What a request is made on, where the connection was made before it. Its server may just be giving it up: then the
    request, which is for reading alone, is made once more on a fresh one, as L{HTTPConnectionPool
    <twisted.web.client.HTTPConnectionPool>} does for connections that it has kept.
    """

    def __init__(self, user: IProtocol, fresh: Callable[[], Deferred[IProtocol]]) -> None:
        """
        @param user: of the connection that is ready.
        @param fresh: makes another one.
        """
        self._user = user
        self._fresh = fresh

    def __getattr__(self, name: str) -> Any:
        return getattr(self._user, name)

    def request(self, request: IClientRequest) -> Deferred[IResponse]:
        """
        Fires with the answer to C{request}.
        """
        return Deferred.fromCoroutine(self._request(request))

    async def _request(self, request: IClientRequest) -> IResponse:
        try:
            return await _made_on(self._user, request)
        except (RequestTransmissionFailed, ResponseNeverReceived) as error:
            if any(reason.check(CancelledError) for reason in error.reasons):
                raise
        return await _made_on(await self._fresh(), request)


def _made_on(user: IProtocol, request: IClientRequest) -> Deferred[IResponse]:
    answered: Deferred[IResponse] = user.request(request)  # type: ignore[attr-defined]
    return answered


@implementer(IStreamClientEndpoint)
class SpareFirst:
    """
    Takes the connection that is ready, else connects.
    """

    def __init__(self, spares: Spares, server: Hashable, endpoint: IStreamClientEndpoint) -> None:
        self._spares = spares
        self._server = server
        self._endpoint = endpoint

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        user = self._spares.take(self._server, protocolFactory)
        if user is None:
            return self._endpoint.connect(protocolFactory)
        return succeed(cast(IProtocol, Ready(user, lambda: self._endpoint.connect(protocolFactory))))
