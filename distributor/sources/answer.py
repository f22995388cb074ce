"""
What a storage node answers: what is usable, as its head tells, and what is wrong with the rest.
"""

from __future__ import annotations

import re
from typing import Protocol as TypingProtocol

from attrs import frozen
from twisted.internet.protocol import Protocol
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IResponse

from distributor.model import ByteRange, DistributorError

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,20})-([0-9]{1,20})/(?:([0-9]{1,20})|\*)\Z")
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+(?:\s*;[\x20-\x7e]*)?\Z", re.ASCII)

#: The statuses of a storage node that is well, and does not have the object.
_ABSENT = (404, 410)


class SourceError(DistributorError):
    """
    A storage node did not give what it was asked for.

    @ivar timed_out: because it was too slow to.
    @ivar well: it only does not have the object.
    """

    def __init__(self, reason: str, *, timed_out: bool = False, well: bool = False) -> None:
        super().__init__(reason)
        self.timed_out = timed_out
        self.well = well


class WrongLength(SourceError):
    """
    It says that the object, or the part that was asked for, has another length than the catalogue's.

    @ivar expected: in bytes.
    @ivar got: the same.
    """

    def __init__(self, reason: str, expected: int, got: int) -> None:
        super().__init__(reason)
        self.expected = expected
        self.got = got


class _Deliverable(TypingProtocol):
    def deliverBody(self, protocol: Protocol) -> None: ...


@frozen
class Body:
    """
    The answer of a storage node, its head read and found right.

    @ivar start: the offset in the object of the body's first byte: what was asked for, or 0 where C{Range} was ignored.
    @ivar stop: the offset behind its last byte.
    @ivar type: the media type that the node gives, if it is worth anything.
    """

    start: int
    stop: int
    type: str | None
    _response: _Deliverable

    def deliver(self, protocol: Protocol) -> None:
        """
        Let the bytes come to C{protocol}, whose transport is an L{IPushProducer} with C{loseConnection}.
        """
        self._response.deliverBody(protocol)


def checked(response: IResponse, size: int, wanted: ByteRange, whole: bool) -> tuple[int, int]:
    """
    Which bytes of the object the body of C{response} holds, from its head alone.

    @raise SourceError: it is not usable.
    """
    if response.code == 200:
        start, stop = 0, size
    elif response.code == 206 and not whole:
        start, stop = _content_range(response.headers, size)
        if (start, stop) != (wanted.start, wanted.stop):
            raise SourceError(f"bytes {start}-{stop - 1} for {wanted.start}-{wanted.stop - 1}")
    else:
        raise SourceError(f"status {response.code}", well=response.code in _ABSENT)
    if response.length is not UNKNOWN_LENGTH and response.length != stop - start:
        reason = f"Content-Length {response.length} for {stop - start} bytes"
        raise WrongLength(reason, stop - start, response.length)
    return start, stop


def _content_range(headers: Headers, size: int) -> tuple[int, int]:
    values = headers.getRawHeaders("Content-Range", [])
    match = _CONTENT_RANGE.match(values[0].strip()) if len(values) == 1 else None
    if match is None:
        raise SourceError(f"Content-Range {', '.join(values) or 'missing'}")
    first, last, total = match.groups()
    if total is not None and int(total) != size:
        raise WrongLength(f"an object of {total} bytes instead of {size}", size, int(total))
    return int(first), int(last) + 1


def media_type(headers: Headers) -> str | None:
    """
    What a storage node says when it does not know is of no use to anybody.
    """
    value = headers.getRawHeaders("Content-Type", [""])[-1].strip()
    # It will stand in a header of ours: printable ASCII only, and the shape of a type.
    if not _MEDIA_TYPE.match(value):
        return None
    return None if value.lower().startswith("application/octet-stream") else value


class Discard(Protocol):
    """
    Wants none of a body.
    """

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.loseConnection()
