"""
Tests for L{distributor.web.forwarded}.
"""

from __future__ import annotations

from ipaddress import ip_network

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from distributor.web.forwarded import Proxies, client_address

LOOPBACK = [ip_network("127.0.0.0/8"), ip_network("::1/128")]
PROXIES = [*LOOPBACK, ip_network("10.0.0.0/24")]
VIEWER = "203.0.113.7"


class ClientAddressTests(SynchronousTestCase):
    """
    Whose request it is.
    """

    @given(st.sampled_from([VIEWER, "2001:db8::7"]), st.text())
    def test_a_stranger_is_not_believed(self, peer: str, written: str) -> None:
        """
        Whoever is no proxy of ours is the client, whatever it writes.
        """
        self.assertEqual(client_address(peer, written, PROXIES), peer)

    def test_one_proxy(self) -> None:
        """
        Whom our proxy saw is the client; what stands before that is what the client wrote.
        """
        self.assertEqual(client_address("127.0.0.1", VIEWER, LOOPBACK), VIEWER)
        self.assertEqual(client_address("127.0.0.1", f"8.8.8.8, {VIEWER}", LOOPBACK), VIEWER)
        self.assertEqual(client_address("::ffff:127.0.0.1", f"nonsense,{VIEWER}", LOOPBACK), VIEWER)

    def test_two_proxies(self) -> None:
        """
        One of ours behind another: the client is whom the outer one saw.
        """
        self.assertEqual(client_address("127.0.0.1", f"8.8.8.8, {VIEWER}, 10.0.0.9", PROXIES), VIEWER)

    def test_all_ours(self) -> None:
        """
        A request of our own machines comes from the first of them.
        """
        self.assertEqual(client_address("127.0.0.1", "10.0.0.3, 10.0.0.9", PROXIES), "10.0.0.3")

    def test_nothing_said(self) -> None:
        """
        A proxy that says nothing, or nonsense, stands for its clients.
        """
        for written in (None, "", "unknown", "_hidden", ",", "127.0.0.1:x, 1.2.3"):
            self.assertEqual(client_address("127.0.0.1", written, LOOPBACK), "127.0.0.1")

    def test_unix_socket(self) -> None:
        """
        Behind a UNIX socket is a proxy.
        """
        self.assertEqual(client_address(None, f"8.8.8.8, {VIEWER}", LOOPBACK), VIEWER)
        self.assertIsNone(client_address(None, None, LOOPBACK))

    def test_spellings(self) -> None:
        """
        With a port, in brackets, or as an IPv6 address that means an IPv4 one.
        """
        for written, meant in (
            (f"{VIEWER}:4711", VIEWER),
            ("[2001:db8::7]:4711", "2001:db8::7"),
            ("2001:DB8:0::7", "2001:db8::7"),
            (f"::ffff:{VIEWER}", VIEWER),
            (f"  {VIEWER}  ", VIEWER),
        ):
            self.assertEqual(client_address("127.0.0.1", written, LOOPBACK), meant)


class ProxiesTests(SynchronousTestCase):
    """
    What the log has.
    """

    def test_client(self) -> None:
        """
        Whom a proxy of ours saw; else whoever has connected.
        """
        proxies = Proxies(["127.0.0.1", "10.0.0.0/8"])
        for peer, written, meant in (
            ("127.0.0.1", VIEWER, VIEWER),
            ("127.0.0.1", None, "127.0.0.1"),
            ("127.0.0.2", VIEWER, "127.0.0.2"),
            ("-", VIEWER, VIEWER),
            ("-", "nonsense", "-"),
            ("-", None, "-"),
        ):
            self.assertEqual(proxies.client(peer, written), meant)
