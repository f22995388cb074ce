"""
The head of an answer as Twisted would write it, without its L{Request<twisted.web.http.Request>}.
"""

from __future__ import annotations

from functools import lru_cache

from twisted.web.http_headers import Headers as TwistedHeaders

from distributor.web.exchange import phrase
from distributor.web.headers import SERVER, Headers

_SERVER = SERVER.encode("ascii")


@lru_cache(maxsize=256)
def _spelt(name: str) -> bytes:
    """
    A field's name as Twisted writes it.
    """
    headers = TwistedHeaders()
    headers.addRawHeader(name.encode("ascii"), b"")
    [(written, _)] = headers.getAllRawHeaders()
    return written


def status_line(version: bytes, status: int) -> bytes:
    """
    @param version: C{b"1.1"}, or what the client speaks.
    """
    return b"HTTP/%b %d %b\r\n" % (version, status, phrase(status))


def head_fields(
    version: bytes, headers: Headers, date: bytes, *, closes: bool, ended: bool = False
) -> list[tuple[bytes, bytes]]:
    """
    The fields of an answer, in the order in which they come to be in the ordinary way.

    @param headers: as the answer has them.
    @param closes: the client has said that this is its last request.
    @param ended: it is the last that is answered.
    """
    says_so = closes and version == b"1.1"
    fields = [(b"Connection", b"close")] if says_so else []
    fields += ((b"Server", _SERVER), (b"Date", date))
    if ended and not says_so:
        fields.append((b"Connection", b"close"))
    fields += [(_spelt(name), value.encode("ascii")) for name, value in headers]
    return fields
