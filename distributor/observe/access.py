"""
A line for each answer.

A log event costs more than a small answer does. So the first line after a quiet while is an event at once, and those of
the next moment are one together: nothing is left out, and a busy node pays for a few events per second.
"""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

#: What is told of an answer; the fields of its event have these names.
ACCESS_FORMAT = "{peer} {method} {uri} {status} {sent} B {seconds:.3f} s {request_id}"

_TOGETHER_S = 0.5

#: More lines do not wait for the others: an event should not grow without limit.
_MOST_LINES = 2000


class AccessLog:
    """
    Collects lines, and logs them. To be flushed in the end.
    """

    def __init__(self, clock: IReactorTime, log: Logger) -> None:
        self._clock = clock
        self._log = log
        self._lines: list[str] = []
        self._call: IDelayedCall | None = None

    def note(self, peer: str, method: str, uri: str, status: int, sent: int, seconds: float, request_id: str) -> None:
        """
        An answer is over.

        @param sent: bytes of its body.
        """
        if self._call is None:
            self._log.info(
                ACCESS_FORMAT,
                peer=peer,
                method=method,
                uri=uri,
                status=status,
                sent=sent,
                seconds=seconds,
                request_id=request_id,
            )
            self._call = self._clock.callLater(_TOGETHER_S, self._passed)
            return
        # As in ACCESS_FORMAT, in a third of the time.
        took = f"{seconds:.3f}" if seconds else "0.000"
        self._lines.append(f"{peer} {method} {uri} {status} {sent} B {took} s {request_id}")
        if len(self._lines) >= _MOST_LINES:
            self._write()

    def _passed(self) -> None:
        self._call = None
        if self._lines:
            self._write()
            self._call = self._clock.callLater(_TOGETHER_S, self._passed)

    def _write(self) -> None:
        lines, self._lines = self._lines, []
        self._log.info("{lines}", lines="\n".join(lines), count=len(lines))

    def flush(self) -> None:
        """
        Log what there is, and wait for nothing more.
        """
        if self._call is not None:
            self._call.cancel()
            self._call = None
        if self._lines:
            self._write()
