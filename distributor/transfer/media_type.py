"""
Which media type an object has: what its first bytes say, else what others say of it.
"""

from __future__ import annotations

import filetype

#: As many bytes as storage nodes look at, so that both see the same.
SNIFFED = 4100
UNKNOWN = "application/octet-stream"


def media_type(head: bytes, catalogue_type: str | None, source_type: str | None) -> str:
    """
    @param head: the first L{SNIFFED} bytes of the object, or fewer, or none.
    @param catalogue_type: what the catalogue says.
    @param source_type: what the storage node said.
    """
    # It knows binary signatures only: never HTML or SVG, which a browser would run.
    sniffed: str | None = filetype.guess_mime(head) if head else None
    return sniffed or catalogue_type or source_type or UNKNOWN
