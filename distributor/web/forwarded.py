"""
Who a client is, behind reverse proxies.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network


class Proxies:
    """
    The reverse proxies before the node.
    """

    def __init__(self, networks: Iterable[str]) -> None:
        """
        @param networks: theirs: C{10.0.0.0/8}, or single addresses.
        """
        self._networks = tuple(ip_network(each) for each in networks)

    def client(self, peer: str, forwarded_for: str | None) -> str:
        """
        The client's address, for people.

        @param peer: who has connected; C{-} for a UNIX socket.
        """
        if forwarded_for is None:
            return peer
        return client_address(None if peer == "-" else peer, forwarded_for, self._networks) or peer


def client_address(peer: str | None, forwarded_for: str | None, proxies: Sequence[Network]) -> str | None:
    """
    The address of the client: each proxy appends to C{X-Forwarded-For} whom it saw, and is believed as far as it is one
    of ours; what the client itself wrote there stands before that, and is not looked at.

    @param peer: who has connected; L{None} for a UNIX socket, behind which only a proxy of ours can be.
    @param forwarded_for: the field, its lines joined by commas.
    @param proxies: the networks of our proxies.
    @return: as people write it; L{None} where nobody has said.
    """
    believed: IPv4Address | IPv6Address | None = None
    if peer is not None:
        believed = _address(peer)
        if believed is None or not _is_ours(believed, proxies):
            return peer
    for hop in reversed((forwarded_for or "").split(",")):
        address = _address(hop)
        if address is None:
            break
        believed = address
        if not _is_ours(address, proxies):
            break
    return None if believed is None else str(believed)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """
    What a proxy writes: an address, maybe with a port, an IPv6 one then in brackets.
    """
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _is_ours(address: IPv4Address | IPv6Address, proxies: Sequence[Network]) -> bool:
    return any(address in network for network in proxies)
