"""
Whether the public API is open, and why not.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from distributor.web import errors
from distributor.web.errors import ApiError
from distributor.web.operator_errors import ALREADY_STARTED, ALREADY_STOPPED, SHUTTING_DOWN, Refused


class DoorState(Enum):
    """
    What stands open, for whom. The words are those of C{GET /status}.
    """

    STARTING = "starting"
    #: The operator has stopped it before it was ready.
    STOPPED_EARLY = "stopped, starting"
    OPEN = "running"
    STOPPED = "stopped"
    SHUTTING_DOWN = "shutting_down"


class DoorEvent(Enum):
    """
    What happens to a door: the node has started, or ends; and what the operator says.
    """

    READY = "ready"
    STOP = "stop"
    START = "start"
    SHUT = "shut"


_S, _E = DoorState, DoorEvent

#: What is not here is no news, or what the operator is told that he cannot have.
TRANSITIONS: dict[tuple[DoorState, DoorEvent], DoorState] = {
    (_S.STARTING, _E.READY): _S.OPEN,
    (_S.STARTING, _E.STOP): _S.STOPPED_EARLY,
    (_S.STARTING, _E.SHUT): _S.SHUTTING_DOWN,
    (_S.STOPPED_EARLY, _E.READY): _S.STOPPED,
    (_S.STOPPED_EARLY, _E.START): _S.STARTING,
    (_S.STOPPED_EARLY, _E.SHUT): _S.SHUTTING_DOWN,
    (_S.OPEN, _E.STOP): _S.STOPPED,
    (_S.OPEN, _E.SHUT): _S.SHUTTING_DOWN,
    (_S.STOPPED, _E.START): _S.OPEN,
    (_S.STOPPED, _E.SHUT): _S.SHUTTING_DOWN,
}

_REASONS = {
    DoorState.STARTING: errors.STARTING,
    DoorState.STOPPED_EARLY: errors.API_STOPPED,
    DoorState.STOPPED: errors.API_STOPPED,
    DoorState.SHUTTING_DOWN: errors.SHUTTING_DOWN,
}


class Gate(Protocol):
    """
    What is opened and closed: L{distributor.web.gate.Gate}, or several that are one to the operator.
    """

    def open(self) -> None: ...

    def close(self, reason: ApiError) -> None: ...


class Door:
    """
    Owns the state of a gate: who is inside stays, and new ones come in or do not.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._enter(DoorState.STARTING)

    @property
    def state(self) -> DoorState:
        """
        How it stands.
        """
        return self._state

    @property
    def started(self) -> bool:
        """
        Whether the node can do its work, be the public API open or not.
        """
        return self._state in (DoorState.OPEN, DoorState.STOPPED)

    def _enter(self, state: DoorState) -> None:
        self._state = state
        reason = _REASONS.get(state)
        if reason is None:
            self._gate.open()
        else:
            self._gate.close(reason)

    def _go(self, event: DoorEvent) -> bool:
        state = TRANSITIONS.get((self._state, event))
        if state is None:
            return False
        self._enter(state)
        return True

    def ready(self) -> None:
        """
        The node has started.
        """
        self._go(DoorEvent.READY)

    def shut(self) -> None:
        """
        The node ends. Once is enough.
        """
        self._go(DoorEvent.SHUT)

    def stop(self) -> None:
        """
        The operator wants nobody served.

        @raise Refused: so it is, or the node ends.
        """
        if not self._go(DoorEvent.STOP):
            raise Refused(SHUTTING_DOWN if self._state is DoorState.SHUTTING_DOWN else ALREADY_STOPPED)

    def start(self) -> None:
        """
        The operator wants everybody served again.

        @raise Refused: so it is, or the node ends.
        """
        if not self._go(DoorEvent.START):
            raise Refused(SHUTTING_DOWN if self._state is DoorState.SHUTTING_DOWN else ALREADY_STARTED)
