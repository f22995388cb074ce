"""
Tests for L{distributor.web.multipart}.
"""

from __future__ import annotations

from email import message_from_bytes
from email.policy import HTTP

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from distributor.model import ByteRange
from distributor.web.multipart import body_length, content_range, multipart_pieces, multipart_type

DATA = bytes(range(128)) * 2

ranges = st.lists(
    st.tuples(st.integers(0, 255), st.integers(1, 256)).filter(lambda ends: ends[0] < ends[1]), min_size=2, max_size=8
)


class MultipartTests(SynchronousTestCase):
    """
    The framing of several ranges.
    """

    def test_octets(self) -> None:
        """
        The body is, octet for octet, what RFC 9110 §14.6 shows.
        """
        self.assertEqual(
            multipart_pieces("B", "video/mp4", (ByteRange(0, 2), ByteRange(7, 8)), 10),
            (
                b"--B\r\nContent-Type: video/mp4\r\nContent-Range: bytes 0-1/10\r\n\r\n",
                ByteRange(0, 2),
                b"\r\n--B\r\nContent-Type: video/mp4\r\nContent-Range: bytes 7-7/10\r\n\r\n",
                ByteRange(7, 8),
                b"\r\n--B--\r\n",
            ),
        )

    def test_unusable_boundary(self) -> None:
        """
        A boundary that would need quotes, or end the line, is refused.
        """
        for boundary in ("", "x" * 71, "a b", 'a"', "a\r\nb", "a\n"):
            self.assertRaises(ValueError, multipart_type, boundary)

    def test_length_of_huge_ranges(self) -> None:
        """
        Ranges may be longer than a file can be.
        """
        self.assertEqual(body_length((b"ab", ByteRange(1, 2**64))), 2**64 + 1)

    @given(ranges)
    def test_a_mail_parser_reads_it(self, ends: list[tuple[int, int]]) -> None:
        """
        Another program's parser finds each range, its type and its place, and nothing else.
        """
        wanted = [ByteRange(start, stop) for start, stop in ends]
        pieces = multipart_pieces("-boundary-", "image/png", wanted, 256)
        body = b"".join(
            piece if isinstance(piece, bytes) else DATA[piece.start : piece.stop].hex().encode() for piece in pieces
        )
        whole = message_from_bytes(f"Content-Type: {multipart_type('-boundary-')}\r\n\r\n".encode() + body, policy=HTTP)
        parts = list(whole.iter_parts())
        self.assertEqual(whole.defects, [])
        self.assertEqual([part["Content-Range"] for part in parts], [content_range(part, 256) for part in wanted])
        self.assertEqual([part["Content-Type"] for part in parts], ["image/png"] * len(wanted))
        self.assertEqual(
            [part.get_payload() for part in parts], [DATA[part.start : part.stop].hex() for part in wanted]
        )
        self.assertEqual(
            body_length(pieces), len(body) - sum(part.stop - part.start for part in wanted)
        )  # Hexadecimal doubles each byte.
