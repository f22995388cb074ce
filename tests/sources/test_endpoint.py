"""
Tests for L{distributor.sources.endpoint}.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from distributor.sources.endpoint import BadEndpoint, base_url

GOOD = {
    "http://storage.example": "http://storage.example",
    "https://storage.example/": "https://storage.example",
    "https://storage.example//": "https://storage.example",
    "https://storage.example/node/": "https://storage.example/node",
    "https://storage.example/a/b%20c/d": "https://storage.example/a/b%20c/d",
    "HTTPS://Storage.EXAMPLE": "HTTPS://Storage.EXAMPLE",
    "http://storage.example:3333": "http://storage.example:3333",
    "http://storage.example:81/": "http://storage.example:81",
    "http://storage.example:8080/": "http://storage.example:8080",
    "http://storage.example./": "http://storage.example.",
    "http://xn--bcher-kva.example/": "http://xn--bcher-kva.example",
    "http://storage_1.example/": "http://storage_1.example",
    "http://a.1b/": "http://a.1b",
    "http://8.8.8.8:3333/": "http://8.8.8.8:3333",
    "http://[2a00:1450::1]:3333/": "http://[2a00:1450::1]:3333",
    "http://localhost:3333/": "http://localhost:3333",
}

BAD = {
    "the endpoint is not a plain URL": (
        *(" ", "http://storage.example/ ", "http://sto\trage.example", "http://storage.example/\n"),
        *("http://storage.example\\@evil.example/", "http://störage.example/", "http://storage.example/\x00"),
        *("http://storage.example/?query", "http://storage.example/#fragment", "http://storage.example?", "http://a#"),
        "http://" + "a" * 3000,
    ),
    "the endpoint is neither http nor https": (
        *(
            "",
            "nonsense",
            "storage.example",
            "storage.example:3333",
            "//storage.example/",
            "/api/v1",
            "file:///etc/passwd",
        ),
        *("file://localhost/etc/passwd", "ftp://storage.example/", "gopher://storage.example/", "javascript:alert(1)"),
        *("unix:///run/secret", "httpss://storage.example/", "data:text/plain,x", "ws://storage.example/"),
    ),
    "the endpoint has credentials": (
        *("http://user:secret@storage.example/", "http://user@storage.example/", "http://@storage.example/"),
        "http://storage.example:80@127.0.0.1/",
    ),
    "the endpoint has a malformed address": (
        # Loopback, as old parsers read it: decimal, octal, hexadecimal, short, and mixed.
        *("http://2130706433/", "http://0177.0.0.1/", "http://0x7f.0.0.1/", "http://0x7f000001/", "http://127.1/"),
        *("http://0/", "http://017700000001/", "http://127.0.0.01/", "http://127.0.1/", "http://127.0.0.1./"),
        *("http://1.2.3.4.5/", "http://256.1.1.1/", "http://a.0x7f/", "http://a.1/", "http://0x/"),
        *("http://[127.0.0.1]/", "http://[]/", "http://[v1.a]/"),
    ),
    "the endpoint has a zone in its address": ("http://[fe80::1%eth0]/", "http://[fe80::1%25eth0]:3333/"),
    "the endpoint has no usable host": (
        *(
            "http://",
            "http:///path",
            "http://:3333/",
            "https://",
            "http://-a.example/",
            "http://a-.example/",
            "http://a..example/",
        ),
        *("http://.example/", "http://a%20b/", "http://a,b/", "http://a%2eexample/", "http://./"),
        "http://" + ".".join(["a" * 60] * 5) + "/",
    ),
    "the endpoint has a malformed host or port": (
        *("http://[::1", "http://[::1]]/", "http://::1/", "http://a:port/", "http://a:655360/", "http://a:-1/"),
        *("http://a:/", "http://a:+1/", "http://a:8_0/", "http://[::1]a/"),
    ),
    "the endpoint has port 65536": ("http://a:65536/",),
    "the endpoint has port 0": ("http://a:0/", "http://a:00000/"),
    "the endpoint has a malformed path": ("http://storage.example/%zz", "http://storage.example/<a>", "http://a/|"),
}


class BaseUrlTests(SynchronousTestCase):
    """
    Which endpoints are asked at all.
    """

    def refusal(self, endpoint: str, *, trusted: bool = False) -> str | None:
        """
        Why it is not.
        """
        try:
            base_url(endpoint, trusted=trusted)
        except BadEndpoint as error:
            return str(error)
        return None

    def test_good(self) -> None:
        """
        Any http or https URL is, with a slash at its end or without, with a path before the API's or without.
        """
        for endpoint, base in GOOD.items():
            self.assertEqual([base_url(endpoint, trusted=trusted) for trusted in (True, False)], [base, base])

    def test_bad(self) -> None:
        """
        What is none is not, whoever wrote it; nor is what one program may read otherwise than another.
        """
        for reason, endpoints in BAD.items():
            for trusted in (True, False):
                told = {endpoint: self.refusal(endpoint, trusted=trusted) for endpoint in endpoints}
                self.assertEqual(told, dict.fromkeys(endpoints, reason))

    def test_ports_of_other_protocols(self) -> None:
        """
        Only the operator may name a port at which something else usually listens.
        """
        for port in (1, 22, 25, 53, 110, 143, 465, 587, 993, 2049, 6000, 6667, 10080):
            self.assertEqual(self.refusal(f"http://a.example:{port}/"), f"the endpoint has port {port}")
            self.assertIsNone(self.refusal(f"http://a.example:{port}/", trusted=True))
        for port in (80, 81, 443, 1024, 3000, 3333, 6001, 8080, 8443, 65535):
            self.assertIsNone(self.refusal(f"http://a.example:{port}/"))

    @given(st.one_of(st.text(), st.from_regex(r"https?://[^/]{0,20}(/.{0,10})?", fullmatch=True)), st.booleans())
    def test_any_text(self, text: str, trusted: bool) -> None:
        """
        Whatever stands in that field, the answer is a base URL or a refusal.
        """
        if self.refusal(text, trusted=trusted) is None:
            base = base_url(text, trusted=trusted)
            url = urlsplit(f"{base}/api/v1/files/7")
            self.assertTrue(base.isascii() and base.isprintable() and not base.endswith("/"))
            self.assertIn(url.scheme, ("http", "https"))
            self.assertTrue(url.path.endswith("/api/v1/files/7") and url.hostname)
            self.assertEqual((url.query, url.fragment, url.username), ("", "", None))
