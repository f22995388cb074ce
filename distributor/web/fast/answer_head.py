"""
The head of an answer as Twisted would write it, without its L{Request<twisted.web.http.Request>}.
"""

from __future__ import annotations

from functools import lru_cache

from twisted.web.http_headers import Headers as TwistedHeaders

from distributor.web.exchange import phrase
from distributor.web.headers import SERVER, Headers


@lru_cache(maxsize=256)
def spelt(name: str) -> bytes:
    """
    A field's name as Twisted writes it.
    """
    headers = TwistedHeaders()
    headers.addRawHeader(name.encode("ascii"), b"")
    [(written, _)] = headers.getAllRawHeaders()
    return written


# Most come again and again.
@lru_cache(maxsize=1024)
def _line(name: str, value: str) -> bytes:
    return b"%b: %b\r\n" % (spelt(name), value.encode("ascii"))


def status_line(version: bytes, status: int) -> bytes:
    """
    @param version: C{b"1.1"}, or what the client speaks.
    """
    return b"HTTP/%b %d %b\r\n" % (version, status, phrase(status))


def head_fields(version: bytes, headers: Headers, date: str, *, closes: bool, ended: bool = False) -> Headers:
    """
    The fields of an answer, in the order in which they come to be in the ordinary way.

    @param headers: as the answer has them.
    @param closes: the client has said that this is its last request.
    @param ended: it is the last that is answered.
    """
    server = (("Server", SERVER), ("Date", date))
    if closes and version == b"1.1":
        return (("Connection", "close"), *server, *headers)
    if ended:
        return (*server, ("Connection", "close"), *headers)
    return (*server, *headers)


def head(version: bytes, status: int, fields: Headers) -> bytes:
    """
    All of the head of an answer.
    """
    return b"".join((status_line(version, status), *[_line(name, value) for name, value in fields], b"\r\n"))
