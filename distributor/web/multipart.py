"""
Bodies of several ranges: C{multipart/byteranges} (RFC 9110 §14.6, RFC 2046 §5.1.1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from distributor.model import ByteRange

#: A body in order: text of ours, and bytes of the object.
Pieces = tuple[bytes | ByteRange, ...]

# What needs no quotes as a media type's parameter, of what RFC 2046 allows.
_BOUNDARY = re.compile(r"[0-9A-Za-z_.+-]{1,70}")


def content_range(wanted: ByteRange, size: int) -> str:
    """
    The value of C{Content-Range} for a range of an object of C{size} bytes (RFC 9110 §14.4).
    """
    return f"bytes {wanted.start}-{wanted.stop - 1}/{size}"


def multipart_type(boundary: str) -> str:
    """
    The C{Content-Type} of the whole.

    @raise ValueError: C{boundary} is not 1 to 70 of C{[0-9A-Za-z_.+-]}.
    """
    if not _BOUNDARY.fullmatch(boundary):
        raise ValueError(f"{boundary!r} cannot be a boundary")
    return f"multipart/byteranges; boundary={boundary}"


def multipart_pieces(boundary: str, part_type: str, ranges: Iterable[ByteRange], size: int) -> Pieces:
    """
    The body: a head before each range, the closing delimiter after the last.

    @param boundary: must not occur in the object: make it from random bits.
    @param part_type: the C{Content-Type} that a 200 would have had.
    @param size: of the object, in bytes.
    """
    pieces: list[bytes | ByteRange] = []
    for wanted in ranges:
        # The line break before a delimiter belongs to it; before the first there is nothing to break from.
        line_break = "\r\n" if pieces else ""
        head = (
            f"{line_break}--{boundary}\r\n"
            f"Content-Type: {part_type}\r\n"
            f"Content-Range: {content_range(wanted, size)}\r\n\r\n"
        )
        pieces += (head.encode("latin-1"), wanted)
    pieces.append(f"\r\n--{boundary}--\r\n".encode("latin-1"))
    return tuple(pieces)


def body_length(pieces: Sequence[bytes | ByteRange]) -> int:
    """
    How many bytes C{pieces} are.
    """
    # Not len() of a range: an object may be larger than a C ssize_t.
    return sum(len(piece) if isinstance(piece, bytes) else piece.stop - piece.start for piece in pieces)
