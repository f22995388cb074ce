"""
What values of the configuration may be, besides what L{distributor.schema} offers to everybody.
"""

from __future__ import annotations

import re
from ipaddress import ip_network
from urllib.parse import urlsplit

from distributor.schema import Kind, Unfit, identifier, list_of, text

_UNITS = {"B": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_SIZE = re.compile(r"([0-9]{1,19})([BKMGT])\Z")
# Files and SQLite count bytes in signed 64-bit integers.
_MAX_SIZE = 2**63 - 1


def parse_size(written: str) -> int:
    """
    Read a size as Argus writes it: digits and one of B, K, M, G, T, powers of 1024.

    @return: bytes.
    @raise ValueError: it is not one, or more than files can have.
    """
    match = _SIZE.match(written)
    if match is None or (size := int(match[1]) * _UNITS[match[2]]) > _MAX_SIZE:
        raise ValueError(f"not a size: {written!r}")
    return size


def size(minimum: str | None = None) -> Kind[int]:
    """
    What L{parse_size} reads, the minimum included.
    """
    expected = "a size such as 500M or 20G (units B, K, M, G, T)"
    if minimum is not None:
        expected += f", at least {minimum}"
    least = 0 if minimum is None else parse_size(minimum)

    def read(value: object) -> int:
        try:
            found = parse_size(value) if isinstance(value, str) else -1
        except ValueError:
            raise Unfit(expected) from None
        if found < least:
            raise Unfit(expected)
        return found

    return Kind(expected, read)


def networks() -> Kind[tuple[str, ...]]:
    """
    Networks of IP addresses, as they are written: C{10.0.0.0/8}, or one address.
    """
    expected = "a list of networks such as 10.0.0.0/8"
    words = text(expected)

    def read_one(value: object) -> str:
        written = words.read(value)
        try:
            ip_network(written)
        except ValueError:
            raise Unfit("a network such as 10.0.0.0/8, or an address") from None
        return written

    return list_of(Kind(expected, read_one), expected)


def url() -> Kind[str]:
    """
    Where a query node can be asked over HTTP.
    """
    expected = "an http or https URL"
    words = text(expected)

    def read(value: object) -> str:
        written = words.read(value)
        try:
            parts = urlsplit(written)
            host, _ = parts.hostname, parts.port
        except ValueError:
            raise Unfit(expected) from None
        if parts.scheme not in ("http", "https") or not host or " " in written:
            raise Unfit(expected)
        if parts.username is not None:
            # The HTTP client would not send them, and they would get into logs.
            raise Unfit(f"{expected} without a user name or a password in it")
        return written

    return Kind(expected, read)


def buckets() -> Kind[tuple[str | int, ...] | None]:
    """
    A list of bucket ids, maybe empty; L{None}: C{all}, as the first generation writes it.
    """
    ids = list_of(identifier(), 'a list of bucket ids such as "0:1", or all')

    def read(value: object) -> tuple[str | int, ...] | None:
        return None if value == "all" else ids.read(value)

    return Kind(ids.expected, read)


def chain_key() -> Kind[object]:
    """
    A key of the chain, in whatever form: nothing here reads it.
    """

    def read(value: object) -> object:
        if not isinstance(value, (str, dict)):
            raise Unfit("text or a mapping")
        return value

    return Kind("text or a mapping", read)
