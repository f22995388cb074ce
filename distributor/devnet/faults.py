"""
What can go wrong at a storage node, as values.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from enum import Enum
from typing import Any

from attrs import define, field, frozen, validators


class Ending(Enum):
    """
    How an answer that is cut ends.
    """

    #: The connection is reset (RST).
    RESET = "reset"
    #: The connection is closed in order (FIN), short of C{Content-Length}.
    CLOSE = "close"
    #: The connection stays open, and nothing more comes.
    STALL = "stall"


@frozen
class Cut:
    """
    An answer that does not come to its end.

    @ivar after: bytes of the body that are sent first.
    """

    after: int = field(validator=validators.ge(0))
    ending: Ending


@frozen
class Drip:
    """
    A body that comes a few bytes at a time.

    @ivar size: bytes at a time.
    @ivar every_s: seconds before each of them.
    @ivar stop: how much of the body comes in this way, in bytes, before the rest comes as usual; L{None}: all of it.
    """

    size: int = field(validator=validators.gt(0))
    every_s: float = field(validator=validators.gt(0))
    stop: int | None = field(default=None, validator=validators.optional(validators.ge(0)))


@frozen(kw_only=True)
class Fault:
    """
    How the answer to one request differs from a healthy one, in any number of ways; C{Fault()} is healthy.

    @ivar status: answer with this status (404, 500, ...) and a JSON body, whatever was asked for.
    @ivar hang: accept the request, and never answer.
    @ivar redirect: answer 302 with this C{Location}.
    @ivar delay_s: seconds before anything is said.
    @ivar cut: end the body early.
    @ivar drip: send the body in drops.
    @ivar ignore_range: answer 200 with the whole file.
    @ivar flip_at: invert the byte of the object at this offset; a negative one counts from the end.
    @ivar content_length: what C{Content-Length} says, whatever is sent. The connection is closed after the body.
    @ivar content_range: what C{Content-Range} says in a 206, whatever is sent.
    @ivar gzip: send the body with C{Content-Encoding: gzip}, even though nobody asked for it. It is made in memory.
    """

    status: int | None = field(default=None, validator=validators.optional(validators.in_(range(400, 600))))
    hang: bool = False
    redirect: str | None = None
    delay_s: float = field(default=0.0, validator=validators.ge(0))
    cut: Cut | None = None
    drip: Drip | None = None
    ignore_range: bool = False
    flip_at: int | None = None
    content_length: int | None = field(default=None, validator=validators.optional(validators.ge(0)))
    content_range: str | None = None
    gzip: bool = False


HEALTHY = Fault()


def fault_of(document: Mapping[str, Any]) -> Fault:
    """
    A fault as JSON tells it: C{{"cut": {"after": 100, "ending": "reset"}}}.

    @raise TypeError: it has members that a fault does not have, or is no object.
    @raise ValueError: one of them has no sense.
    """
    members = dict(document)
    if members.get("cut") is not None:
        cut = dict(members["cut"])
        members["cut"] = Cut(**{**cut, "ending": Ending(cut.get("ending"))})
    if members.get("drip") is not None:
        members["drip"] = Drip(**members["drip"])
    return Fault(**members)


@define
class Faults:
    """
    Which fault the next request meets; change it while the node runs.

    @ivar always: for each request that the other two say nothing about.
    @ivar by_object: by object id.
    @ivar next: for the coming requests of a file, one each, whatever the object; before the others.
    """

    always: Fault = HEALTHY
    by_object: dict[str, Fault] = field(factory=dict)
    next: deque[Fault] = field(factory=deque)

    def take(self, object_id: str) -> Fault:
        """
        The fault for a request that has come.
        """
        if self.next:
            return self.next.popleft()
        return self.by_object.get(object_id, self.always)


def flipped(data: bytes, start: int, flip_at: int | None) -> bytes:
    """
    C{data}, which begins at the object's offset C{start}, with the byte at C{flip_at} inverted if it is in there.
    """
    if flip_at is None or not start <= flip_at < start + len(data):
        return data
    spoilt = bytearray(data)
    spoilt[flip_at - start] ^= 0xFF
    return bytes(spoilt)
