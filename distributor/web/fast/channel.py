"""
A connection on which the short way is tried first.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import Request

from distributor.web.channel import Channel
from distributor.web.fast.hits import Hits
from distributor.web.fast.prepared import Decided
from distributor.web.fast.visit import Visit, begin, name_request, note

#: More of pipelined requests is not read while one is being answered; as in L{HTTPChannel}.
_AHEAD = 16 * 1024


class FastChannel(Channel):
    """
    Takes plain requests itself, between two that it leaves to L{HTTPChannel}.

    What comes is its own until it finds a head that is not plain, or not all there. From the first byte of that, all is
    L{HTTPChannel}'s, until the answer to one request is over; then L{HTTPChannel} is as on the first day, and what has
    come since is looked at again. A connection that was never good, or is to end, never comes back.

    @ivar hits: what is answered here.
    """

    hits: Hits

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._came = b""
        # Whether what comes is looked at here.
        self._ours = True
        self._looking = False
        self._answering: Deferred[bool] | None = None
        self._idle_s: float | None = None
        self._over = False

    def dataReceived(self, data: bytes) -> None:
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
                decided = self.hits.decide(self._came)
                if decided is None or not self._answer(decided):
                    self._hand_over()
        finally:
            self._looking = False

    def _hand_over(self) -> None:
        came, self._came = self._came, b""
        self._ours = False
        super().dataReceived(came)  # type: ignore[no-untyped-call]

    def _answer(self, decided: Decided) -> bool:
        """
        @return: whether it is being answered here, as far as one can say by now.
        """
        hits = self.hits
        if hits.gate.refusal is not None:
            return False
        asked_as = name_request(decided)
        sent = begin(self, hits, decided, asked_as)
        if sent == decided.length:
            note(self, hits, decided, asked_as, sent, 0.0)
            self._answered(True, decided)
            return True
        visit = Visit(self, hits, decided, asked_as, sent)
        hits.gate.enter(visit)
        answering = visit.run()
        if answering is None:
            self._answered(True, decided)
        else:
            # An answer may take longer than a client may be idle.
            self._idle_s = self.setTimeout(None)  # type: ignore[no-untyped-call]
            self._answering = answering
            answering.addCallback(self._answered_late, decided)
        return True

    def _answered(self, answered: bool, decided: Decided) -> None:
        if self._over:
            self._came = b""
        elif not answered:
            self._hand_over()
        else:
            self._came = self._came[decided.taken :]
            if decided.plain.closes or decided.plain.version == b"1.0":
                self._over = True
                self._came = b""
                self.loseConnection()  # type: ignore[no-untyped-call]

    def _answered_late(self, answered: bool, decided: Decided) -> None:
        self._answering = None
        if not self._over:
            self.setTimeout(self._idle_s)  # type: ignore[no-untyped-call]
            if not self.full:
                self.transport.resumeProducing()  # type: ignore[union-attr]
        self._answered(answered, decided)
        self._look_again()
