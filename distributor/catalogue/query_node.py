"""
A query node: of which generation it is, how it is, and its answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from attrs import frozen
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from distributor.catalogue import squid
from distributor.catalogue.dialect import Dialect
from distributor.catalogue.facts import Generation, Question
from distributor.catalogue.graphql import Bounds, Endpoint, QueryFailed, Trouble, shown_url
from distributor.catalogue.hydra import HYDRA
from distributor.catalogue.sharing import Shared

T = TypeVar("T")

DIALECTS = {Generation.SQUID: squid.SQUID, Generation.HYDRA: HYDRA}

#: The version is a line; an error may be a few.
_MOST_BYTES = 64 * 1024


@frozen
class Failed:
    """
    A failure, and when it was.
    """

    reason: str
    at: float


class QueryNode:
    """
    A query node, which is asked in the words of its generation.

    @ivar dialect: L{None} until it is known.
    @ivar version: as it says, where it does.
    @ivar succeeded_at: when it last answered a question.
    @ivar failure: the last.
    """

    _log = Logger()

    def __init__(
        self, endpoint: Endpoint, clock: IReactorTime, timeout_s: float, generation: Generation | None = None
    ) -> None:
        """
        @param generation: L{None}: the query node is asked once, before anything else.
        """
        self._endpoint = endpoint
        self._clock = clock
        self._timeout_s = timeout_s
        self._told = generation is not None
        self._detecting: Shared[None, Dialect] = Shared()
        self.dialect = None if generation is None else DIALECTS[generation]
        self.url = shown_url(endpoint.url)
        self.version: str | None = None
        self.succeeded_at: float | None = None
        self.failure: Failed | None = None

    async def ask(self, question: Callable[[Dialect], Question[T]], bounds: Bounds) -> T:
        """
        Put a question.

        @raise QueryFailed: there is no answer to it.
        """
        dialect = await self.speak()
        try:
            return await self._put(question(dialect), bounds)
        except QueryFailed as error:
            if error.misunderstood and not self._told and self.dialect is dialect:
                # Another query node may have moved in there.
                self.dialect = None
            raise

    async def speak(self) -> Dialect:
        """
        The dialect that the query node understands.

        @raise QueryFailed: it could not be found out.
        """
        return self.dialect or await self._detecting.ask(None, self._detect)

    async def _put(self, question: Question[T], bounds: Bounds) -> T:
        try:
            answer = await self._endpoint.ask(question, bounds)
        except QueryFailed as error:
            self.failure = Failed(str(error), self._clock.seconds())
            raise
        self.succeeded_at = self._clock.seconds()
        return answer

    async def _detect(self) -> Dialect:
        try:
            self.version = await self._endpoint.ask(squid.VERSION, Bounds(_MOST_BYTES, self._timeout_s))
            dialect = squid.SQUID
        except QueryFailed as error:
            if not is_hydra(error):
                self.failure = Failed(str(error), self._clock.seconds())
                raise
            dialect = HYDRA
        self.succeeded_at = self._clock.seconds()
        self.dialect = dialect
        self._log.info(
            "The query node at {url} is of the generation {generation}.",
            url=self.url,
            generation=dialect.generation.value,
        )
        return dialect

    def cancel(self) -> None:
        """
        Give up finding out the generation.
        """
        self._detecting.cancel()


def is_hydra(error: QueryFailed) -> bool:
    """
    Whether a query node that was asked for its C{squidVersion} has shown that it has no such thing; whatever else goes
    wrong says nothing.
    """
    return error.trouble is Trouble.REFUSED and error.misunderstood
