"""
Tests for L{distributor.web.conditions}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from distributor.web.conditions import EntityTags, Verdict, judge, parse_entity_tags, range_applies

ETAG = '"gWabc"'

tags = st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters='"\x7f'), max_size=5)


def of(*strong: str, weak: tuple[str, ...] = ()) -> EntityTags:
    """
    Tags by their opaque parts.
    """
    return EntityTags(strong=frozenset(f'"{tag}"' for tag in strong), weak=frozenset(f'"{tag}"' for tag in weak))


class ParseEntityTagsTests(SynchronousTestCase):
    """
    Reading a list of entity tags.
    """

    def test_forms(self) -> None:
        """
        Strong, weak, empty, and with a comma inside.
        """
        self.assertEqual(parse_entity_tags('"a"'), of("a"))
        self.assertEqual(parse_entity_tags('W/"a"'), of(weak=("a",)))
        self.assertEqual(parse_entity_tags('""'), of(""))
        self.assertEqual(parse_entity_tags('"a,b", W/"c, d",,"e"'), of())
        self.assertEqual(parse_entity_tags('"a,b", W/"c,d",,"e" , '), of("a,b", "e", weak=("c,d",)))

    def test_star(self) -> None:
        """
        A star alone means any; in a list it is malformed.
        """
        self.assertTrue(parse_entity_tags(" * ").any)
        self.assertEqual(parse_entity_tags('*, "a"'), EntityTags())
        self.assertFalse(parse_entity_tags('"*"').any)

    def test_malformed_matches_nothing(self) -> None:
        """
        One malformed element makes the field say nothing.
        """
        for value in (
            "",
            "a",
            '"a',
            'a"',
            '"a" "b"',
            '"a"b',
            'w/"a"',
            'W/ "a"',
            'W/a, "a"',
            '"a"; "b"',
            "'a'",
            '"a\x00"',
            "\n",
        ):
            parsed = parse_entity_tags(value)
            self.assertFalse(parsed.match_strongly('"a"') or parsed.match_weakly('"a"'), value)

    def test_long_nonsense(self) -> None:
        """
        Long fields take one pass, whatever is in them.
        """
        for value in (" " * 50_000 + "x", ", " * 25_000 + "x", '"' * 50_000, 'W/"' * 20_000, '"a" ' * 12_500):
            self.assertEqual(parse_entity_tags(value), EntityTags())

    @given(
        st.lists(st.tuples(st.booleans(), tags), max_size=5),
        st.lists(st.sampled_from([",", " ,", ", ", ",,\t"]), min_size=5),
    )
    def test_lists(self, wanted: list[tuple[bool, str]], commas: list[str]) -> None:
        """
        Every element of a well-formed list is read.
        """
        written = [('W/"' if weak else '"') + tag + '"' for weak, tag in wanted]
        value = "".join(text + comma for text, comma in zip(written, commas, strict=False))
        strong = [tag for weak, tag in wanted if not weak]
        self.assertEqual(parse_entity_tags(value), of(*strong, weak=tuple(tag for weak, tag in wanted if weak)))

    @given(st.text(max_size=30))
    def test_never_raises(self, value: str) -> None:
        """
        No text makes it fail.
        """
        parse_entity_tags(value)


class JudgeTests(SynchronousTestCase):
    """
    Which condition decides.
    """

    def assertJudged(self, verdict: Verdict, if_match: str | None, if_none_match: str | None) -> None:
        """
        Assert what two fields come to.
        """
        read = [None if value is None else parse_entity_tags(value) for value in (if_match, if_none_match)]
        self.assertIs(judge(read[0], read[1], ETAG), verdict, (if_match, if_none_match))

    def test_none(self) -> None:
        """
        Without conditions the request goes on.
        """
        self.assertJudged(Verdict.GO_ON, None, None)

    def test_if_none_match_compares_weakly(self) -> None:
        """
        A weak tag of the same text is the same.
        """
        for value in (ETAG, f"W/{ETAG}", f'"x", {ETAG}', "*"):
            self.assertJudged(Verdict.NOT_MODIFIED, None, value)
        for value in ('"x"', "", "gWabc", '"gwabc"', f"{ETAG} x"):
            self.assertJudged(Verdict.GO_ON, None, value)

    def test_if_match_compares_strongly(self) -> None:
        """
        A weak tag is never the same.
        """
        for value in (ETAG, f'W/"x",{ETAG}', "*"):
            self.assertJudged(Verdict.GO_ON, value, None)
        for value in (f"W/{ETAG}", '"x"', "", "gWabc"):
            self.assertJudged(Verdict.FAILED, value, None)

    def test_if_match_comes_first(self) -> None:
        """
        RFC 9110 §13.2.2: a failed If-Match decides; one that holds leaves it to If-None-Match.
        """
        self.assertJudged(Verdict.FAILED, '"x"', ETAG)
        self.assertJudged(Verdict.NOT_MODIFIED, ETAG, ETAG)
        self.assertJudged(Verdict.GO_ON, ETAG, '"x"')

    def test_if_range(self) -> None:
        """
        Only the strong tag itself lets a range apply; a date never does.
        """
        for value in (None, ETAG, f" {ETAG}\t"):
            self.assertTrue(range_applies(value, ETAG), value)
        for value in (f"W/{ETAG}", '"x"', "*", "", f"{ETAG}, {ETAG}", "Tue, 15 Nov 1994 08:12:31 GMT"):
            self.assertFalse(range_applies(value, ETAG), value)
