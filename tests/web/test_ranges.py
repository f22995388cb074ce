"""
Tests for L{distributor.web.ranges}.
"""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from distributor.model import ByteRange
from distributor.web.ranges import MOST_RANGES, RangeSpec, parse_range, resolve

# The grammar of RFC 9110 §14.1.1 and §5.6.1.2, written down once more as it stands there.
_ELEMENT = r"(?:[0-9]+-[0-9]*|-[0-9]+)"
_GRAMMAR = re.compile(rf"[Bb][Yy][Tt][Ee][Ss]=({_ELEMENT}?(?:[ \t]*,[ \t]*{_ELEMENT}?)*)")

positions = st.integers(0, 40)
specs = st.one_of(
    st.builds(lambda a, b: RangeSpec(min(a, b), max(a, b)), positions, positions),
    st.builds(lambda a: RangeSpec(a, None), positions),
    st.builds(lambda n: RangeSpec(None, n), positions),
)
sizes = st.integers(0, 32)


def offsets(spec: RangeSpec, size: int) -> set[int]:
    """
    The slow model: the offsets that C{spec} names, one by one.
    """
    if spec.first is None:
        assert spec.last is not None
        return {offset for offset in range(size) if offset >= size - spec.last}
    return {offset for offset in range(size) if spec.first <= offset and (spec.last is None or offset <= spec.last)}


def runs(present: set[int]) -> int:
    """
    How many runs of neighbours C{present} falls into.
    """
    return sum(offset - 1 not in present for offset in present)


def text_of(spec: RangeSpec) -> str:
    """
    C{spec} as a client writes it.
    """
    first, last = ("" if value is None else str(value) for value in (spec.first, spec.last))
    return f"{first}-{last}"


class ParseRangeTests(SynchronousTestCase):
    """
    Reading the field.
    """

    def test_three_forms(self) -> None:
        """
        A range has both ends, or a start, or the length of a suffix.
        """
        self.assertEqual(parse_range("bytes=0-499"), (RangeSpec(0, 499),))
        self.assertEqual(parse_range("bytes=9500-"), (RangeSpec(9500, None),))
        self.assertEqual(parse_range("bytes=-500"), (RangeSpec(None, 500),))

    @given(st.integers(0, 10**25), st.integers(0, 10**25), st.sampled_from(["", "0", "000000000000000000000"]))
    def test_alone(self, first: int, last: int, zeros: str) -> None:
        """
        One range alone, which is read in a way of its own, means the same as in a list.
        """
        text = f"bytes={zeros}{first}-{zeros}{last}"
        self.assertEqual(parse_range(text), parse_range(f"{text},"))

    def test_ignored(self) -> None:
        """
        What the grammar does not allow is ignored whole.
        """
        for value in (
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes= , ",
            "bytes=-",
            "bytes=1",
            "bytes=1_0-",
            "bytes=+1-2",
            "bytes=--1",
            "bytes=1--2",
            "bytes=0x1-0x2",
            "bytes=1.0-2",
            "bytes=1 -2",
            "bytes=1- 2",
            "bytes= 0-1",
            "bytes =0-1",
            "bytes:0-1",
            "bytes=0-1;2-3",
            "bytes=0-1,x",
            "bytes=0-1,5-4",
            "bytes=0-1, bytes=2-3",
            "bytes=\u0661-\u0662",
            "bytes=\uff11-",
            "bytes=\u00b2-",
            "bytes=0-1\u00a0,2-3",
            "bytes=0-1\n",
            "items=0-1",
            "0-1",
            "none",
        ):
            self.assertIsNone(parse_range(value), value)

    def test_first_after_last_makes_the_whole_invalid(self) -> None:
        """
        So says RFC 9110 §14.1.1, and it holds for numbers that are too large to be positions.
        """
        self.assertIsNone(parse_range("bytes=2-1"))
        self.assertIsNone(parse_range(f"bytes={'9' * 30}-{'9' * 29}"))
        self.assertIsNone(parse_range("bytes=10-9"))
        self.assertEqual(parse_range("bytes=0009-10"), (RangeSpec(9, 10),))

    def test_huge_numbers(self) -> None:
        """
        A run of digits that C{int} would refuse is a position beyond every object.
        """
        huge = "9" * 8000
        self.assertEqual(resolve(parse_range(f"bytes={huge}-") or (), 2**64), ())
        self.assertEqual(resolve(parse_range(f"bytes=5-{huge}") or (), 10), (ByteRange(5, 10),))
        self.assertEqual(resolve(parse_range(f"bytes=-{huge}") or (), 10), (ByteRange(0, 10),))
        self.assertEqual(parse_range(f"bytes={'0' * 8000}7-"), (RangeSpec(7, None),))

    @given(
        st.lists(st.one_of(st.none(), specs), min_size=1, max_size=6),
        st.lists(st.sampled_from(["", " ", "\t", " \t "]), min_size=14, max_size=14),
        st.sampled_from(["bytes", "Bytes", "BYTES"]),
    )
    def test_lists(self, elements: list[RangeSpec | None], spaces: list[str], unit: str) -> None:
        """
        Space round commas, empty elements, and the case of the unit make no difference.
        """
        written = ["" if spec is None else text_of(spec) for spec in elements]
        value = f"{unit}={written[0]}"
        for index, text in enumerate(written[1:]):
            value += f"{spaces[2 * index]},{spaces[2 * index + 1]}{text}"
        wanted = tuple(spec for spec in elements if spec is not None)
        self.assertEqual(parse_range(f"{spaces[12]}{value}{spaces[13]}"), wanted or None)

    @given(st.builds(str.__add__, st.just("bytes="), st.text("0123456789-, \t+_x", max_size=14)))
    @example("bytes= ,0-1")
    @example("bytes=0-1 ,")
    def test_grammar(self, value: str) -> None:
        """
        Exactly what the grammar derives, and is a valid list, is read.
        """
        derived = _GRAMMAR.fullmatch(value.strip(" \t"))
        elements = re.findall(_ELEMENT, derived.group(1)) if derived else []
        valid = all(
            int(first) <= int(last) for first, last in (element.split("-") for element in elements) if first and last
        )
        parsed = parse_range(value)
        if elements and valid:
            self.assertEqual(len(parsed or ()), len(elements))
        else:
            self.assertIsNone(parsed)

    @given(st.text(max_size=40))
    def test_never_raises(self, value: str) -> None:
        """
        No text makes it fail.
        """
        parse_range(value)
        parse_range(f"bytes={value}")


