"""
Trouble that may come with every request, told of once a minute.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

#: A failing disk or a full store concerns every request; an operator needs one line to act on.
INTERVAL_S = 60.0


class Sparse:
    """
    Logs each kind of trouble at most once in L{INTERVAL_S}, and then how often it came meanwhile.
    """

    def __init__(self, clock: IReactorTime, log: Logger) -> None:
        """
        @param log: in whose name.
        """
        self._clock = clock
        self._log = log
        self._told: dict[str, tuple[float | None, int]] = {}

    def error(self, format: str, **values: object) -> None:
        """
        Log an error, unless one with the same C{format} was logged less than a minute ago.
        """
        now = self._clock.seconds()
        told_at, silent = self._told.get(format, (None, 0))
        if told_at is not None and now - told_at < INTERVAL_S:
            self._told[format] = told_at, silent + 1
            return
        self._told[format] = now, 0
        if silent:
            format += " (and {silent} more since the last time)"
        self._log.error(format, **values, silent=silent)
