"""
Tests for L{distributor.sources.expected}: looking for answers between two turns of the reactor.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReadDescriptor
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from distributor.sources.expected import Expected


@implementer(IReadDescriptor)
class Descriptor:
    """
    Remembers when it was read.
    """

    def __init__(self, name: str, read: Callable[[str], object]) -> None:
        self._name = name
        self._read = read

    def doRead(self) -> None:
        """
        Be read.
        """
        self._read(self._name)

    def connectionLost(self, reason: object) -> None:
        """
        Of no concern here.
        """

    def fileno(self) -> int:
        """
        There is no file.
        """
        return -1

    def logPrefix(self) -> str:
        """
        The same.
        """
        return "-"


class ExpectedTests(SynchronousTestCase):
    """
    Who is looked at.
    """

    def setUp(self) -> None:
        self.expected = Expected()
        self.read: list[str] = []

    def add(self, name: str, read: Callable[[str], object] | None = None) -> Descriptor:
        """
        Expect something on one more connection.
        """
        descriptor = Descriptor(name, read or self.read.append)
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

    def test_gone_meanwhile(self) -> None:
        """
        One that is not expected any more because of what came on another is not read.
        """
        first = self.add("first")
        self.add("second", lambda name: self.expected.discard(first))
        self.expected.look()
        self.assertEqual(self.read, [])
