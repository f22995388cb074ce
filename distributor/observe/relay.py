"""
The log of a process by way of another one: a line for each event, without the time, which the other one adds.
"""

from __future__ import annotations

import sys

from twisted.logger import FileLogObserver, InvalidLogLevelError, LogEvent, Logger, LogLevel, eventAsText


def relayed() -> FileLogObserver:
    """
    For C{twistd --logger}: writes to stdout what L{Relay} reads.
    """
    return FileLogObserver(sys.stdout, _line)


def _line(event: LogEvent) -> str:
    level = getattr(event.get("log_level"), "name", "info")
    text = eventAsText(event, includeTimestamp=False, includeSystem=False)
    # An event is one line, so that what follows in it is not taken for another.
    return f"{level} {event.get('log_namespace', '-')} " + text.replace("\n", "\n\t") + "\n"


class Relay:
    """
    Logs what a process writes.
    """

    def __init__(self, name: str) -> None:
        """
        @param name: what the log calls the process.
        """
        self._name = name
        self._rest = b""
        self._lines: list[str] = []

    def received(self, data: bytes) -> None:
        """
        Some of its output.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            text = line.decode("utf-8", "replace")
            if text.startswith("\t") and self._lines:
                self._lines.append(text[1:])
                continue
            self._log()
            self._lines = [text]
        # Whoever reads the log wants it now; what belongs to it comes in the same piece, nearly always.
        self._log()

    def ended(self) -> None:
        """
        No more comes.
        """
        if self._rest:
            self.received(b"\n")

    def _log(self) -> None:
        lines, self._lines = self._lines, []
        if not lines:
            return
        name, _, rest = lines[0].partition(" ")
        namespace, _, text = rest.partition(" ")
        try:
            level = LogLevel.levelWithName(name)
        except InvalidLogLevelError:
            # Not from its log: what Python itself writes when all goes wrong.
            level, namespace, text = LogLevel.warn, "distributor", lines[0]
        Logger(namespace).emit(level, "{process}: {text}", process=self._name, text="\n".join([text, *lines[1:]]))
