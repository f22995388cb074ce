"""
Tests for L{distributor.web.answer}.
"""

from __future__ import annotations

import json

from attrs import evolve
from hypothesis import event, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from distributor.model import ByteRange, CacheState, ContentHash
from distributor.web.answer import Answer, Facts, answer, select
from distributor.web.asset_request import AssetRequest, asset_request
from distributor.web.headers import entity_tag

HASH = ContentHash(0x1E, bytes(range(32)))
ETAG = entity_tag(HASH)
FACTS = Facts(100, HASH, CacheState.HIT, False, "video/mp4", collapsed=False, stored=False)
DATE = "Tue, 15 Nov 1994 08:12:31 GMT"


def request(method: str = "GET", **fields: str) -> AssetRequest:
    """
    A request whose fields are given with underscores.
    """
    lines = {name.replace("_", "-").lower(): value for name, value in fields.items()}
    return asset_request(method, "7", lambda name: lines.get(name.lower()), b"", lambda: "new")


def answered(facts: Facts = FACTS, method: str = "GET", **fields: str) -> Answer:
    """
    The answer to L{request}.
    """
    return answer(request(method, **fields), facts, "BOUNDARY")


class SelectTests(SynchronousTestCase):
    """
    The rows of the contract's table.
    """

    def assertSelected(
        self, status: int, *ranges: tuple[int, int], size: int = 100, method: str = "GET", **fields: str
    ) -> None:
        """
        Assert status and bytes of a request.
        """
        selection = select(request(method, **fields), size, ETAG)
        self.assertEqual(
            (selection.status, selection.ranges), (status, tuple(ByteRange(*ends) for ends in ranges)), fields
        )

    def test_whole(self) -> None:
        """
        Without ranges the object is sent whole; an empty one is no bytes.
        """
        self.assertSelected(200, (0, 100))
        self.assertSelected(200, (0, 1), size=1)
        self.assertSelected(200, size=0)

    def test_ranges(self) -> None:
        """
        Satisfiable ranges are 206.
        """
        self.assertSelected(206, (10, 20), Range="bytes=10-19")
        self.assertSelected(206, (90, 100), Range="bytes=90-")
        self.assertSelected(206, (95, 100), Range="bytes=-5")
        self.assertSelected(206, (0, 100), Range="bytes=-999999")
        self.assertSelected(206, (0, 100), Range="bytes=0-")
        self.assertSelected(206, (5, 6), (1, 2), Range="bytes=5-5,1-1")
        self.assertSelected(206, (1, 6), Range="bytes=5-5,1-4")

    def test_ignored(self) -> None:
        """
        A malformed field, another unit, HEAD, and too many ranges are as if no range was asked for.
        """
        self.assertSelected(200, (0, 100), Range="bytes=2-1")
        self.assertSelected(200, (0, 100), Range="lines=1-2")
        self.assertSelected(200, (0, 100), Range="bytes=1-2", method="HEAD")
        self.assertSelected(200, (0, 100), Range="bytes=" + ",".join(f"{2 * n}-{2 * n}" for n in range(9)))
        self.assertSelected(200, (0, 100), Range="bytes=100-", method="HEAD")

    def test_unsatisfiable(self) -> None:
        """
        Ranges of which none has a byte are 416.
        """
        self.assertSelected(416, Range="bytes=100-")
        self.assertSelected(416, Range="bytes=-0, 200-300")
        self.assertSelected(416, Range="bytes=0-", size=0)
        self.assertSelected(416, Range="bytes=-1", size=0)

    def test_conditions_come_before_ranges(self) -> None:
        """
        304 and 412 win over 206 and 416.
        """
        self.assertSelected(304, If_None_Match=ETAG, Range="bytes=0-1")
        self.assertSelected(304, If_None_Match=f"W/{ETAG}", Range="bytes=100-")
        self.assertSelected(412, If_Match='"x"', Range="bytes=100-")
        self.assertSelected(412, If_Match='"x"', If_None_Match=ETAG)
        self.assertSelected(412, If_Match='"x"', method="HEAD")
        self.assertSelected(304, If_None_Match="*", method="HEAD")
        self.assertSelected(206, (0, 2), If_Match=ETAG, Range="bytes=0-1")

    def test_if_range(self) -> None:
        """
        Ranges apply only to the very object that the client has; an If-Range without Range is nothing.
        """
        self.assertSelected(206, (0, 2), If_Range=ETAG, Range="bytes=0-1")
        self.assertSelected(416, If_Range=ETAG, Range="bytes=100-")
        for value in ('"x"', f"W/{ETAG}", DATE):
            self.assertSelected(200, (0, 100), If_Range=value, Range="bytes=0-1")
            self.assertSelected(200, (0, 100), If_Range=value, Range="bytes=100-")
        self.assertSelected(200, (0, 100), If_Range=ETAG)

    def test_dates(self) -> None:
        """
        There is no Last-Modified, so a date is no condition.
        """
        self.assertSelected(200, (0, 100), If_Modified_Since=DATE)
        self.assertSelected(200, (0, 100), If_Unmodified_Since=DATE)


