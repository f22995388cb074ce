"""
GraphQL over HTTP: puts a question, and takes nothing for an answer that is none.
"""

from __future__ import annotations

import json
from collections import Counter
from enum import Enum
from typing import NoReturn, TypeVar

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import ConnectError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.interfaces import IConsumer, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone, ResponseNeverReceived
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from distributor.catalogue.facts import Question
from distributor.catalogue.reading import WrongShape, shown
from distributor.model import DistributorError, InThread

T = TypeVar("T")

#: Parsing JSON takes about a millisecond for so many bytes; more is done in a thread.
_QUICK = 64 * 1024

#: How much of a complaint is shown, in characters; and of how many.
_SHOWN, _MOST_SHOWN = 300, 10


class Trouble(Enum):
    """
    Why there is no answer.
    """

    UNREACHABLE = "unreachable"
    TIMED_OUT = "timed out"
    STATUS = "HTTP status"
    CUT = "cut short"
    TOO_LARGE = "too large"
    NOT_JSON = "not JSON"
    REFUSED = "GraphQL errors"
    PARTIAL = "partial data"
    SHAPE = "not an answer to the question"


#: What the query node says of one question may not be so of the next.
_OF_ONE_QUESTION = frozenset((Trouble.TOO_LARGE, Trouble.REFUSED, Trouble.PARTIAL, Trouble.SHAPE))


class QueryFailed(DistributorError):
    """
    The query node has not answered a question.

    @ivar refusals: the messages of its GraphQL errors.
    """

    def __init__(self, trouble: Trouble, reason: str, refusals: tuple[str, ...] = ()) -> None:
        super().__init__(f"{trouble.value}: {reason}")
        self.trouble = trouble
        self.reason = reason
        self.refusals = refusals

    def again(self) -> QueryFailed:
        """
        The same to be kept, or raised once more: an exception that was raised holds on to all that was going on.
        """
        return QueryFailed(self.trouble, self.reason, self.refusals)

    @property
    def general(self) -> bool:
        """
        Whether any other question would have failed, too.
        """
        return self.trouble not in _OF_ONE_QUESTION

    @property
    def misunderstood(self) -> bool:
        """
        Whether the query node does not know the words of the question.
        """
        unknown = ("Cannot query field", "Unknown argument", "Unknown type", "is not defined by type")
        return any(each in refusal for refusal in self.refusals for each in unknown)


@frozen
class Bounds:
    """
    How much of an answer is taken, and for how long it is waited for.
    """

    most_bytes: int
    timeout_s: float


class Endpoint:
    """
    Where a query node is.
    """

    def __init__(
        self,
        agent: IAgent,
        url: str,
        clock: IReactorTime,
        in_thread: InThread,
        user_agent: str,
        counts: Counter[str] | None = None,
    ) -> None:
        """
        @param agent: what makes the requests; it owns the pool. The operator has named the query node, so the agent
            must not refuse private addresses.
        @param counts: where questions are counted, by what became of them, in words.
        """
        self.url = url
        self._counts: Counter[str] = Counter() if counts is None else counts
        self._agent = agent
        self._clock = clock
        self._in_thread = in_thread
        self._headers = Headers(
            {
                "User-Agent": [user_agent],
                "Content-Type": ["application/json"],
                "Accept": ["application/json"],
                # What is packed may be a thousand times larger than what is counted.
                "Accept-Encoding": ["identity"],
            }
        )

    async def ask(self, question: Question[T], bounds: Bounds) -> T:
        """
        Put a question.

        @raise QueryFailed: there was no answer, or none that makes sense.
        """
        outcome = "given up"
        try:
            answer = await self._ask(question, bounds)
            outcome = "answered"
        except QueryFailed as error:
            outcome = error.trouble.value
            raise
        finally:
            self._counts[outcome] += 1
        return answer

    async def _ask(self, question: Question[T], bounds: Bounds) -> T:
        asked = {"query": question.text, "variables": question.variables, "operationName": question.name}
        exchange = Deferred.fromCoroutine(self._exchange(json.dumps(asked).encode("utf-8"), bounds.most_bytes))
        status, body = await exchange.addTimeout(bounds.timeout_s, self._clock, _too_slow)
        if len(body) <= _QUICK:
            return read_answer(status, body, question)
        return await self._in_thread(read_answer, status, body, question)

    async def _exchange(self, asked: bytes, most: int) -> tuple[int, bytes]:
        try:
            response = await self._agent.request(
                b"POST", self.url.encode("ascii"), self._headers.copy(), _JsonBody(asked)
            )
        except (CancelledError, QueryFailed):
            raise
        except ConnectTimeout as error:
            raise QueryFailed(Trouble.TIMED_OUT, "no connection in time") from error
        except ConnectError as error:
            raise QueryFailed(Trouble.UNREACHABLE, shown(str(error), _SHOWN)) from error
        except ResponseNeverReceived as error:
            if any(reason.check(CancelledError) for reason in error.reasons):
                raise CancelledError from error
            raise QueryFailed(Trouble.UNREACHABLE, "the connection was closed before an answer") from error
        except Exception as error:
            # Whatever an agent, a resolver or TLS may raise: the query node was not reached.
            raise QueryFailed(Trouble.UNREACHABLE, shown(f"{type(error).__name__}: {error}", _SHOWN)) from error
        collector = _Collector(most)
        if response.length is not UNKNOWN_LENGTH and response.length > most:
            collector.refuse(QueryFailed(Trouble.TOO_LARGE, f"{response.length} bytes, of at most {most}"))
        elif _is_packed(response):
            collector.refuse(QueryFailed(Trouble.NOT_JSON, "a Content-Encoding that was not asked for"))
        response.deliverBody(collector)
        return response.code, await collector.whole


