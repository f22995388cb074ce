"""
Tests for L{distributor.web.fast.head}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from distributor.web.fast.head import LONGEST_HEAD, PlainHead, plain_head

FIRST = b"GET /api/v1/asset/7 HTTP/1.1\r\n"
PLAIN = FIRST + b"Host: node\r\n\r\n"


class PlainHeadTests(SynchronousTestCase):
    """
    L{plain_head}.
    """

    def test_whole(self) -> None:
        """
        All that an answer depends on is in it, and how long it is.
        """
        sent = (
            b"HEAD /api/v1/assets/18446744073709551615 HTTP/1.0\r\n"
            b"HOST:node\r\nuser-agent: x\r\nrange:\t bytes=0-1 \r\nIf-none-MATCH: *\r\nX-Request-ID: a\r\n"
            b"connection: CLOSE\r\n\r\n"
        )
        expected = PlainHead(
            "HEAD",
            "/api/v1/assets/18446744073709551615",
            "18446744073709551615",
            {
                "Host": "node",
                "Range": "bytes=0-1",
                "If-None-Match": "*",
                "X-Request-Id": "a",
                "Connection": "CLOSE",
            },
            b"1.0",
            True,
            len(sent),
        )
        self.assertEqual(plain_head(sent), expected)
        self.assertEqual(plain_head(sent + PLAIN), expected)

    def test_browsers(self) -> None:
        """
        What browsers, players and proxies send is plain.
        """
        for fields in (
            b'Connection: keep-alive\r\nsec-ch-ua: "Chromium";v="130"\r\nsec-ch-ua-mobile: ?0\r\n'
            b'User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nsec-ch-ua-platform: "Linux"\r\nAccept: */*\r\n'
            b"Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: video\r\nRange: bytes=0-\r\n"
            b"Referer: https://example.org/\r\nAccept-Encoding: identity;q=1, *;q=0\r\nAccept-Language: en\r\n",
            b"User-Agent: Lavf/60\r\nAccept: */*\r\nRange: bytes=0-\r\nConnection: close\r\nIcy-MetaData: 1\r\n",
            b"User-Agent: curl/8\r\nAccept: */*\r\n",
            b"X-Real-IP: 192.0.2.1\r\nX-Forwarded-For: 192.0.2.1, 192.0.2.2\r\nVia: 1.1 x\r\n",
        ):
            self.assertIsNotNone(plain_head(FIRST + b"Host: node\r\n" + fields + b"\r\n"), fields)

    def test_not_plain(self) -> None:
        """
        What has a body, what one would have to think about, and what is not understood, is not plain.
        """
        for fields in (
            b"Content-Length: 0",
            b"Transfer-Encoding: identity",
            b"Expect: 100-continue",
            b"Upgrade: websocket",
            b"Connection: upgrade",
            b"Connection: close, keep-alive",
            b"Authorization: Bearer x",
            b"X-Unheard-Of: 1",
            b"Sec-WebSocket-Key: x",
            b"Host: node",
            b"Range: bytes=0-1\r\nRange: bytes=0-1",
            b"Accept : x",
            b" Accept: x",
            b"Accept: x\r\n y",
            b"Accept: \xe4",
            b"Accept: \0",
            b"Accept: \x7f",
            b"Accept: a\nb: c",
            b"Accept: a\rb",
            b"Accept",
            b": x",
            b"Accept: " + b"x" * LONGEST_HEAD,
            b"\r\n".join([b"Accept: x"] * 100),
        ):
            self.assertIsNone(plain_head(FIRST + b"Host: node\r\n" + fields + b"\r\n\r\n"), fields)

    def test_first_line(self) -> None:
        """
        Only a canonical id, at exactly the two addresses, asked for in exactly the usual words.
        """
        for first in (
            b"get /api/v1/asset/7 HTTP/1.1",
            b"POST /api/v1/asset/7 HTTP/1.1",
            b"GET  /api/v1/asset/7 HTTP/1.1",
            b"GET\t/api/v1/asset/7 HTTP/1.1",
            b" GET /api/v1/asset/7 HTTP/1.1",
            b"GET /api/v1/asset/7 HTTP/1.1 ",
            b"GET /api/v1/asset/7 HTTP/1.2",
            b"GET /api/v1/asset/7 http/1.1",
            b"GET /api/v1/asset/7",
            b"GET /api/v1/asset/7/ HTTP/1.1",
            b"GET /api/v1/asset/7?a HTTP/1.1",
            b"GET /api/v1/asset/07 HTTP/1.1",
            b"GET /api/v1/asset/+7 HTTP/1.1",
            b"GET /api/v1/asset/\xd9\xa7 HTTP/1.1",
            b"GET /api/v1/asset/ HTTP/1.1",
            b"GET /api/v1/assetss/7 HTTP/1.1",
            b"GET //api/v1/asset/7 HTTP/1.1",
            b"GET http://node/api/v1/asset/7 HTTP/1.1",
            b"GET /api/v1/asset/111111111111111111111 HTTP/1.1",
        ):
            self.assertIsNone(plain_head(first + b"\r\nHost: node\r\n\r\n"), first)

    def test_not_all_there(self) -> None:
        """
        No part of a plain head is one.
        """
        for stop in range(len(PLAIN)):
            self.assertIsNone(plain_head(PLAIN[:stop]))
        self.assertIsNotNone(plain_head(PLAIN))

    @given(st.binary(max_size=40), st.integers(0, len(PLAIN)), st.integers(0, len(PLAIN)))
    def test_damaged(self, put_in: bytes, start: int, stop: int) -> None:
        """
        Whatever becomes of a plain head, it raises nothing, and what is still plain has one method, one id, and an end.
        """
        damaged = PLAIN[:start] + put_in + PLAIN[stop:]
        found = plain_head(damaged)
        if found is not None:
            head = damaged[: found.length]
            self.assertTrue(head.endswith(b"\r\n\r\n"))
            self.assertEqual(head.count(b"\r\n\r\n"), 1)
            self.assertEqual(head.count(b"\n"), head.count(b"\r\n"))
            self.assertEqual(head.count(b"\r"), head.count(b"\r\n"))
            self.assertTrue(head.isascii())
