"""
Tests for L{distributor.sources.expected}: looking for answers between two turns of the reactor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from twisted.internet.tcp import Connection
from twisted.trial.unittest import SynchronousTestCase

from distributor.sources.expected import Expected


class Descriptor:
    """
    As much of a connection as is needed.

    @ivar aborted: whether it was cut.
    """

    def __init__(self, name: str, read: Callable[[str], object]) -> None:
        self._name = name
        self._read = read
        self.aborted = False

    def doRead(self) -> None:
        """
        Be read.
        """
        self._read(self._name)

    def abortConnection(self) -> None:
        """
        Be cut.
        """
        self.aborted = True


class ExpectedTests(SynchronousTestCase):
    """
    Who is looked at.
    """

    def setUp(self) -> None:
        self.expected = Expected()
        self.read: list[str] = []

    def add(self, name: str, read: Callable[[str], object] | None = None) -> Connection:
        """
        Expect something on one more connection.
        """
        descriptor = cast(Connection, Descriptor(name, read or self.read.append))
        self.expected.add(descriptor)
        return descriptor

    def test_those_expected(self) -> None:
        """
        Each look reads from all on which something is expected, and from no others.
        """
        self.expected.look()
        first = self.add("first")
        self.add("second")
        self.expected.look()
        self.assertEqual(self.read, ["second", "first"])
        self.expected.discard(first)
        self.expected.discard(first)
        self.expected.look()
        self.assertEqual(self.read, ["second", "first", "second"])

    def test_the_last(self) -> None:
        """
        Where many are expected, those are read that were asked last.
        """
        first, *_ = [self.add(name) for name in "abcdef"]
        self.expected.look()
        self.assertEqual(self.read, ["f", "e", "d", "c"])
        self.expected.add(first)
        self.expected.look()
        self.assertEqual(self.read[4:], ["a", "f", "e", "d"])

    def test_trouble(self) -> None:
        """
        Trouble that nobody has thought of is the connection's, and not that of who looks.
        """

        def trouble(_: str) -> None:
            raise RuntimeError("unforeseen")

        self.add("first")
        second = self.add("second", trouble)
        self.expected.look()
        self.assertEqual(self.read, ["first"])
        self.assertTrue(cast(Descriptor, second).aborted)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_gone_meanwhile(self) -> None:
        """
        One that is not expected any more because of what came on another is not read.
        """
        first = self.add("first")
        self.add("second", lambda name: self.expected.discard(first))
        self.expected.look()
        self.assertEqual(self.read, [])
