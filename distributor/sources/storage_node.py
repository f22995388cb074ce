"""
The HTTP client of storage nodes: asks for a run of bytes, and checks the answer's head before a byte of it is taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NoReturn
from typing import Protocol as TypingProtocol

from attrs import frozen
from treq.client import HTTPClient
from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol
from twisted.web.client import ResponseNeverReceived
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from distributor.model import ByteRange, DistributorError, StorageNode

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,20})-([0-9]{1,20})/(?:([0-9]{1,20})|\*)\Z")


#: For so long, in seconds, what a node gave is a measure for what others give.
LATELY_S = 60.0


class SourceError(DistributorError):
    """
    A storage node did not give what it was asked for.

    @ivar timed_out: because it was too slow to.
    """

    def __init__(self, reason: str, *, timed_out: bool = False) -> None:
        super().__init__(reason)
        self.timed_out = timed_out


class _Deliverable(TypingProtocol):
    def deliverBody(self, protocol: Protocol) -> None: ...


@frozen
class Body:
    """
    The answer of a storage node, its head read and found right.

    @ivar start: the offset in the object of the body's first byte: what was asked for, or 0 where C{Range} was ignored.
    @ivar stop: the offset behind its last byte.
    @ivar type: the media type that the node gives, if it is worth anything.
    """

    start: int
    stop: int
    type: str | None
    _response: _Deliverable

    def deliver(self, protocol: Protocol) -> None:
        """
        Let the bytes come to C{protocol}, whose transport is an L{IPushProducer} with C{loseConnection}.
        """
        self._response.deliverBody(protocol)


class StorageNodes:
    """
    All storage nodes, seen through one pool of connections.
    """

    def __init__(self, agent: IAgent, clock: IReactorTime, user_agent: str, timeout_s: float, at_once: int) -> None:
        """
        @param agent: what makes the requests; it owns the pool.
        @param timeout_s: for how long a node may be silent.
        @param at_once: how many requests may be on their way, or being answered.
        """
        self._http = HTTPClient(_IdentityAgent(agent))
        self._clock = clock
        self._user_agent = user_agent
        self._places = DeferredSemaphore(at_once)
        self._ignoring_ranges: set[str] = set()
        self._lies: dict[str, int] = {}
        self._rates: dict[str, tuple[float, float]] = {}
        self.timeout_s = timeout_s

    # What was learned of each node.

    def ignores_ranges(self, node: StorageNode) -> bool:
        """
        Whether C{node} has been seen to answer a request for a part with the whole.
        """
        return node.endpoint in self._ignoring_ranges

    def remember_ignoring_ranges(self, node: StorageNode) -> None:
        """
        It just did.
        """
        self._ignoring_ranges.add(node.endpoint)

    def distrusts(self, node: StorageNode) -> bool:
        """
        Whether C{node} has given wrong bytes.
        """
        return node.endpoint in self._lies

    def lied(self, node: StorageNode) -> int:
        """
        It just did.

        @return: how often it has by now.
        """
        self._lies[node.endpoint] = self._lies.get(node.endpoint, 0) + 1
        return self._lies[node.endpoint]

    def note_rate(self, node: StorageNode, rate: float) -> None:
        """
        What C{node} gives at present, in bytes per second.
        """
        self._rates[node.endpoint] = rate, self._clock.seconds()

    def forget_rate(self, node: StorageNode) -> None:
        """
        What C{node} gave is no measure any more: it has failed.
        """
        self._rates.pop(node.endpoint, None)

    def best_rate(self, nodes: Iterable[StorageNode]) -> float | None:
        """
        What the best of C{nodes} lately gave; L{None} where that is not known of any.
        """
        now = self._clock.seconds()
        known = (self._rates[node.endpoint] for node in nodes if node.endpoint in self._rates)
        return max((rate for rate, noted_at in known if now - noted_at <= LATELY_S), default=None)

    async def take_place(self) -> None:
        """
        Return when one more request may be made; followed by L{leave_place}.
        """
        await self._places.acquire()

    def leave_place(self) -> None:
        """
        A request is over, its answer included.
        """
        self._places.release()

    async def fetch(self, node: StorageNode, object_id: str, size: int, wanted: ByteRange) -> Body:
        """
        Ask C{node} for a run of bytes; the whole object is asked for without a C{Range}.

        @raise SourceError: it cannot be reached, did not answer in time, or its answer is not usable.
        """
        whole = wanted == ByteRange(0, size)
        headers = Headers({"User-Agent": [self._user_agent]})
        if not whole:
            headers.setRawHeaders("Range", [f"bytes={wanted.start}-{wanted.stop - 1}"])
        url = f"{node.endpoint.rstrip('/')}/api/v1/files/{object_id}"
        # The timeout is not left to treq, which would cancel what it returned before wrapping the response.
        try:
            asked = self._http.get(url, headers=headers, allow_redirects=False, unbuffered=True)
            response = await asked.addTimeout(self.timeout_s, self._clock, self._too_slow)
        except SourceError:
            raise
        except ConnectTimeout as error:
            raise SourceError("no connection in time", timed_out=True) from error
        except ResponseNeverReceived as error:
            raise SourceError(f"connection closed before an answer: {_reasons(error)}") from error
        except Exception as error:
            # Whatever an agent, a resolver or TLS may raise is this node's failure, and another one is asked.
            raise SourceError(f"{type(error).__name__}: {error}") from error
        try:
            start, stop = _checked(response, size, wanted, whole)
        except SourceError:
            response.deliverBody(_Discard())
            raise
        return Body(start, stop, _media_type(response.headers), response)

    def _too_slow(self, result: object, timeout_s: float) -> NoReturn:
        # What the agent makes of the cancellation depends on how far the request had come.
        raise SourceError(f"no answer within {timeout_s:g} s", timed_out=True)


def _reasons(error: ResponseNeverReceived) -> str:
    return "; ".join(failure.getErrorMessage() for failure in error.reasons)


def _checked(response: IResponse, size: int, wanted: ByteRange, whole: bool) -> tuple[int, int]:
    """
    Which bytes of the object the body of C{response} holds, from its head alone.
    """
    if response.code == 200:
        start, stop = 0, size
    elif response.code == 206 and not whole:
        start, stop = _content_range(response.headers, size)
        if (start, stop) != (wanted.start, wanted.stop):
            raise SourceError(f"bytes {start}-{stop - 1} for {wanted.start}-{wanted.stop - 1}")
    else:
        raise SourceError(f"status {response.code}")
    if response.length is not UNKNOWN_LENGTH and response.length != stop - start:
        raise SourceError(f"Content-Length {response.length} for {stop - start} bytes")
    return start, stop


def _content_range(headers: Headers, size: int) -> tuple[int, int]:
    values = headers.getRawHeaders("Content-Range", [])
    match = _CONTENT_RANGE.match(values[0].strip()) if len(values) == 1 else None
    if match is None:
        raise SourceError(f"Content-Range {', '.join(values) or 'missing'}")
    first, last, total = match.groups()
    if total is not None and int(total) != size:
        raise SourceError(f"an object of {total} bytes instead of {size}")
    return int(first), int(last) + 1


def _media_type(headers: Headers) -> str | None:
    """
    What a storage node says when it does not know is of no use to anybody.
    """
    value = headers.getRawHeaders("Content-Type", [""])[-1].strip()
    # It will stand in a header of ours: printable ASCII only, and the shape of a type.
    if not re.match(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+(?:\s*;[\x20-\x7e]*)?\Z", value, re.ASCII):
        return None
    return None if value.lower().startswith("application/octet-stream") else value


class _Discard(Protocol):
    """
    Wants none of a body.
    """

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.loseConnection()


@implementer(IAgent)
class _IdentityAgent:
    """
    Asks for bytes as they are: treq would have C{Accept-Encoding: gzip} sent, and unpack what comes without a word.
    """

    def __init__(self, agent: IAgent) -> None:
        self._agent = agent

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: IBodyProducer | None = None
    ) -> Deferred[IResponse]:
        headers = Headers() if headers is None else headers.copy()
        headers.setRawHeaders("Accept-Encoding", ["identity"])
        return self._agent.request(method, uri, headers, bodyProducer).addCallback(_only_identity)


def _only_identity(response: IResponse) -> IResponse:
    encodings = response.headers.getRawHeaders("Content-Encoding", [])
    if any(encoding.strip().lower() != "identity" for encoding in encodings):
        response.deliverBody(_Discard())
        raise SourceError(f"Content-Encoding {', '.join(encodings)}, which was not asked for")
    return response
