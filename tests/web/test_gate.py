"""
Tests for L{distributor.web.gate}.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from distributor.web.errors import API_STOPPED, OVERLOADED, SHUTTING_DOWN
from distributor.web.gate import Gate


class Guest:
    """
    A visitor; one that is thrown out leaves at once, if it is told which gate.
    """

    def __init__(self, gate: Gate | None = None) -> None:
        self._gate = gate
        self.aborted = 0

    def abort(self) -> None:
        self.aborted += 1
        if self._gate is not None:
            self._gate.leave(self)


class GateTests(SynchronousTestCase):
    """
    Who may come in, and when nobody is inside.
    """

    def setUp(self) -> None:
        self.gate = Gate(2)

    def guests(self, count: int) -> list[Guest]:
        """
        As many are inside.
        """
        guests = [Guest() for _ in range(count)]
        for guest in guests:
            self.assertIsNone(self.gate.enter(guest))
        return guests

    def test_most(self) -> None:
        """
        So many may be inside, and no more; one that leaves makes room for one.
        """
        first, _ = self.guests(2)
        self.assertIs(self.gate.enter(Guest()), OVERLOADED)
        self.assertIs(self.gate.enter(Guest()), OVERLOADED)
        self.gate.leave(first)
        self.assertIsNone(self.gate.enter(Guest()))
        self.assertIs(self.gate.enter(Guest()), OVERLOADED)

    def test_refused_is_not_inside(self) -> None:
        """
        One that was refused does not count.
        """
        self.gate.close(SHUTTING_DOWN)
        self.gate.enter(Guest())
        self.successResultOf(self.gate.empty())

    def test_closed(self) -> None:
        """
        A closed gate says why, even where it is crowded, until it is open; those inside stay.
        """
        first, second = self.guests(2)
        for reason in (SHUTTING_DOWN, API_STOPPED):
            self.gate.close(reason)
            self.assertIs(self.gate.enter(Guest()), reason)
        self.assertEqual((first.aborted, second.aborted), (0, 0))
        self.gate.leave(first)
        self.gate.open()
        self.assertIsNone(self.gate.enter(first))

    def test_empty(self) -> None:
        """
        All who wait are told when the last has left, and not before.
        """
        first, second = self.guests(2)
        waiting = [self.gate.empty(), self.gate.empty()]
        self.gate.leave(first)
        for each in waiting:
            self.assertNoResult(each)
        self.gate.leave(second)
        for each in waiting:
            self.successResultOf(each)
        self.successResultOf(self.gate.empty())

    def test_told_once(self) -> None:
        """
        Who has been told is not told again when the gate is empty for a second time.
        """
        [guest] = self.guests(1)
        told = self.gate.empty()
        self.gate.leave(guest)
        self.successResultOf(told)
        self.gate.enter(guest)
        self.gate.leave(guest)

    def test_no_more_waiting(self) -> None:
        """
        Who waits may give up, or run out of patience; the others are told all the same.
        """
        clock = Clock()
        [guest] = self.guests(1)
        cancelled, impatient, waiting = (self.gate.empty() for _ in range(3))
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        impatient.addTimeout(5, clock)
        clock.advance(5)
        self.failureResultOf(impatient)
        self.gate.leave(guest)
        self.successResultOf(waiting)

    def test_enters_when_told(self) -> None:
        """
        Whoever is told that the gate is empty may have somebody enter it at once.
        """
        first, second = self.guests(1)[0], Guest()
        self.gate.empty().addCallback(lambda _: self.gate.enter(second))
        self.gate.leave(first)
        waiting = self.gate.empty()
        self.assertNoResult(waiting)
        self.gate.leave(second)
        self.successResultOf(waiting)

    def test_throw_out(self) -> None:
        """
        All are cut, once each, though they leave while that is going on.
        """
        guests = [Guest(self.gate), Guest(self.gate)]
        for guest in guests:
            self.gate.enter(guest)
        empty = self.gate.empty()
        self.gate.throw_out()
        self.assertEqual([guest.aborted for guest in guests], [1, 1])
        self.successResultOf(empty)

    def test_throw_out_the_slow(self) -> None:
        """
        Those who take their time to leave are inside until they have.
        """
        [guest] = self.guests(1)
        self.gate.throw_out()
        waiting = self.gate.empty()
        self.assertNoResult(waiting)
        self.gate.leave(guest)
        self.successResultOf(waiting)
