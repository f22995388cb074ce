"""
Which endpoints are asked at all: what third parties write into a free text field is not always a base URL.

To what address a host's name leads is looked at when it is connected to, in L{distributor.sources.connections}.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from distributor.model import DistributorError

#: Longer than any in use; in characters.
_LONGEST = 2048

#: Taken apart here, since no two parsers agree on what is odd.
_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<netloc>[^/]*)(?P<path>/.*)?\Z", re.ASCII)
_NETLOC = re.compile(r"(?:\[(?P<address>[^\[\]]*)\]|(?P<host>[^\[\]:]*))(?::(?P<port>[0-9]{1,5}))?\Z", re.ASCII)

#: A path of RFC 3986, with nothing that one parser takes for another thing than the next.
_PATH = re.compile(r"(?:/(?:[\w.~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*)*\Z", re.ASCII)

#: Underscores are no host's, but some resolvers have them.
_NAME = re.compile(
    r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.?\Z"
)

#: What old parsers read as a number, and so as the end of an IPv4 address: decimal, octal or hexadecimal.
_NUMBER = re.compile(r"(?:[0-9]+|0[xX][0-9A-Fa-f]*)\Z")

#: The bad ports of the Fetch standard (https://fetch.spec.whatwg.org/#port-blocking): those of protocols that take a
#: line of HTTP for one of theirs, such as SSH, SMTP or IRC.
_BAD_PORTS = frozenset(
    (
        *(1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95),
        *(101, 102, 103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179),
        *(389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587),
        *(601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061),
        *(6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080),
    )
)

#: Whichever of the two it is that a URL without one means.
_DEFAULT_PORT = 80


class BadEndpoint(DistributorError):
    """
    An endpoint is not one that is asked.
    """


@lru_cache(maxsize=1024)
def base_url(endpoint: str, *, trusted: bool) -> str:
    """
    What the paths of a storage node's API are appended to: without a slash at its end.

    Any port will do, since operators put storage nodes wherever their firewall has a hole, but for those on which
    something else listens that could be made to do harm by what it takes for its own protocol.

    @param trusted: the operator of this node wrote it, who may use whatever port there is.

    @raise BadEndpoint: it is no http or https URL; or it has credentials, a query or a fragment; or its host is neither
        a name nor an IP address in its usual spelling.
    """
    if len(endpoint) > _LONGEST or re.search(r"[^!-~]|[\\?#]", endpoint):
        raise BadEndpoint("the endpoint is not a plain URL")
    url = _URL.match(endpoint)
    if url is None or url["scheme"].lower() not in ("http", "https"):
        raise BadEndpoint("the endpoint is neither http nor https")
    if "@" in url["netloc"]:
        raise BadEndpoint("the endpoint has credentials")
    netloc = _NETLOC.match(url["netloc"])
    if netloc is None:
        raise BadEndpoint("the endpoint has a malformed host or port")
    _check_host(netloc["host"], netloc["address"])
    port = int(netloc["port"] or _DEFAULT_PORT)
    if not 0 < port < 65536 or (port in _BAD_PORTS and not trusted):
        raise BadEndpoint(f"the endpoint has port {port}")
    if not _PATH.match(url["path"] or ""):
        raise BadEndpoint("the endpoint has a malformed path")
    return endpoint.rstrip("/")


def _check_host(host: str | None, address: str | None) -> None:
    """
    @param address: an IPv6 address, that is.
    @raise BadEndpoint: another program could take it for another host.
    """
    try:
        if host is None:
            # With a zone, it would be of one interface of this machine.
            if IPv6Address(address or "").scope_id is not None:
                raise BadEndpoint("the endpoint has a zone in its address")
            return
        if _NUMBER.match(host.rstrip(".").rpartition(".")[2]):
            IPv4Address(host)
            return
    except AddressValueError:
        raise BadEndpoint("the endpoint has a malformed address") from None
    if len(host) > 253 or not _NAME.match(host):
        raise BadEndpoint("the endpoint has no usable host")
