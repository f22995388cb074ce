"""
Which addresses may be connected to on the word of a third party.

After the IANA special-purpose address registries (RFC 6890 and its updates): what is not for everybody to reach is not
for a storage node either, or a distributor could be made to ask its own machine, or its operator's network.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

_SPECIAL = {
    ip_network(block): kind
    for block, kind in {
        "0.0.0.0/8": "unspecified",
        "10.0.0.0/8": "private",
        "100.64.0.0/10": "shared by a carrier's customers",
        "127.0.0.0/8": "loopback",
        "169.254.0.0/16": "link-local",
        "172.16.0.0/12": "private",
        "192.0.0.0/24": "reserved",
        "192.0.2.0/24": "documentation",
        "192.88.99.0/24": "6to4",
        "192.168.0.0/16": "private",
        "198.18.0.0/15": "benchmarking",
        "198.51.100.0/24": "documentation",
        "203.0.113.0/24": "documentation",
        "224.0.0.0/4": "multicast",
        "240.0.0.0/4": "reserved",
        "::/128": "unspecified",
        "::1/128": "loopback",
        # What follows carries an IPv4 address in it, which need not be one for everybody.
        "::ffff:0:0/96": "IPv4-mapped",
        "64:ff9b::/96": "NAT64",
        "64:ff9b:1::/48": "NAT64",
        "2002::/16": "6to4",
        # Teredo is in it.
        "2001::/23": "reserved for protocols",
        "2001:db8::/32": "documentation",
        "3fff::/20": "documentation",
        "fc00::/7": "unique local",
        "fe80::/10": "link-local",
        "fec0::/10": "site-local",
        "ff00::/8": "multicast",
    }.items()
}

#: All that has been given out for everybody to reach so far.
_GLOBAL_UNICAST = ip_network("2000::/3")


def special_kind(address: str) -> str | None:
    """
    What kind of special address C{address} is; L{None} for one that everybody can reach.

    @param address: an IP address as text, as a resolver or a socket gives it.
    """
    if "%" in address:
        return "of one interface"
    try:
        parsed: IPv4Address | IPv6Address = ip_address(address)
    except ValueError:
        return "malformed"
    for block, kind in _SPECIAL.items():
        if parsed in block:
            return kind
    if isinstance(parsed, IPv6Address) and parsed not in _GLOBAL_UNICAST:
        return "reserved"
    return None
