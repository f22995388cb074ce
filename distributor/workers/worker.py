"""
A worker's side of its connection to the owner.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Protocol as TypingProtocol

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.protocol import connectionDone
from twisted.protocols.amp import AMP
from twisted.python.failure import Failure

from distributor.model import Fault
from distributor.workers.mirror import Mirror
from distributor.workers.remote import ask
from distributor.workers.wire import Admit, Ask, Crowd, Entries, Finish, News, Report, dump_news, load_entries


class OwnerLost(Exception):
    """The owner is gone."""


class Serving(TypingProtocol):
    """
    What the owner decides about.
    """

    def admit(self, refusal: str) -> None:
        """Let everybody in (an empty text), or nobody, because of this type of error."""

    def finish(self, patience_s: float | None) -> None:
        """Let nobody in, and end: after so many seconds; L{None}: the owner is gone."""


class Worker(AMP):
    """
    Hears what the owner has to tell, and asks it.

    @ivar mirror: what the owner has told of the store.
    """

    def __init__(
        self,
        mirror: Mirror,
        serving: Serving,
        counts: Callable[[], Mapping[str, int]],
        crowd: Callable[[], Crowd],
    ) -> None:
        """
        @param counts: what has been counted since it was last asked.
        @param crowd: who is there.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self.mirror = mirror
        self._serving = serving
        self._counts = counts
        self._crowd = crowd
        self._faults: list[Fault] = []
        self._asking: dict[str, DeferredLock] = {}
        self._reporting = DeferredLock()
        self._up = False

    def connectionMade(self) -> None:
        super().connectionMade()  # type: ignore[no-untyped-call]
        self._up = True

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        self._up = False
        self._serving.finish(None)

    @Entries.responder
    def entries(self, entries: bytes) -> dict[str, object]:
        self.mirror.tell(load_entries(entries))
        return {}

    @Admit.responder
    def admit(self, refusal: str) -> dict[str, object]:
        self._serving.admit(refusal)
        return {}

    @Finish.responder
    def finish(self, patience_s: float) -> dict[str, object]:
        self._serving.finish(patience_s)
        return {}

    # What the owner is told, and asked.

    def fault(self, fault: Fault) -> None:
        """
        A storage node has given something wrong.
        """
        self._faults.append(fault)

    async def report(self) -> None:
        """
        Tell the owner what has happened since the last time, once it has heard all of that.

        @raise CatalogueUnavailable: the owner goes meanwhile.
        """
        await self._reporting.run(lambda: Deferred.fromCoroutine(self._report()))

    async def _report(self) -> None:
        if not self._up:
            return
        faults, self._faults = self._faults, []
        touched, held = self.mirror.news()
        news = News(
            touched=touched,
            held=held,
            faults=faults[:_MOST_FAULTS],
            counts=self._counts(),
            crowd=self._crowd(),
        )
        for piece in dump_news(news):
            await ask(self, Report, report=piece)

    async def about(self, what: str) -> object:
        """
        What the API shows of the whole node.

        @raise CatalogueUnavailable: the owner is gone.
        """
        lock = self._asking.setdefault(what, DeferredLock())
        # The coroutine is made only then: whoever gives up before has none that nobody awaits.
        return await lock.run(lambda: Deferred.fromCoroutine(self._about(what)))

    async def _about(self, what: str) -> object:
        whole = b""
        while True:
            answer = await ask(self, Ask, about=what, offset=len(whole))
            piece = answer["piece"]
            assert isinstance(piece, bytes)
            whole += piece
            if len(whole) >= answer["length"] or not piece:  # type: ignore[operator]
                return json.loads(whole)


#: Of one report; a node that lies without end need not be proved to be one a thousand times.
_MOST_FAULTS = 20