class AnswerTests(SynchronousTestCase):
    """
    Whole answers.
    """

    def test_whole(self) -> None:
        """
        A 200 has its type and length, and no C{Content-Range}.
        """
        whole = answered()
        fields = dict(whole.headers)
        self.assertEqual((whole.status, whole.pieces), (200, (ByteRange(0, 100),)))
        self.assertEqual((fields["Content-Type"], fields["Content-Length"]), ("video/mp4", "100"))
        self.assertNotIn("Content-Range", fields)

    def test_one_range(self) -> None:
        """
        A 206 of one range is plain, says which it is, and otherwise carries what the 200 does.
        """
        part, whole = answered(Range="bytes=10-19,20-29"), answered()
        self.assertEqual(part.pieces, (ByteRange(10, 30),))
        self.assertEqual(
            dict(part.headers), {**dict(whole.headers), "Content-Length": "20", "Content-Range": "bytes 10-29/100"}
        )

    def test_several_ranges(self) -> None:
        """
        A 206 of several is a multipart body, whose C{Content-Range} are in its parts alone (RFC 9110 §15.3.7.2).
        """
        parts = answered(Range="bytes=0-0,-1")
        fields = dict(parts.headers)
        self.assertEqual(fields["Content-Type"], "multipart/byteranges; boundary=BOUNDARY")
        self.assertNotIn("Content-Range", fields)
        self.assertEqual(
            [piece for piece in parts.pieces if isinstance(piece, ByteRange)], [ByteRange(0, 1), ByteRange(99, 100)]
        )
        self.assertIn(b"Content-Type: video/mp4", bytes(parts.pieces[0]) if isinstance(parts.pieces[0], bytes) else b"")

    def test_unsatisfiable(self) -> None:
        """
        A 416 tells the size, in JSON that nobody keeps.
        """
        refused = answered(Range="bytes=100-")
        fields = dict(refused.headers)
        self.assertEqual(fields["Content-Range"], "bytes */100")
        self.assertEqual(fields["Cache-Control"], "no-store")
        self.assertNotIn("ETag", fields)
        [body] = refused.pieces
        assert isinstance(body, bytes)
        self.assertEqual(json.loads(body)["type"], "range_not_satisfiable")

    def test_not_modified(self) -> None:
        """
        A 304 has no body and no length, and the same tag and C{Cache-Control} as a 200.
        """
        unchanged, whole = answered(If_None_Match=ETAG), dict(answered().headers)
        fields = dict(unchanged.headers)
        self.assertEqual((unchanged.status, unchanged.pieces), (304, ()))
        self.assertNotIn("Content-Length", fields)
        for name in ("ETag", "Cache-Control"):
            self.assertEqual(fields[name], whole[name])

    def test_precondition_failed(self) -> None:
        """
        A 412 is an error like others; HEAD gets its headers alone.
        """
        failed, head = answered(If_Match='"x"'), answered(method="HEAD", If_Match='"x"')
        self.assertEqual((failed.status, head.status), (412, 412))
        self.assertEqual(failed.headers, head.headers)
        self.assertEqual((len(failed.pieces), head.pieces), (1, ()))

    def test_tag_does_not_change(self) -> None:
        """
        It is the same in every state.
        """
        tags = {dict(answered(evolve(FACTS, cache=state)).headers)["ETag"] for state in CacheState}
        self.assertEqual(tags, {ETAG})

    def test_boundary_matters_only_to_parts(self) -> None:
        """
        An unusable boundary is refused where it would be used.
        """
        self.assertEqual(answer(request(), FACTS, "").status, 200)
        self.assertRaises(ValueError, answer, request(Range="bytes=0-0,-1"), FACTS, "a\r\nb")


