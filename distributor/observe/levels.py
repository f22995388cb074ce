"""
How severe a log event has to be: the words of npm, which configuration files use, as the levels that Twisted has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.logger import FilteringLogObserver, ILogObserver, LogLevel, LogLevelFilterPredicate, LogPublisher

#: No event at all.
OFF = "off"

#: From the most severe down. Twisted has nothing between C{info} and C{debug}.
LEVELS: Mapping[str, Any] = {
    "error": LogLevel.error,
    "warn": LogLevel.warn,
    "info": LogLevel.info,
    "http": LogLevel.info,
    "verbose": LogLevel.debug,
    "debug": LogLevel.debug,
    "silly": LogLevel.debug,
}


def at_least(level: str, observer: ILogObserver) -> ILogObserver:
    """
    An observer that passes events on, to C{observer}, from a level up.

    @param level: one of L{LEVELS}, or L{OFF}.
    """
    if level == OFF:
        # One without observers of its own.
        return LogPublisher()
    return FilteringLogObserver(observer, [LogLevelFilterPredicate(LEVELS[level])])
