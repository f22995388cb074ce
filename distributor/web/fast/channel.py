"""
A connection on which the short way is tried first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from typing import Protocol as TypingProtocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import Request

from distributor.web.asset import Vain
from distributor.web.channel import Channel
from distributor.web.fast.exchange import PlainExchange
from distributor.web.fast.head import PlainHead, plain_head
from distributor.web.fast.hits import Hits
from distributor.web.fast.prepared import Decided
from distributor.web.fast.visit import Visit, begin, name_request, note
from distributor.web.fast.waiting import WaitingVisit

#: More of pipelined requests is not read while one is being answered; as in L{HTTPChannel}.
_AHEAD = 16 * 1024


class _Last(TypingProtocol):
    """
    Says whether an answer is the last one on its connection.
    """

    @property
    def last(self) -> bool: ...


class FastChannel(Channel):
    """
    Takes plain requests itself, between two that it leaves to L{HTTPChannel}.

    What comes is its own until it finds a head that is not plain, or not all there. From the first byte of that, all is
    L{HTTPChannel}'s, until the answer to one request is over; then L{HTTPChannel} is as on the first day, and what has
    come since is looked at again. A connection that was never good, or is to end, never comes back.

    @ivar hits: what is answered here.
    """

    _log = Logger()

    hits: Hits

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._came = b""
        # Whether what comes is looked at here.
        self._ours = True
        self._looking = False
        self._answering: Deferred[Any] | None = None
        self._idle_s: float | None = None
        self._over = False

    def dataReceived(self, data: bytes) -> None:
        if self._over:
            # Nothing is answered behind the last answer.
            return
        if self._ours:
            self._came += data
            if self._answering is not None:
                if len(self._came) > _AHEAD:
                    self.transport.pauseProducing()  # type: ignore[union-attr]
            elif not self._looking:
                self.resetTimeout()  # type: ignore[no-untyped-call]
                self._look()
            return
        super().dataReceived(data)  # type: ignore[no-untyped-call]
        self._look_again()

    def requestDone(self, request: Request) -> None:
        if self.persistent:
            # What HTTPChannel has not looked at yet. What it has put aside while it was busy it gives back to
            # dataReceived.
            self._ours = True
            self._came += self.clearLineBuffer()  # type: ignore[no-untyped-call]
        super().requestDone(request)  # type: ignore[no-untyped-call]

    def resumeProducing(self) -> None:
        super().resumeProducing()
        if self._answering is not None and len(self._came) > _AHEAD:
            # HTTPChannel knows nothing of this answer, and reads on.
            self.transport.pauseProducing()  # type: ignore[union-attr]
        self._look_again()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._over = True
        if self._answering is not None:
            self._answering.cancel()
        super().connectionLost(reason)

    def abort(self) -> None:
        self._over = True
        super().abort()

    def _look_again(self) -> None:
        if self._ours and self._came and not self._looking and self._answering is None:
            self._look()

    def _look(self) -> None:
        """
        Answer what has come, as far as it is plain.
        """
        self._looking = True
        try:
            while self._came and self._ours and self._answering is None and not self.full and not self._over:
                known = self.hits.decide(self._came)
                if known is None:
                    self._hand_over()
                elif isinstance(known, Decided):
                    self._answer_hit(known)
                else:
                    self._answer(known)
        finally:
            self._looking = False

    def _hand_over(self) -> None:
        came, self._came = self._came, b""
        self._ours = False
        super().dataReceived(came)  # type: ignore[no-untyped-call]

    def _answer_hit(self, decided: Decided) -> None:
        hits, object_id = self.hits, decided.plain.object_id
        if hits.gate.refusal is not None:
            self._answer(plain_head(self._came))
            return
        asked_as = name_request(decided)
        sent = begin(self, hits, decided, asked_as)
        if sent == decided.length:
            note(self, hits, decided, asked_as, sent, 0.0)
            self._answered(decided.taken, decided.plain)
            return
        reader = hits.node.open_now(object_id, decided.prepared.found.object.size)
        if reader is None:
            self._answer(plain_head(self._came))
            return
        self._visit(Visit(self, hits, decided, asked_as, sent, reader))

    def _answer(self, plain: PlainHead | None) -> None:
        """
        Answer what is no hit, or not simply one.
        """
        if plain is None:
            # What is known of a head may be so of its parts alone.
            self._hand_over()
            return
        if self._answer_coming(plain, 0.0):
            return
        waiting = self.hits.coming.follow(plain)
        if waiting is None:
            self._begin(plain, 0.0, leads=True)
        else:
            self._answering = waiting
            # It is cancelled where the client has gone.
            waiting.addCallbacks(self._begin_late, lambda _: None, callbackArgs=(plain,))
            waiting.addErrback(self._failed)
            self.hits.node.look()

    def _begin_late(self, waited_s: float, plain: PlainHead, vain: Vain | None = None) -> None:
        self._answering = None
        if self._over:
            return
        looking, self._looking = self._looking, True
        try:
            if vain is not None or not self._answer_coming(plain, waited_s):
                self._begin(plain, waited_s, vain=vain)
        finally:
            self._looking = looking
        if self._answering is None:
            self._read_on()
        self._look_again()

    def _read_on(self) -> None:
        """
        Read what was not read while there was something to be answered.
        """
        if not self._over and not self.full:
            self.transport.resumeProducing()  # type: ignore[union-attr]

    def _answer_coming(self, plain: PlainHead, waited_s: float) -> bool:
        """
        Answer at once with what is on its way, where what the answer begins with has come.

        @return: whether that is so.
        """
        hits = self.hits
        joined = hits.coming.join(plain) if hits.gate.refusal is None else None
        if joined is None:
            return False
        decided, reader = joined
        self._visit(Visit(self, hits, decided, name_request(decided), None, reader, waited_s))
        return True

    def _visit(self, visit: Visit) -> None:
        self.hits.gate.enter(visit)
        answering = visit.run()
        plain = visit.decided.plain
        if answering is None:
            self._answered(visit.decided.taken, plain)
        else:
            self._wait_for(answering, visit.decided.taken, plain)

    def _begin(self, plain: PlainHead, waited_s: float, *, leads: bool = False, vain: Vain | None = None) -> None:
        """
        Answer what has to be waited for.

        @param leads: whether others may follow.
        @param vain: how it has been waited for already.
        """
        hits = self.hits
        # A seek's storage node is asked before anything else is done.
        opened = hits.coming.wait(plain) if vain is None and hits.gate.refusal is None else None
        if leads:
            hits.coming.lead(plain)
        if opened is not None:
            decided, reader = opened
            visit = WaitingVisit(self, hits, decided, name_request(decided), reader, waited_s)
            hits.gate.enter(visit)
            self._answer_late(Deferred.fromCoroutine(visit.run_late()), self._waited, visit)
            return
        exchange = PlainExchange(self, plain, self.hits.date().decode("ascii"), self.hits.coming.crowds.let_go)
        answering = Deferred.fromCoroutine(self.hits.assets.respond(exchange, plain.object_id, waited_s, vain))
        answering.addBoth(self._ended, plain)
        if answering.called:
            self._answered(plain.length, exchange)
        else:
            self._wait_for(answering, plain.length, exchange)

    def _waited(self, vain: Vain | None, visit: WaitingVisit) -> None:
        plain = visit.decided.plain
        if vain is not None and not self._over:
            # Those who follow have their turn when this one has had something.
            self.setTimeout(self._idle_s)  # type: ignore[no-untyped-call]
            self._begin_late(visit.waits_s, plain, vain)
            return
        self.hits.coming.crowds.let_go(plain)
        if vain is not None:
            visit.give_up()
        self._answered_late(None, plain.length, plain)

    def _ended(self, result: Failure | None, plain: PlainHead) -> None:
        # Whether or not there was a body.
        self.hits.coming.crowds.let_go(plain)
        if result is not None:
            self._failed(result)

    def _failed(self, failure: Failure) -> None:
        if failure.check(CancelledError) is None:
            self._log.failure("an answer failed", failure)
        else:
            # It knows the frames that it has come through, and they know it: all that they use would stay with them.
            failure.cleanFailure()
        # What was sent must not look whole.
        self.abort()

    def _wait_for(self, answering: Deferred[None], taken: int, ending: _Last) -> None:
        self._answer_late(answering, self._answered_late, taken, ending)

    def _answer_late(self, answering: Deferred[Any], answered: Callable[..., None], *arguments: object) -> None:
        # An answer may take longer than a client may be idle.
        self._idle_s = self.setTimeout(None)  # type: ignore[no-untyped-call]
        self._answering = answering
        answering.addCallback(answered, *arguments)
        answering.addErrback(self._failed)

    def _answered(self, taken: int, ending: _Last) -> None:
        """
        @param taken: how many bytes the head was.
        """
        if self._over:
            self._came = b""
            return
        self._came = self._came[taken:]
        if ending.last:
            self._over = True
            self._came = b""
            self.loseConnection()  # type: ignore[no-untyped-call]

    def _answered_late(self, ignored: None, taken: int, ending: _Last) -> None:
        self._answering = None
        if not self._over:
            self.setTimeout(self._idle_s)  # type: ignore[no-untyped-call]
        self._read_on()
        self._answered(taken, ending)
        self._look_again()