range_fields = st.one_of(
    st.none(),
    st.text(max_size=10),
    st.lists(
        st.one_of(
            st.builds("{}-{}".format, st.integers(0, 120), st.integers(0, 120)),
            st.builds("{}-".format, st.integers(0, 120)),
            st.builds("-{}".format, st.integers(0, 120)),
        ),
        min_size=1,
        max_size=10,
    ).map(lambda items: "bytes=" + ",".join(items)),
)
tag_fields = st.one_of(st.none(), st.sampled_from([ETAG, f"W/{ETAG}", '"x"', "*", DATE]), st.text(max_size=8))
wild = st.text(st.characters(exclude_categories=()), max_size=20)
fields = st.fixed_dictionaries(
    {
        "Range": range_fields,
        "If-Match": st.one_of(st.none(), st.none(), tag_fields),
        "If-None-Match": st.one_of(st.none(), st.none(), tag_fields),
        "If-Range": st.one_of(st.none(), tag_fields),
        "X-Request-Id": st.one_of(st.none(), wild),
    }
)
facts = st.builds(
    Facts,
    size=st.integers(0, 110),
    content_hash=st.just(HASH),
    cache=st.sampled_from(CacheState),
    external=st.booleans(),
    type=st.one_of(wild, st.just("video/mp4"), st.builds('a/b; c="{}"'.format, wild)),
    collapsed=st.booleans(),
    stored=st.booleans(),
    catalogue_s=st.one_of(st.none(), st.floats(0, 1e4)),
    source_s=st.one_of(st.none(), st.floats(0, 1e4)),
)


class AnyAnswerTests(SynchronousTestCase):
    """
    What holds for every request and every object.
    """

    @given(
        fields, facts, st.one_of(st.just(b""), st.just(b"download="), st.binary(max_size=20)), st.binary(max_size=20)
    )
    def test_invariants(self, lines: dict[str, str | None], known: Facts, key: bytes, name: bytes) -> None:
        """
        Lengths and ranges are those of the body, HEAD has GET's headers, and no field can end its line.
        """
        get = asset_request("GET", "7", lines.get, key + name, lambda: "new")
        got = answer(get, known, "BOUNDARY")
        event(f"status {got.status}, pieces {min(len(got.pieces), 2)}")
        told = dict(got.headers)
        self.assertEqual(len(told), len(got.headers))
        for field, value in got.headers:
            self.assertFalse(set(value) & set("\r\n\0"), field)
            value.encode("latin-1")
        sent = sum(
            len(piece) if isinstance(piece, bytes) else len(range(piece.start, piece.stop)) for piece in got.pieces
        )
        if got.status == 304:
            self.assertEqual(got.pieces, ())
        else:
            self.assertEqual(told["Content-Length"], str(sent))
        ranges = [piece for piece in got.pieces if isinstance(piece, ByteRange)]
        self.assertTrue(all(part.stop <= known.size for part in ranges))
        self.assertLessEqual(sum(part.stop - part.start for part in ranges), known.size)
        self.assertTellsRanges(got, ranges, known.size)
        head = answer(asset_request("HEAD", "7", lines.get, key + name, lambda: "new"), known, "BOUNDARY")
        plain = answer(evolve(get, range=None), known, "BOUNDARY")
        self.assertEqual((head.status, head.headers, head.pieces), (plain.status, plain.headers, ()))

    def assertTellsRanges(self, got: Answer, ranges: list[ByteRange], size: int) -> None:
        """
        Assert that C{Content-Range}, of the answer or of its parts, is what is sent.
        """
        told = [f"bytes {part.start}-{part.stop - 1}/{size}" for part in ranges]
        content_range = dict(got.headers).get("Content-Range")
        if got.status == 416:
            self.assertEqual((content_range, ranges), (f"bytes */{size}", []))
        elif got.status == 206 and len(ranges) == 1:
            self.assertEqual((content_range, len(got.pieces)), (told[0], 1))
        elif got.status == 206:
            self.assertIsNone(content_range)
            heads = [piece.decode() for piece in got.pieces if isinstance(piece, bytes)][:-1]
            self.assertEqual([head.partition("Content-Range: ")[2].strip() for head in heads], told)
        else:
            self.assertIsNone(content_range)
