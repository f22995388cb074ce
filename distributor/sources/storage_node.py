"""
The HTTP client of storage nodes: asks for a run of bytes, and checks the answer's head before a byte of it is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.interfaces import IReactorTime
from twisted.web.client import ResponseNeverReceived
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IResponse

from distributor.model import ByteRange, ContentHash, DataObject, Fault, FaultKind, StorageNode
from distributor.observe.tally import Tally
from distributor.sources.answer import Body, Discard, SourceError, WrongLength, checked, media_type
from distributor.sources.endpoint import BadEndpoint, base_url
from distributor.sources.public import NotPublic
from distributor.sources.race import Race, Won
from distributor.sources.standings import Standings

#: Of all requests that may be made at once, one in so many may be a second one for the same bytes: where everything is
#: slow, that is not because of the storage nodes.
_SPARE = 4


@frozen
class Agents:
    """
    What makes requests.

    @ivar trusted: to storage nodes that the operator named.
    @ivar checked: to all others; connects to no address that is not for everybody to reach.
    @ivar prepare: has a connection ready for a few seconds, to the server of a URL; and by which of the two it is to be
        used: whether that is C{trusted}.
    @ivar look: takes what has come meanwhile of answers that are expected.
    """

    trusted: IAgent
    checked: IAgent
    prepare: Callable[[bytes, bool], None] = lambda url, trusted: None
    look: Callable[[], None] = lambda: None


class StorageNodes:
    """
    All storage nodes, seen through one set of connections.

    @ivar standings: what was learnt of each.
    """

    def __init__(
        self,
        agents: Agents,
        clock: IReactorTime,
        user_agent: str,
        timeout_s: float,
        at_once: int,
        report: Callable[[Fault], None] = lambda fault: None,
        tally: Tally | None = None,
    ) -> None:
        """
        @param agents: what makes the requests; they own the connections.
        @param clock: tells the time of day, too.
        @param timeout_s: for how long a node may be silent.
        @param at_once: how many requests may be on their way, or being answered.
        @param report: is given the evidence against nodes whose bytes are wrong.
        @param tally: where requests, and the bytes that come, are counted.
        """
        self._agents = agents
        self._clock = clock
        self._user_agent = user_agent
        self._places = DeferredSemaphore(at_once)
        self._spare = max(1, at_once // _SPARE)
        self._report = report
        self.tally = Tally() if tally is None else tally
        self.standings = Standings(clock, timeout_s)
        self.timeout_s = timeout_s

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

    def take_spare_place(self) -> bool:
        """
        Take a place for a request that can be done without, if there is one; followed by L{leave_spare_place}.
        """
        if not self._spare or not self._places.tokens:
            return False
        self._spare -= 1
        # There is one, so it has been taken when this returns.
        self._places.acquire().addErrback(lambda _: None)
        return True

    def leave_spare_place(self) -> None:
        """
        That request is over, or goes on in the place of the one that it was made beside.
        """
        self._spare += 1
        self.leave_place()

    def prepare(self, node: StorageNode) -> None:
        """
        C{node} may soon be asked for something else as well: have a connection ready, unless no more requests could be
        made anyway.
        """
        if self._places.tokens:
            with suppress(BadEndpoint):
                url = base_url(node.endpoint, trusted=node.trusted)
                self._agents.prepare(url.encode("ascii"), node.trusted)

    def look(self) -> None:
        """
        Take what has come meanwhile of answers that are expected.
        """
        self._agents.look()

    def race(
        self,
        node: StorageNode,
        object_id: str,
        size: int,
        wanted: ByteRange,
        another: Callable[[], StorageNode | None],
        dropped_out: Callable[[StorageNode, SourceError, StorageNode], None],
    ) -> Deferred[Won]:
        """
        Ask C{node} for a run of bytes; and where it has not answered in its usual time, another one as well.

        @param another: which one; L{None} for none.
        @param dropped_out: is told of a node that has failed, why, and which one is still being waited for.

        @return: the first usable answer; or the L{SourceError} of the node that failed last.
        """
        race = Race(
            lambda node: Deferred.fromCoroutine(self.fetch(node, object_id, size, wanted)),
            self.standings,
            self,
            self._clock,
            another,
            dropped_out,
        )
        return race.run(node)

    async def fetch(self, node: StorageNode, object_id: str, size: int, wanted: ByteRange) -> Body:
        """
        Ask C{node} for a run of bytes; the whole object is asked for without a C{Range}.

        @raise SourceError: it cannot be reached, did not answer in time, or its answer is not usable.
        """
        outcome = "failed"
        try:
            body = await self._fetch(node, object_id, size, wanted)
            outcome = "answered"
        except SourceError as error:
            outcome = "timed out" if error.timed_out else "refused"
            raise
        except CancelledError:
            outcome = "given up"
            raise
        finally:
            self.tally.storage_requests[outcome] += 1
        return body

    async def _fetch(self, node: StorageNode, object_id: str, size: int, wanted: ByteRange) -> Body:
        whole = wanted == ByteRange(0, size)
        response = await self.get(node, f"files/{object_id}", None if whole else wanted)
        try:
            start, stop = checked(response, size, wanted, whole)
        except SourceError as error:
            response.deliverBody(Discard())
            if isinstance(error, WrongLength):
                self.report(node, object_id, FaultKind.WRONG_LENGTH, str(error.expected), str(error.got), 0)
            raise
        return Body(start, stop, media_type(response.headers), response)

    async def get(self, node: StorageNode, path: str, wanted: ByteRange | None = None) -> IResponse:
        """
        Make a request of C{node}'s API.

        @return: the answer, whatever its status; redirects are not followed. Its body has to be delivered.
        @raise SourceError: the node cannot be reached, or did not answer in time.
        """
        # An agent remembers no cookies, follows nothing, and unpacks nothing.
        headers = Headers({"User-Agent": [self._user_agent], "Accept-Encoding": ["identity"]})
        if wanted is not None:
            headers.setRawHeaders("Range", [f"bytes={wanted.start}-{wanted.stop - 1}"])
        agent = self._agents.trusted if node.trusted else self._agents.checked
        try:
            url = f"{base_url(node.endpoint, trusted=node.trusted)}/api/v1/{path}"
            asked = agent.request(b"GET", url.encode("ascii"), headers, None)
            response = await asked.addTimeout(self.timeout_s, self._clock, self._too_slow)
        except SourceError:
            raise
        except (BadEndpoint, NotPublic) as error:
            raise SourceError(str(error)) from error
        except ConnectTimeout as error:
            raise SourceError("no connection in time", timed_out=True) from error
        except ResponseNeverReceived as error:
            raise SourceError(f"connection closed before an answer: {_reasons(error)}") from error
        except Exception as error:
            # Whatever an agent, a resolver or TLS may raise is this node's failure, and another one is asked.
            raise SourceError(f"{type(error).__name__}: {error}") from error
        encodings = response.headers.getRawHeaders("Content-Encoding", [])
        if any(encoding.strip().lower() != "identity" for encoding in encodings):
            response.deliverBody(Discard())
            raise SourceError(f"Content-Encoding {', '.join(encodings)}, which was not asked for")
        return response

    def report(
        self, node: StorageNode, object_id: str, kind: FaultKind, expected: str, got: str, received: int
    ) -> None:
        """
        Bytes of C{node} are wrong.

        @param expected: a content hash, or a number of bytes.
        @param got: the same of what came; empty, where that is not known.
        @param received: how many bytes it had given.
        """
        at = self._clock.seconds()
        self._report(Fault(object_id, node.endpoint, node.id, kind, expected, got, received, at))

    def report_hash(self, node: StorageNode, object: DataObject, digest: bytes | None, received: int) -> None:
        """
        The bytes that C{node} gave of C{object} are not those of the catalogue.

        @param digest: what they hash to; L{None}, where others gave some of the bytes that were hashed with them.
        @param received: how many they are.
        """
        got = "" if digest is None else str(ContentHash(object.content_hash.code, digest))
        self.report(node, object.id, FaultKind.WRONG_HASH, str(object.content_hash), got, received)

    def _too_slow(self, result: object, timeout_s: float) -> NoReturn:
        # What the agent makes of the cancellation depends on how far the request had come.
        raise SourceError(f"no answer within {timeout_s:g} s", timed_out=True)


def _reasons(error: ResponseNeverReceived) -> str:
    return "; ".join(failure.getErrorMessage() for failure in error.reasons)
