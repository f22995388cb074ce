"""
The short way and the ordinary one, side by side: whatever a client sends, it cannot tell which of them answers.
"""

from __future__ import annotations

import re
from itertools import pairwise

from hypothesis import event, example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from distributor.devnet.faults import Cut, Ending, Fault
from distributor.web.errors import API_STOPPED
from tests.upstream import payload
from tests.web.node_in_memory import ASSET, NodeInMemory

CONTENT = payload(70_000)

#: What differs between two answers of one node: when it was sent, and names that are made up.
_MADE_UP = re.compile(rb"(?<=\r\nDate: )[^\r]+|(?<=\r\nX-Request-Id: )[0-9a-f]{16}(?=\r)|[0-9a-f]{32}")

TARGETS = st.sampled_from(
    [
        *[ASSET] * 8,
        "/api/v1/assets/7",
        "/api/v1/assets/8",
        "/api/v1/asset/8",
        *["/api/v1/asset/9", "/api/v1/asset/10"] * 2,
        "/api/v1/asset/99",
        "/api/v1/asset/07",
        "/api/v1/asset/7/",
        "/api/v1/asset//7",
        "/api/v1/asset/%37",
        "/api/v1/asset/7?download",
        "/api/v1/asset/7?download=a.txt",
        "/api/v1/asset/7#x",
        "/api/v1/asset/",
        "/api/v1/asset/18446744073709551616",
        "http://node/api/v1/asset/7",
        "http://node",
        "/API/v1/asset/7",
        "/healthz",
        "*",
        "",
    ]
)
METHODS = st.sampled_from([*["GET"] * 10, *["HEAD"] * 3, "OPTIONS", "POST", "get", "GE T", ""])
VERSIONS = st.sampled_from(
    [*["HTTP/1.1"] * 10, "HTTP/1.0", "HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "http/1.1", "HTTP/1.1 ", ""]
)

VALUES = {
    "Host": ["node", "node:80", "", "a b", "[::1]:80"],
    "Range": [
        "bytes=0-0",
        "bytes=5-69999",
        "bytes=100-",
        "bytes=-10",
        "bytes=-0",
        "bytes=0-99999999999999999999999",
        "bytes=70000-",
        "bytes=5-4",
        "bytes=0-1,3-4",
        "bytes=0-1,2-4",
        "Bytes=0-1",
        "bytes = 0-1",
        "bytes=",
        "items=0-1",
        "",
    ],
    "If-None-Match": ["*", "$ETAG", "W/$ETAG", '"other", $ETAG', '"other"', "nonsense", ""],
    "If-Match": ["*", "$ETAG", "W/$ETAG", '"other"'],
    "If-Range": ["$ETAG", '"other"', "Sun, 06 Nov 1994 08:49:37 GMT"],
    "X-Request-Id": ["abc-1", "bad id", "", "x" * 65],
    "Connection": ["close", "keep-alive", "Keep-Alive", "Close", "close, x", "x close", "upgrade", ""],
    "Content-Length": ["0", "5", "+5", "5,5", "5 5", "x", "-1", ""],
    "Transfer-Encoding": ["chunked", "identity", "xchunked", "chunked, chunked"],
    "Expect": ["100-continue"],
    "Upgrade": ["h2c"],
    "If-Modified-Since": ["Sun, 06 Nov 1994 08:49:37 GMT"],
    "Accept": ["*/*", ""],
    "Cookie": ["a=b; c", "=", ";"],
    "Sec-Fetch-Mode": ["cors"],
    "X-Unheard-Of": ["1", "\xe4", "a\tb", "a\0b", "a\rb"],
}


@st.composite
def field_lines(draw: st.DrawFn) -> str:
    """
    A field, as people write them, and as they had better not.
    """
    name = draw(st.sampled_from([*VALUES, *["Range", "If-None-Match", "Host"] * 3]))
    value = draw(st.sampled_from(VALUES[name]))
    spelt = draw(st.sampled_from([name, name, name, name.lower(), name.upper(), name.swapcase()]))
    colon = draw(st.sampled_from([": "] * 6 + [":", ":  \t", " : ", "", ":\x0b", ";"]))
    tail = draw(st.sampled_from([""] * 6 + [" ", "\t ", "\r\n folded", "\r\n\tfolded"]))
    return spelt + colon + value + tail


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """
    A request, more or less.
    """
    space = draw(st.sampled_from([" "] * 8 + ["  ", "\t"]))
    first = space.join((draw(METHODS), draw(TARGETS), draw(VERSIONS)))
    lines = [first, *draw(st.lists(field_lines(), max_size=4))]
    end = draw(st.sampled_from(["\r\n"] * 12 + ["\n", "\r"]))
    before = draw(st.sampled_from([""] * 10 + ["\r\n", "\r\n\r\n", "\n", " "]))
    body = draw(st.sampled_from([""] * 10 + ["hello", "5\r\nhello\r\n0\r\n\r\n"]))
    return (before + end.join([*lines, "", ""]) + body).encode("latin-1")


class DifferentialTests(SynchronousTestCase):
    """
    Two nodes that have the same objects: two that are on the disk, one that is passed through, and one on its way, of
    which some has come and no more will. One of the nodes has no short way.
    """

    def setUp(self) -> None:
        self.nodes = [NodeInMemory(self, CONTENT, fast=fast, largest_cached=len(CONTENT)) for fast in (True, False)]
        self.etag = f'"{self.nodes[0].upstream.listing.object.content_hash}"'.encode("ascii")
        for node in self.nodes:
            node.list("8", b"")
            node.list("9", CONTENT + b"x")
            node.list("10", CONTENT[::-1], type="video/mp4")
            node.upstream.nodes[0].faults.by_object["10"] = Fault(cut=Cut(len(CONTENT) // 2, Ending.STALL))
            node.visit().send("/api/v1/asset/10")
            for object_id in "7", "8":
                self.assertTrue(node.ask(f"/api/v1/asset/{object_id}").whole)

    def both(self, chunks: list[bytes]) -> list[tuple[bytes, str | None]]:
        """
        What each node sends to a client that sends C{chunks}, but for what is made up; and how the connection ends.
        """
        said = []
        for node in self.nodes:
            visit = node.visit()
            for chunk in chunks:
                # A connection that has ended takes nothing more, and one that is ending does not read.
                if visit.wire.protocol is not None and not visit.wire.disconnecting and not visit.wire.disconnected:
                    visit.wire.protocol.dataReceived(chunk)
                    node.settle()
            said.append((_MADE_UP.sub(b"...", visit.wire.received), visit.wire.ended))
            visit.lose()
        return said

    def assert_same(self, sent: bytes, cuts: tuple[int, ...] = ()) -> bytes:
        """
        Both nodes answer the same; what they do.
        """
        sent = sent.replace(b"$ETAG", self.etag)
        places = sorted({0, len(sent), *(cut % (len(sent) + 1) for cut in cuts)})
        chunks = [sent[start:stop] for start, stop in pairwise(places)]
        short, ordinary = self.both(chunks)
        self.assertEqual(short[1], ordinary[1], f"{sent!r} in {len(chunks)} pieces")
        if short[0] != ordinary[0]:
            self.fail(f"{sent!r} in {len(chunks)} pieces: {short[0][:3000]!r} is not {ordinary[0][:3000]!r}")
        return short[0]

    @given(st.lists(requests(), min_size=1, max_size=4), st.lists(st.integers(0, 2000), max_size=3))
    @settings(max_examples=400, deadline=None)
    @example([b"GET /api/v1/asset/7 HTTP/1.1\r\nHost: a\r\n\r\n"] * 4, [])
    @example([b"HEAD /api/v1/asset/7 HTTP/1.0\r\n\r\n", b"GET /api/v1/asset/7 HTTP/1.0\r\n\r\n"], [])
    def test_anything(self, several: list[bytes], cuts: list[int]) -> None:
        """
        Requests of all kinds, one after another on one connection, cut anywhere.
        """
        answers = self.assert_same(b"".join(several), tuple(cuts))
        event(f"{answers.count(b'HTTP/1.')} answers")
        event(f"first: {answers[9:12]!r}")

    def test_every_cut(self) -> None:
        """
        Three requests, plain ones and others, cut at each byte.
        """
        plain = b"GET /api/v1/asset/7 HTTP/1.1\r\nhost: a\r\nRange: bytes=1-5\r\n\r\n"
        other = b"GET /api/v1/asset/7?download=a HTTP/1.1\r\nHost: a\r\nX-Request-Id: abc\r\n\r\n"
        for sent in (plain + other + plain, other + b"\r\n" + plain + b"OPTIONS / HTTP/1.1\r\n\r\n" + plain):
            for cut in range(len(sent)):
                answers = self.assert_same(sent, (cut,))
                self.assertGreaterEqual(answers.count(b"HTTP/1.1 20"), 3)

    def test_byte_by_byte(self) -> None:
        """
        The same, each byte on its own.
        """
        sent = b"GET /api/v1/asset/7 HTTP/1.1\r\nHost: a\r\n\r\nHEAD /api/v1/asset/7 HTTP/1.1\r\nHost: a\r\n\r\n"
        answers = self.assert_same(sent, tuple(range(len(sent))))
        self.assertEqual(answers.count(b"HTTP/1.1 200"), 2)

    def test_smuggling(self) -> None:
        """
        What two readers of HTTP could understand differently is refused, or taken as the ordinary way takes it.
        """
        asset = b"GET /api/v1/asset/7 HTTP/1.1\r\nHost: a\r\n"
        hidden = b"GET /api/v1/asset/8 HTTP/1.1\r\nHost: b\r\n\r\n"
        length = b"%d" % len(hidden)
        for fields in (
            b"Content-Length: " + length + b"\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"Transfer-Encoding: chunked\r\nContent-Length: " + length + b"\r\n\r\n0\r\n\r\n",
            b"Transfer-Encoding: xchunked\r\n\r\n",
            b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
            b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
            b"Transfer-Encoding\r\n : chunked\r\n\r\n0\r\n\r\n",
            b"Content-Length: " + length + b"\r\nContent-Length: 0\r\n\r\n",
            b"Content-Length: 0\r\nContent-Length: " + length + b"\r\n\r\n",
            b"Content-Length: " + length + b"," + length + b"\r\n\r\n",
            b"Content-Length: +" + length + b"\r\n\r\n",
            b"Content-Length: 0\r\n\r\n",
            b"Content-Length: " + length + b"\r\n\r\n",
            b"X: y\r\n Content-Length: " + length + b"\r\n\r\n",
            b"X: y\nContent-Length: " + length + b"\r\n\r\n",
            b"X: y\rContent-Length: " + length + b"\r\n\r\n",
            b"X: y\r\nContent-Length: " + length + b"\n\n",
            b"Host: b\r\n\r\n",
            b"Accept: a\r\n\tContent-Length: " + length + b"\r\n\r\n",
            b"Accept: a\nContent-Length: " + length + b"\r\n\r\n",
            b"Accept: a\0\r\n\r\n",
            b"Accept: a\r\r\n\r\n",
        ):
            for cuts in ((), (len(asset),), (len(asset) + len(fields),)):
                self.assert_same(asset + fields + hidden, cuts)

    def test_twice(self) -> None:
        """
        Fields that come twice, and what the end of a connection depends on.
        """
        for version in b"1.0", b"1.1":
            first = b"GET /api/v1/asset/7 HTTP/" + version + b"\r\nHost: a\r\n"
            for fields in (
                b"Connection: close\r\n",
                b"Connection: keep-alive\r\n",
                b"Connection: keep-alive\r\nConnection: close\r\n",
                b"Connection: close\r\nConnection: keep-alive\r\n",
                b"Range: bytes=0-1\r\nRange: bytes=3-4\r\n",
                b"Range: bytes=0-1\r\nrange: bytes=3-4\r\n",
                b"range: bytes=0-1\r\nRange: bytes=3-4\r\n",
                b"Range: bytes=0-1\r\nIf-Range: $ETAG\r\nIf-Range: $ETAG\r\n",
                b'If-None-Match: "a"\r\nIf-None-Match: $ETAG\r\n',
                b'If-Match: "a"\r\nIf-Match: $ETAG\r\n',
                b"X-Request-Id: a\r\nX-Request-Id: b\r\n",
                b"X-Request-Id: 1\r\nRange: bytes=0-1\r\nX-Request-Id: 1\r\n",
            ):
                request = first + fields + b"\r\n"
                self.assert_same(request)
                self.assert_same(request * 3)
                self.assert_same(request.replace(b"GET", b"HEAD"))

    def test_ranges_of_known_heads(self) -> None:
        """
        A head that differs from others in its C{Range} field alone: whether that is heeded depends on them.
        """
        for method in b"GET", b"HEAD":
            for condition in (
                b"",
                b"If-Range: $ETAG\r\n",
                b'If-Range: "other"\r\n',
                b"If-None-Match: $ETAG\r\n",
                b'If-None-Match: "other"\r\n',
                b'If-Match: "other"\r\n',
            ):
                for asked in (b"1-5", b"1-5000000", b"5-1", b"-3", b"9-", b"5000000-", b"-0", b"-"):
                    head = method + b" /api/v1/asset/7 HTTP/1.1\r\nHost: a\r\n" + condition
                    request = (head + b"Range: bytes=" + asked + b"\r\n\r\n").replace(b"$ETAG", self.etag)
                    # Each comes on its own; nothing of the first may be taken for the second.
                    self.assert_same(request * 2, (len(request),))

    def test_inside_another(self) -> None:
        """
        What looks like a request, where the ordinary way is in the middle of one.
        """
        plain = b"GET /api/v1/asset/7 HTTP/1.1\r\nHost: a\r\n\r\n"
        for before in (b"", plain, b"OPTIONS / HTTP/1.1\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nx"):
            for middle in (
                b"GET /healthz HTTP/1.1\r\n",
                b"GET /healthz HTTP/1.1\r\nX-A: b\r\n",
                b"GET /heal",
                b"\r\n",
                b"POST / HTTP/1.1\r\nContent-Length: 60\r\n\r\n",
                b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            ):
                self.assert_same(before + middle + plain * 2, (len(before), len(before + middle)))
                self.assert_same(before + middle + plain * 2, (len(before + middle),))

    def test_limits(self) -> None:
        """
        Heads that are too long, or have too many fields.
        """
        first = b"GET /api/v1/asset/7 HTTP/1.1\r\n"
        for fields in (
            b"Accept: " + b"x" * 9000 + b"\r\n",
            b"Accept: " + b"x" * 20_000 + b"\r\n",
            b"Accept: a\r\n" * 499,
            b"Accept: a\r\n" * 501,
            b"Accept: a\r\n" * 3000,
            b"".join(b"Accept: %d\r\n" % number for number in range(100)),
        ):
            self.assert_same(first + fields + b"\r\n" + first + b"\r\n")
        self.assert_same(b"GET /api/v1/asset/" + b"7" * 20_000 + b" HTTP/1.1\r\n\r\n")

    def test_gate(self) -> None:
        """
        Who is not let in hears so, from either.
        """
        for node in self.nodes:
            node.gate.close(API_STOPPED)
        request = b"GET /api/v1/asset/7 HTTP/1.1\r\nHost: a\r\n\r\n"
        self.assertIn(b"503 Service Unavailable", self.assert_same(request * 2))
        for node in self.nodes:
            node.gate.open()
        self.assertIn(b"200 OK", self.assert_same(request))
