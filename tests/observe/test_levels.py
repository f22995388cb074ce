"""
Tests for L{distributor.observe.levels}.
"""

from __future__ import annotations

from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel, LogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import provider
from zope.interface.verify import verifyObject

from distributor.observe.levels import LEVELS, OFF, at_least


class LevelTests(SynchronousTestCase):
    """
    Less is logged than there is.
    """

    def passed(self, level: str) -> list[str]:
        """
        The levels of the events that a level lets through, of one event of each level of Twisted.
        """
        found: list[str] = []

        @provider(ILogObserver)
        def note(event: LogEvent) -> None:
            found.append(event["log_level"].name)

        observer = at_least(level, note)
        verifyObject(ILogObserver, observer)
        log = Logger(observer=LogPublisher(observer))
        for each in LogLevel.iterconstants():
            log.emit(each, "x")
        return found

    def test_from_a_level_up(self) -> None:
        """
        A level lets through what is as severe, and what is more so.
        """
        all_of_them = ["debug", "info", "warn", "error", "critical"]
        for level, least in {
            "error": "error",
            "warn": "warn",
            "info": "info",
            "http": "info",
            "verbose": "debug",
            "debug": "debug",
            "silly": "debug",
        }.items():
            self.assertEqual(self.passed(level), all_of_them[all_of_them.index(least) :])
        self.assertEqual(list(LEVELS), ["error", "warn", "info", "http", "verbose", "debug", "silly"])

    def test_off(self) -> None:
        """
        C{off} lets nothing through, however severe.
        """
        self.assertEqual(self.passed(OFF), [])
