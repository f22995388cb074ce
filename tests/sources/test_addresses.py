"""
Tests for L{distributor.sources.addresses}.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from distributor.sources.addresses import special_kind

SPECIAL = {
    "unspecified": ("0.0.0.0", "0.255.255.255", "::"),
    "loopback": ("127.0.0.1", "127.255.255.254", "::1"),
    "private": ("10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1"),
    "link-local": ("169.254.169.254", "fe80::1", "febf::1"),
    "shared by a carrier's customers": ("100.64.0.1", "100.127.255.255"),
    "unique local": ("fc00::1", "fd12:3456::1"),
    "site-local": ("fec0::1",),
    "multicast": ("224.0.0.1", "239.255.255.255", "ff02::1"),
    "reserved": ("192.0.0.8", "240.0.0.1", "255.255.255.255", "::2", "100::1", "4000::1"),
    "benchmarking": ("198.18.0.1", "198.19.255.255"),
    "documentation": ("192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"),
    "IPv4-mapped": ("::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:7f00:1"),
    "NAT64": ("64:ff9b::7f00:1", "64:ff9b::8.8.8.8", "64:ff9b:1::1"),
    "6to4": ("192.88.99.1", "2002:7f00:1::", "2002:808:808::1"),
    "reserved for protocols": ("2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2"),
    "of one interface": ("fe80::1%eth0", "fe80::1%1", "::1%lo"),
    "malformed": ("", "localhost", "storage.example", "2130706433", "0177.0.0.1", "127.1", "1.2.3.4.5", "[::1]"),
}

PUBLIC = (
    *("1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.1", "100.63.255.255", "100.128.0.1", "126.255.255.255"),
    *("169.253.255.255", "172.15.255.255", "172.32.0.1", "192.167.255.255", "223.255.255.255"),
    *("2606:4700::1111", "2a00:1450:4001::1", "2001:4860:4860::8888", "2003::1"),
)


class SpecialKindTests(SynchronousTestCase):
    """
    Which addresses are not for everybody to reach, and why.
    """

    def test_special(self) -> None:
        """
        Each kind is told.
        """
        for kind, addresses in SPECIAL.items():
            self.assertEqual({address: special_kind(address) for address in addresses}, dict.fromkeys(addresses, kind))

    def test_public(self) -> None:
        """
        What stands right beside those is reached by everybody.
        """
        self.assertEqual([address for address in PUBLIC if special_kind(address) is not None], [])

    @given(st.one_of(st.ip_addresses(), st.sampled_from([ip_address(address) for address in PUBLIC])))
    def test_not_more_than_the_standard_library(self, address: IPv4Address | IPv6Address) -> None:
        """
        Nothing passes that Python does not take for global, or takes for another kind.
        """
        if special_kind(str(address)) is None:
            self.assertTrue(address.is_global)
            self.assertFalse(address.is_multicast or address.is_reserved or address.is_loopback or address.is_private)

    @given(st.ip_addresses(v=4))
    def test_no_address_within_another(self, address: IPv4Address) -> None:
        """
        No IPv4 address passes in the clothes of an IPv6 address.
        """
        for disguised in (f"::ffff:{address}", f"64:ff9b::{address}", f"::{address}"):
            self.assertIsNotNone(special_kind(disguised), disguised)
        number = int(address)
        self.assertEqual(special_kind(f"2002:{number >> 16:x}:{number & 0xFFFF:x}::1"), "6to4")

    @given(st.text(max_size=50))
    def test_any_text(self, text: str) -> None:
        """
        Whatever a resolver says, there is an answer; and what is no address is none for everybody.
        """
        if special_kind(text) is None:
            self.assertTrue(ip_address(text).is_global)