class ResolveTests(SynchronousTestCase):
    """
    What is asked of an object of a known size.
    """

    def test_suffix_longer_than_the_object(self) -> None:
        """
        It is all of it.
        """
        self.assertEqual(resolve((RangeSpec(None, 999999),), 10), (ByteRange(0, 10),))

    def test_unsatisfiable(self) -> None:
        """
        Nothing begins at or beyond the end, an empty suffix is nothing, and so is all of nothing.
        """
        self.assertEqual(resolve((RangeSpec(10, None),), 10), ())
        self.assertEqual(resolve((RangeSpec(None, 0),), 10), ())
        for spec in (RangeSpec(0, None), RangeSpec(0, 0), RangeSpec(None, 5)):
            self.assertEqual(resolve((spec,), 0), ())

    def test_unsatisfiable_ones_are_left_out(self) -> None:
        """
        One satisfiable range among others is enough.
        """
        self.assertEqual(resolve((RangeSpec(50, 60), RangeSpec(2, 3)), 10), (ByteRange(2, 4),))

    def test_requested_order(self) -> None:
        """
        Ranges that stay apart are sent in the order in which they were asked for.
        """
        asked = (RangeSpec(8, 8), RangeSpec(0, 0), RangeSpec(4, 4))
        self.assertEqual(resolve(asked, 10), (ByteRange(8, 9), ByteRange(0, 1), ByteRange(4, 5)))

    def test_merged_range_stands_first(self) -> None:
        """
        A merged range stands where the first of those it was made from stood.
        """
        asked = (RangeSpec(8, 8), RangeSpec(2, 3), RangeSpec(5, 5), RangeSpec(9, 9), RangeSpec(0, 1))
        self.assertEqual(resolve(asked, 10), (ByteRange(8, 10), ByteRange(0, 4), ByteRange(5, 6)))

    def test_too_many(self) -> None:
        """
        More than eight that stay apart are no answer, which is not the same as an empty one; eight are.
        """
        apart = tuple(RangeSpec(2 * index, 2 * index) for index in range(MOST_RANGES + 1))
        self.assertIsNone(resolve(apart, 100))
        self.assertEqual(len(resolve(apart[1:], 100) or ()), 8)
        # Two steps wide, and they touch.
        self.assertEqual(resolve(tuple(RangeSpec(2 * n, 2 * n + 1) for n in range(1000)), 1500), (ByteRange(0, 1500),))

    @given(st.lists(specs, min_size=1, max_size=14), sizes)
    def test_against_sets_of_offsets(self, asked: list[RangeSpec], size: int) -> None:
        """
        The bytes sent are those asked for, each once, in no more ranges than need be, ordered by who asked first.
        """
        wanted: set[int] = set().union(*(offsets(spec, size) for spec in asked))
        resolved = resolve(tuple(asked), size)
        if runs(wanted) > MOST_RANGES:
            self.assertIsNone(resolved)
            return
        assert resolved is not None
        sent = [offset for part in resolved for offset in range(part.start, part.stop)]
        self.assertEqual(sorted(sent), sorted(wanted))
        self.assertEqual(len(resolved), runs(wanted))
        first_asked = [
            min(
                index
                for index, spec in enumerate(asked)
                if part.start in offsets(spec, size) or _within(spec, part, size)
            )
            for part in resolved
        ]
        self.assertEqual(first_asked, sorted(first_asked))


def _within(spec: RangeSpec, part: ByteRange, size: int) -> bool:
    named = offsets(spec, size)
    return bool(named) and named <= set(range(part.start, part.stop))
