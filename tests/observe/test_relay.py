"""
Tests for L{distributor.observe.relay}: what one process logs, and another one passes on.
"""

from __future__ import annotations

import io
import sys
from typing import cast

from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from distributor.observe.relay import Relay, relayed


class RelayTests(SynchronousTestCase):
    """
    From one log to another.
    """

    def setUp(self) -> None:
        self.events: list[LogEvent] = []
        observer = cast(ILogObserver, self.events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.relay = Relay("worker")

    def written(self, level: LogLevel, text: str, namespace: str = "a.place") -> bytes:
        """
        What a process writes of an event.
        """
        stream = io.StringIO()
        self.patch(sys, "stdout", stream)
        Logger(namespace, observer=relayed()).emit(level, "{text}", text=text)
        return stream.getvalue().encode("utf-8")

    def told(self) -> list[tuple[str, str, str]]:
        return [(event["log_level"].name, event["log_namespace"], event["text"]) for event in self.events]

    def test_level_place_and_words(self) -> None:
        """
        An event is passed on as it was, under the name of its process.
        """
        self.relay.received(self.written(LogLevel.warn, "something odd"))
        self.assertEqual(self.told(), [("warn", "a.place", "something odd")])
        self.assertEqual(self.events[0]["process"], "worker")

    def test_several_lines(self) -> None:
        """
        A traceback stays together.
        """
        text = "it fails:\nTraceback (most recent call last):\n  File\n\tx"
        self.relay.received(self.written(LogLevel.info, text) + self.written(LogLevel.error, "next"))
        self.assertEqual(self.told(), [("info", "a.place", text), ("error", "a.place", "next")])

    @given(
        st.integers(0, 200), st.text(st.characters(exclude_characters="\n\r{}", exclude_categories=["C"]), min_size=1)
    )
    def test_in_pieces(self, cut: int, text: str) -> None:
        """
        A line that comes in two pieces is one.
        """
        self.events.clear()
        data = self.written(LogLevel.info, text)
        relay = Relay("worker")
        relay.received(data[:cut])
        relay.received(data[cut:])
        self.assertEqual(self.told(), [("info", "a.place", text)])

    def test_what_is_no_event(self) -> None:
        """
        What Python itself writes is passed on as it is, the last line too.
        """
        self.relay.received(b"Fatal Python error: \xff")
        self.relay.ended()
        self.assertEqual(self.told(), [("warn", "distributor", "Fatal Python error: \ufffd")])
