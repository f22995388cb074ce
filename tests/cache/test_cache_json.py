"""
Tests for L{distributor.cache.cache_json}.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import pairwise
from math import inf, nan
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from distributor.cache import cache_json
from distributor.cache.cache_json import GROUPS, Damaged, Reader, Told, Use, Writer, group_of

#: As Argus writes it: two objects in two of the lists.
WRITTEN = json.dumps(
    {
        "lruCacheGroups": [
            [["7", {"sizeKB": 10, "popularity": 3, "lastAccessTime": 1_700_000_000_123}]],
            *[[] for _ in range(22)],
            [["8", {"sizeKB": 9.5, "popularity": 1, "lastAccessTime": 1_700_000_000_000}]],
        ],
        "mimeTypeByObjectId": [["7", "video/mp4"], ["9", "text/vtt; charset=utf-8"]],
    },
    separators=(",", ":"),
)
USES = [Use("7", 10 * 1024, 3, 1_700_000_000.123), Use("8", 9 * 1024, 1, 1_700_000_000.0)]
TYPES = {"7": "video/mp4", "9": "text/vtt; charset=utf-8"}

uses = st.builds(
    Use,
    st.integers(0, 2 * 10**19).map(str),
    st.integers(0, 2**40).map(lambda kib: kib * 1024),
    st.integers(1, 2**40),
    st.integers(0, 10**14).map(lambda ms: ms / 1000),
)
types = st.dictionaries(
    st.integers(0, 10**19).map(str), st.sampled_from(["video/mp4", "image/webp", 'text/vtt; a="b\\c"'])
)


def cut(text: str, places: Iterable[int]) -> list[str]:
    """
    C{text} in pieces.
    """
    edges = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[start:stop] for start, stop in pairwise(edges)]


def read(pieces: Iterable[str]) -> tuple[list[Use], dict[str, str], int]:
    """
    What a text tells, and how many entries were skipped.
    """
    reader = Reader()
    told = [reader.feed(piece) for piece in pieces]
    told.append(reader.end())
    types = {object_id: type for one in told for object_id, type in one.types.items()}
    return [use for one in told for use in one.uses], types, reader.skipped


def written(uses: list[Use], types: dict[str, str], batch: int) -> str:
    """
    What a writer makes of them, a few at a time.
    """
    writer = Writer()
    ordered = sorted(uses, key=lambda use: group_of(use.size, use.hits))
    pieces = [writer.uses(ordered[at : at + batch]) for at in range(0, len(ordered), batch)]
    listed = list(types.items())
    pieces += [writer.types(listed[at : at + batch]) for at in range(0, len(listed), batch)]
    return "".join([*pieces, writer.end()])


class ReaderTests(SynchronousTestCase):
    """
    L{Reader}.
    """

    def test_whole(self) -> None:
        """
        What Argus has written is understood.
        """
        self.assertEqual(read([WRITTEN]), (USES, TYPES, 0))

    @given(st.lists(st.integers(0, 2000), max_size=9))
    def test_in_pieces(self, places: list[int]) -> None:
        """
        Wherever it is cut, it says the same.
        """
        self.assertEqual(read(cut(WRITTEN, places)), (USES, TYPES, 0))

    def test_character_by_character(self) -> None:
        """
        However small the pieces are.
        """
        self.assertEqual(read(WRITTEN), (USES, TYPES, 0))

    def test_told_at_once(self) -> None:
        """
        What has come is told before the rest is there, and once.
        """
        reader = Reader()
        end = WRITTEN.index("]]", 30) + 1
        self.assertEqual(reader.feed(WRITTEN[:end]).uses, [])
        self.assertEqual(reader.feed(WRITTEN[end : end + 2]).uses, USES[:1])
        self.assertEqual(reader.feed(WRITTEN[end + 2 :]).uses, USES[1:])
        self.assertEqual(reader.end(), Told([], {}))

    @given(st.sampled_from([None, 1, 4, "\t"]), st.booleans())
    def test_however_it_is_written(self, indent: int | str | None, swapped: bool) -> None:
        """
        Space, the order of the two lists, and others beside them do not matter.
        """
        parsed = {"version": 12, **json.loads(WRITTEN), "more": {"a": [1, "}"]}, "last": 3}
        if swapped:
            parsed = dict(reversed(parsed.items()))
        text = json.dumps(parsed, indent=indent)
        self.assertEqual(read([text]), (USES, TYPES, 0))
        self.assertEqual(read(f" \r\n{text}\n"), (USES, TYPES, 0))

    def test_entries_that_are_wrong(self) -> None:
        """
        Each is skipped and counted, and the others are not.
        """
        good = {"sizeKB": 10, "popularity": 3, "lastAccessTime": 1_700_000_000_123}
        no_numbers: tuple[Any, ...] = (None, "1", -1, True, inf, -inf, nan, [])
        bad: list[Any] = [
            *(["7", {**good, key: value}] for key in good for value in no_numbers),
            *(["7", {other: good[other] for other in good if other != key}] for key in good),
            *([object_id, good] for object_id in (7, None, "", "07", "-1", "../7", "7\n", "٣", "9" * 21)),
            ["7", {**good, "lastAccessTime": 1e15}],
            ["7", good, good], ["7"], [], "7", 7, None, {}, {"7": good},
        ]  # fmt: skip
        bad_types: list[Any] = [
            *(["7", type] for type in (None, 1, "", "video", "video/mp4\r\nX: y", "vidéo/mp4", "a/b c")),
            ["7", "a/" + "b" * 126],
            ["07", "video/mp4"], ["7"], 7, [["7", "video/mp4"]],
        ]  # fmt: skip
        text = json.dumps(
            {
                "lruCacheGroups": [[*bad, ["7", good]], "8", [["8", good]]],
                "mimeTypeByObjectId": [*bad_types, ["7", "a/b"]],
            }
        )
        found, types, skipped = read([text])
        self.assertEqual(([use.object_id for use in found], types), (["7", "8"], {"7": "a/b"}))
        self.assertEqual(skipped, len(bad) + 1 + len(bad_types))

    def test_type_that_tells_nothing(self) -> None:
        """
        Argus's word for a type that it does not know is passed over.
        """
        text = '{"mimeTypeByObjectId":[["7","application/octet-stream"]]}'
        self.assertEqual(read([text]), ([], {}, 0))

    @given(st.integers(0, len(WRITTEN) - 1), st.lists(st.integers(0, 2000), max_size=3))
    def test_truncated(self, length: int, places: list[int]) -> None:
        """
        A text that ends too early is damaged, and tells all that came before.
        """
        reader = Reader()
        told = [reader.feed(piece) for piece in cut(WRITTEN[:length], places)]
        error = None
        try:
            told.append(reader.end())
            # What it has told with its last words; the damage comes after it.
            reader.end()
        except Damaged as damage:
            error = damage
        self.assertIsNotNone(error)
        found = [use for one in told for use in one.uses]
        whole = WRITTEN[:length].count("}]")
        self.assertEqual(found, USES[:whole])

    @given(st.text(max_size=30) | st.text('[]{}",:0 \\ue', max_size=30), st.integers(0, len(WRITTEN)))
    @example("]" * 3, 40)
    @example('"\\ud800"', 0)
    def test_anything(self, text: str, at: int) -> None:
        """
        Whatever stands in it, there is no other error, and what is told is of the right kind.
        """
        try:
            uses, types, _ = read([WRITTEN[:at], text, WRITTEN[at:]])
        except Damaged:
            return
        self.assertTrue(all(type(use) is Use for use in uses) and all(type(each) is str for each in types.values()))

    def test_other_texts(self) -> None:
        """
        What is no object at all, or goes on after its end, is damaged.
        """
        for text in (
            "",
            "null",
            "[]",
            "7",
            '{"a"',
            '{"a":',
            '{"a" 1}',
            "{7:1}x",
            WRITTEN + "x",
            '{"lruCacheGroups":7}',
        ):
            self.assertRaises(Damaged, read, [text])
            self.assertRaises(Damaged, read, text)

    def test_deep_and_long(self) -> None:
        """
        Neither brackets without end nor a value without end are waited for.
        """
        for text in ('{"a":' + "[" * 500_000, '{"lruCacheGroups":[["' + "x" * 500_000, '{"a":1' + "0" * 5000 + ","):
            self.assertRaises(Damaged, read, [text])
        reader = Reader()
        reader.feed('{"lruCacheGroups":[["')
        for _ in range(10):
            try:
                reader.feed("x" * 100_000)
            except Damaged:
                break
        else:
            self.fail("it waits")

    def test_after_the_damage(self) -> None:
        """
        What comes behind damage is not read; what came before it in the same piece is told first.
        """
        reader = Reader()
        end = WRITTEN.index("]]", 30) + 1
        self.assertEqual(reader.feed(WRITTEN[:end] + ",[nonsense" + " " * cache_json._LONGEST).uses, USES[:1])
        self.assertRaises(Damaged, reader.feed, WRITTEN[end:])


class WriterTests(SynchronousTestCase):
    """
    L{Writer}.
    """

    @given(st.lists(uses, max_size=9, unique_by=lambda use: use.object_id), types, st.integers(1, 4))
    def test_round_trip(self, uses: list[Use], types: dict[str, str], batch: int) -> None:
        """
        What is written is read back, and is JSON of the shape that Argus expects.
        """
        text = written(uses, types, batch)
        found, found_types, skipped = read(text)
        self.assertEqual((sorted(found, key=repr), found_types, skipped), (sorted(uses, key=repr), types, 0))
        parsed = json.loads(text)
        self.assertEqual(list(parsed), ["lruCacheGroups", "mimeTypeByObjectId"])
        self.assertEqual(len(parsed["lruCacheGroups"]), GROUPS)
        for number, group in enumerate(parsed["lruCacheGroups"]):
            for object_id, facts in group:
                self.assertIsInstance(object_id, str)
                self.assertEqual(list(map(type, facts.values())), [int, int, int])
                self.assertEqual(group_of(facts["sizeKB"] * 1024, facts["popularity"]), number)

    def test_empty(self) -> None:
        """
        Of no files there are 24 empty lists.
        """
        self.assertEqual(json.loads(written([], {}, 1)), {"lruCacheGroups": [[]] * 24, "mimeTypeByObjectId": []})

    def test_told_apart(self) -> None:
        """
        The text begins as Argus's never does.
        """
        self.assertTrue(written([], {}, 1).startswith(Writer.MARK))

    def test_rounded(self) -> None:
        """
        Sizes are rounded up to KiB; nothing was asked for less than once.
        """
        [group, *_] = json.loads(written([Use("7", 1025, 0, 1.0004)], {}, 1))["lruCacheGroups"][1:]
        self.assertEqual(group, [["7", {"sizeKB": 2, "popularity": 1, "lastAccessTime": 1000}]])

    def test_wrong_order(self) -> None:
        """
        A group that has been written is closed.
        """
        writer = Writer()
        writer.uses([Use("7", 2**20, 1, 1.0)])
        self.assertRaises(ValueError, writer.uses, [Use("8", 1, 1, 1.0)])


class GroupTests(SynchronousTestCase):
    """
    L{group_of}.
    """

    def test_rule(self) -> None:
        """
        The binary logarithm of the KiB for each time that it was asked for, within the lists that there are.
        """
        for kib, hits, group in ((0, 1, 0), (1, 1, 0), (2, 1, 1), (3, 1, 1), (4, 1, 2), (4, 2, 1), (4, 99, 0)):
            self.assertEqual(group_of(kib * 1024, hits), group)
        self.assertEqual([group_of(2**each, 1) for each in (33, 34, 60)], [23, 23, 23])
        self.assertEqual(group_of(1, 0), 0)
