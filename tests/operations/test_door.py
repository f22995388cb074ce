"""
Tests for L{distributor.operations.door}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from distributor.operations.door import TRANSITIONS, Door, DoorEvent, DoorState
from distributor.web import errors, operator_errors
from distributor.web.errors import ApiError
from distributor.web.gate import Gate
from distributor.web.operator_errors import Refused


class Visitor:
    """
    Somebody who wants in.
    """

    def abort(self) -> None:
        raise AssertionError("nobody is thrown out here")


class DoorTests(SynchronousTestCase):
    """
    Whether the public API is open.
    """

    def setUp(self) -> None:
        self.gate = Gate(1000)
        self.door = Door(self.gate)

    def told(self) -> ApiError | None:
        """
        What somebody is told who wants in.
        """
        visitor = Visitor()
        refusal = self.gate.enter(visitor)
        if refusal is None:
            self.gate.leave(visitor)
        return refusal

    def refused(self, what: str) -> ApiError:
        """
        What the operator is told.
        """
        with self.assertRaises(Refused) as caught:
            getattr(self.door, what)()
        error: ApiError = caught.exception.error
        return error

    def test_life(self) -> None:
        """
        It opens when the node is ready, and shuts when it ends.
        """
        self.assertEqual(self.told(), errors.STARTING)
        self.door.ready()
        self.assertIsNone(self.told())
        self.door.shut()
        self.assertEqual(self.told(), errors.SHUTTING_DOWN)

    def test_operator(self) -> None:
        """
        In between the operator closes it, and opens it again; each once.
        """
        self.door.ready()
        self.assertEqual(self.refused("start"), operator_errors.ALREADY_STARTED)
        self.door.stop()
        self.assertEqual(self.told(), errors.API_STOPPED)
        self.assertEqual(self.refused("stop"), operator_errors.ALREADY_STOPPED)
        self.door.start()
        self.assertIsNone(self.told())

    def test_stopped_before_it_is_ready(self) -> None:
        """
        A node that was stopped while it started stays so; one that was started again meanwhile opens.
        """
        self.door.stop()
        self.door.ready()
        self.assertEqual(self.told(), errors.API_STOPPED)
        self.assertTrue(self.door.started)
        self.door = Door(self.gate)
        self.door.stop()
        self.door.start()
        self.assertEqual(self.told(), errors.STARTING)
        self.door.ready()
        self.assertIsNone(self.told())

    def test_end(self) -> None:
        """
        At the end nobody opens it any more.
        """
        self.door.ready()
        self.door.stop()
        self.door.shut()
        for what in ("stop", "start"):
            self.assertEqual(self.refused(what), operator_errors.SHUTTING_DOWN)
        self.door.ready()
        self.door.shut()
        self.assertEqual(self.told(), errors.SHUTTING_DOWN)

    @given(st.lists(st.sampled_from(["ready", "stop", "start", "shut"])))
    def test_any_order(self, events: list[str]) -> None:
        """
        In whatever order all that comes: it is open if and only if it says so, and what is refused changes nothing.
        """
        door = Door(self.gate)
        came: set[str] = set()
        for event in events:
            came.add(event)
            before = door.state
            try:
                getattr(door, event)()
            except Refused:
                self.assertEqual(door.state, before)
            self.assertEqual(self.told() is None, door.state is DoorState.OPEN)
            open_or_stopped = door.state in (DoorState.OPEN, DoorState.STOPPED)
            self.assertEqual(door.started, open_or_stopped)
            self.assertEqual(door.started, "ready" in came and "shut" not in came)

    def test_table(self) -> None:
        """
        From every state but the last the node can end; from that nothing leads.
        """
        for state in DoorState:
            ends = (state, DoorEvent.SHUT) in TRANSITIONS
            self.assertEqual(ends, state is not DoorState.SHUTTING_DOWN)
