"""
Who may come in: how many answers are in progress, and why no more may begin.
"""

from __future__ import annotations

from typing import Protocol

from twisted.internet.defer import Deferred, succeed

from distributor.web.errors import OVERLOADED, ApiError


class Visitor(Protocol):
    """
    An answer in progress.
    """

    def abort(self) -> None:
        """Cut its connection."""


class Gate:
    """
    Counts the assets that are being answered. A connection has one answer at a time, so this limits busy connections
    too; idle ones are closed by their time-out.
    """

    def __init__(self, most: int) -> None:
        """
        @param most: how many answers may be in progress.
        """
        self._most = most
        self._closed: ApiError | None = None
        self._inside: set[Visitor] = set()
        self._waiting: list[Deferred[None]] = []

    @property
    def refusal(self) -> ApiError | None:
        """
        Why nobody may come in now, if so.
        """
        if self._closed is None and len(self._inside) >= self._most:
            return OVERLOADED
        return self._closed

    def enter(self, visitor: Visitor) -> ApiError | None:
        """
        Begin an answer, which ends with L{leave}.

        @return: why not, if so; then L{leave} must not be called.
        """
        refusal = self.refusal
        if refusal is None:
            self._inside.add(visitor)
        return refusal

    def replace(self, old: Visitor, new: Visitor) -> None:
        """
        Let one who is inside be gone on for by another one.
        """
        self._inside.add(new)
        self.leave(old)

    def leave(self, visitor: Visitor) -> None:
        """
        An answer is over.
        """
        self._inside.remove(visitor)
        if not self._inside:
            waiting, self._waiting = self._waiting, []
            for waiter in waiting:
                waiter.callback(None)

    def __len__(self) -> int:
        """
        How many answers are in progress.
        """
        return len(self._inside)

    def close(self, reason: ApiError) -> None:
        """
        Let nobody in any more; those inside stay.
        """
        self._closed = reason

    def open(self) -> None:
        """
        Let everybody in.
        """
        self._closed = None

    def empty(self) -> Deferred[None]:
        """
        Fires when nobody is inside.
        """
        if not self._inside:
            return succeed(None)
        waiter: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(waiter)
        return waiter

    def throw_out(self) -> None:
        """
        Cut all answers that are in progress. They leave when their connections are gone.
        """
        for visitor in list(self._inside):
            visitor.abort()
