"""
Telling the heads of plain requests from all others.

It errs on one side: what is plain means the same to every reader of HTTP, and what is not may mean anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from attrs import frozen

#: Longer heads have something to say that this does not understand, and Twisted has limits of its own above it.
LONGEST_HEAD = 8 * 1024
_MOST_FIELDS = 64

# The whole head, in one piece: no white space but one SP where it belongs, no line folded, no name with a space behind
# it, no line end but CRLF, no octet in a value that is not ASCII and visible. There is one way to read each octet, so
# that no input backtracks far; no group is possessive, as Python 3.11.2, which is Debian's, takes half a line then.
_HEAD = re.compile(
    rb"(GET|HEAD) (/api/v1/assets?/(0|[1-9][0-9]{0,19})) HTTP/1\.([01])\r\n"
    rb"((?:[A-Za-z][A-Za-z0-9-]*+:[\t -~]*+\r\n)*)\r\n"
)

# What the answer depends on.
_HEEDED: Mapping[bytes, str] = {
    b"connection": "Connection",
    # No answer does, but two of them are suspicious.
    b"host": "Host",
    b"if-match": "If-Match",
    b"if-none-match": "If-None-Match",
    b"if-range": "If-Range",
    b"range": "Range",
    b"x-forwarded-for": "X-Forwarded-For",
    b"x-request-id": "X-Request-Id",
}

# What browsers, players and proxies send, and no answer depends on. A field that is not known may be one that should
# be heeded.
_IGNORED = frozenset(
    (
        b"accept",
        b"accept-charset",
        b"accept-encoding",
        b"accept-language",
        b"access-control-request-headers",
        b"access-control-request-method",
        b"cache-control",
        b"cookie",
        b"dnt",
        b"forwarded",
        b"from",
        b"icy-metadata",
        b"if-modified-since",
        b"if-unmodified-since",
        b"origin",
        b"pragma",
        b"priority",
        b"purpose",
        b"referer",
        b"save-data",
        b"sec-fetch-dest",
        b"sec-fetch-mode",
        b"sec-fetch-site",
        b"sec-fetch-storage-access",
        b"sec-fetch-user",
        b"sec-ch-ua",
        b"sec-ch-ua-mobile",
        b"sec-ch-ua-platform",
        b"sec-gpc",
        b"sec-purpose",
        b"user-agent",
        b"via",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-proto",
        b"x-playback-session-id",
        b"x-real-ip",
    )
)


@frozen
class PlainHead:
    """
    A GET or HEAD of an asset, without a body, as one could be sure of it.

    @ivar target: as it was sent.
    @ivar fields: what an answer may depend on, by name as it is usually written; white space round values is gone.
    @ivar version: C{b"1.0"} or C{b"1.1"}.
    @ivar closes: whether the client says that this is its last request on the connection.
    @ivar length: how many bytes it is.
    """

    method: str
    target: str
    object_id: str
    fields: Mapping[str, str]
    version: bytes
    closes: bool
    length: int

    @property
    def last(self) -> bool:
        """
        Whether the connection ends with the answer.
        """
        return self.closes or self.version == b"1.0"


def plain_head(data: bytes) -> PlainHead | None:
    """
    The head that C{data} begins with; L{None} where that is not plain, or not all there.
    """
    match = _HEAD.match(data)
    if match is None or match.end() > LONGEST_HEAD:
        return None
    method, target, object_id, minor, lines = match.groups()
    fields: dict[str, str] = {}
    split = lines.split(b"\r\n")
    if len(split) > _MOST_FIELDS:
        return None
    split.pop()
    for line in split:
        name, _, value = line.partition(b":")
        name = name.lower()
        if name in _IGNORED:
            continue
        heeded = _HEEDED.get(name)
        if heeded is None or heeded in fields:
            return None
        fields[heeded] = value.strip(b" \t").decode("ascii")
    closes = False
    connection = fields.get("Connection")
    if connection is not None:
        closes = connection.lower() == "close"
        if not closes and connection.lower() != "keep-alive":
            return None
    return PlainHead(
        method.decode("ascii"),
        target.decode("ascii"),
        object_id.decode("ascii"),
        fields,
        b"1." + minor,
        closes,
        match.end(),
    )