def _too_slow(result: object, timeout_s: float) -> NoReturn:
    # What the agent makes of the cancellation depends on how far the request had come.
    raise QueryFailed(Trouble.TIMED_OUT, f"no answer within {timeout_s:g} s")


def _is_packed(response: IResponse) -> bool:
    encodings = response.headers.getRawHeaders("Content-Encoding", [])
    return any(encoding.strip().lower() != "identity" for encoding in encodings)


def read_answer(status: int, body: bytes, question: Question[T]) -> T:
    """
    What an answer comes to.

    @raise QueryFailed: it is none.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    refusals = _refusals(document)
    if status != 200:
        # A server that does not understand a question says so with 400 and JSON; a proxy in front of it does not.
        if status == 400 and refusals:
            raise QueryFailed(Trouble.REFUSED, refusals[0], refusals)
        raise QueryFailed(Trouble.STATUS, f"{status}{f', {refusals[0]}' if refusals else ''}", refusals)
    if not isinstance(document, dict):
        raise QueryFailed(Trouble.NOT_JSON, shown(body[:_SHOWN].decode("utf-8", "replace")))
    data = document.get("data")
    if refusals:
        some = isinstance(data, dict) and any(value is not None for value in data.values())
        raise QueryFailed(Trouble.PARTIAL if some else Trouble.REFUSED, refusals[0], refusals)
    if document.get("errors"):
        raise QueryFailed(Trouble.REFUSED, "errors of no known form")
    try:
        return question.read(data)
    except (WrongShape, RecursionError) as error:
        raise QueryFailed(Trouble.SHAPE, shown(str(error), _SHOWN)) from None


def _refusals(document: object) -> tuple[str, ...]:
    errors = document.get("errors") if isinstance(document, dict) else None
    if not isinstance(errors, list):
        return ()
    messages = (each.get("message") if isinstance(each, dict) else None for each in errors[:_MOST_SHOWN])
    return tuple(shown(each, _SHOWN) if isinstance(each, str) else "an error without words" for each in messages)


@implementer(IBodyProducer)
class _JsonBody:
    """
    A question as the body of a request. It is some 30 KiB at most, and no trouble to a transport at once.
    """

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.length = len(body)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None:
        pass

    def resumeProducing(self) -> None:
        pass

    def stopProducing(self) -> None:
        pass


class _Collector(Protocol):
    """
    Takes a body in, up to a limit.

    @ivar whole: fires with the body.
    """

    def __init__(self, most: int) -> None:
        self.whole: Deferred[bytes] = Deferred(lambda _: self._end())
        self._most = most
        self._parts: list[bytes] = []
        self._received = 0
        self._over = False

    def refuse(self, reason: QueryFailed) -> None:
        """
        The body is not wanted.
        """
        self._end()
        self.whole.errback(reason)

    def _end(self) -> None:
        self._over = True
        self._parts.clear()
        if self.transport is not None:
            self.transport.loseConnection()

    def connectionMade(self) -> None:
        if self._over:
            assert self.transport is not None
            self.transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        if self._over:
            return
        self._parts.append(data)
        self._received += len(data)
        if self._received > self._most:
            self.refuse(QueryFailed(Trouble.TOO_LARGE, f"more than {self._most} bytes"))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._over:
            return
        self._over = True
        # Without a length, what is cut short is no JSON.
        if reason.check(ResponseDone, PotentialDataLoss):
            self.whole.callback(b"".join(self._parts))
        else:
            self.whole.errback(QueryFailed(Trouble.CUT, f"after {self._received} bytes"))


def shown_url(url: str) -> str:
    """
    A URL without what in it may be secret.
    """
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("?")[0].partition("/")
    return scheme + separator + authority.rpartition("@")[2] + slash + path
