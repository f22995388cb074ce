"""
The C{Range} field: reading it, and what it asks of an object of a known size.
"""

from __future__ import annotations

import re

from attrs import frozen

from distributor.model import ByteRange

#: After merging. A player asks for one range, a PDF reader for a few; more parts than this cost more seeks than they
#: save bytes (RFC 9110 §17.15).
MOST_RANGES = 8

#: Stands for every position that is too long to be one. No size reaches it, as sizes have at most 20 digits.
_BEYOND_ANY_SIZE = 10**20

_OWS = " \t"
# A list element may be empty (RFC 9110 §5.6.1.2), a position is ASCII digits and nothing else (§14.1.1).
_SPEC = re.compile(r"([0-9]*)-([0-9]*)")
# What nearly all clients send; no position is capped.
_ONE = re.compile(r"bytes=([0-9]{1,19})-([0-9]{1,19})")


@frozen
class RangeSpec:
    """
    One C{range-spec} (RFC 9110 §14.1.1), before the size of the object is known.

    @ivar first: the first position; L{None} for a suffix range.
    @ivar last: the last position, inclusive, or L{None} for the end; in a suffix range, how many bytes.
    """

    first: int | None
    last: int | None

    def within(self, size: int) -> ByteRange | None:
        """
        The bytes that this means in an object of C{size} bytes; L{None} where there are none (RFC 9110 §14.1.2).
        """
        if self.first is None:
            start, stop = max(0, size - (self.last or 0)), size
        else:
            start, stop = self.first, size if self.last is None else min(self.last + 1, size)
        return ByteRange(start, stop) if start < stop else None


def parse_range(value: str) -> tuple[RangeSpec, ...] | None:
    """
    Read a C{Range} field, several lines of it joined by commas.

    @return: at least one spec; or L{None} when the field is to be ignored: another unit, or an invalid set of ranges,
        which one invalid range makes of the whole (RFC 9110 §14.2).
    """
    one = _ONE.fullmatch(value)
    if one is not None:
        first, last = int(one[1]), int(one[2])
        return (RangeSpec(first, last),) if first <= last else None
    unit, equals, ranges = value.strip(_OWS).partition("=")
    elements = ranges.split(",")
    # Space may stand round a comma, and none is before the first element.
    spaced = elements[0][:1].isspace() and not elements[0].isspace()
    if not equals or unit.lower() != "bytes" or spaced:
        return None
    specs = []
    for element in elements:
        text = element.strip(_OWS)
        if not text:
            continue
        spec = _parse_spec(text)
        if spec is None:
            return None
        specs.append(spec)
    return tuple(specs) or None


def _parse_spec(text: str) -> RangeSpec | None:
    match = _SPEC.fullmatch(text)
    if match is None:
        return None
    first, last = match.groups()
    if not first:
        return RangeSpec(None, _position(last)) if last else None
    if not last:
        return RangeSpec(_position(first), None)
    if _magnitude(first) > _magnitude(last):
        return None
    return RangeSpec(_position(first), _position(last))


def _magnitude(digits: str) -> tuple[int, str]:
    """
    Orders numbers as numbers without making them, however long they are.
    """
    significant = digits.lstrip("0")
    return len(significant), significant


def _position(digits: str) -> int:
    """
    The number; one that no position can reach is capped, since int() is slow for thousands of digits, then raises.
    """
    significant = digits.lstrip("0")
    return int(significant or "0") if len(significant) <= 20 else _BEYOND_ANY_SIZE


def resolve(specs: tuple[RangeSpec, ...], size: int) -> tuple[ByteRange, ...] | None:
    """
    The bytes that C{specs} ask of an object of C{size} bytes: satisfiable ones only, those that overlap or touch made
    one, so that no byte is sent twice and the whole never exceeds the object. A range that others were merged into
    stands where the first of them stood; else the order is the requested one (both RFC 9110 §15.3.7.2).

    @return: empty when none is satisfiable (416); L{None} when they are more than L{MOST_RANGES}, and the field is to
        be ignored (§14.2 lets a server).
    """
    if len(specs) == 1:
        only = specs[0].within(size)
        return () if only is None else (only,)
    satisfiable = [found for spec in specs if (found := spec.within(size)) is not None]
    if len(satisfiable) < 2:
        return tuple(satisfiable)
    merged: list[tuple[int, int, int]] = []
    for place, wanted in sorted(enumerate(satisfiable), key=lambda item: item[1].start):
        if merged and wanted.start <= merged[-1][2]:
            first_place, start, stop = merged[-1]
            merged[-1] = min(first_place, place), start, max(stop, wanted.stop)
        else:
            merged.append((place, wanted.start, wanted.stop))
    if len(merged) > MOST_RANGES:
        return None
    return tuple(ByteRange(start, stop) for _, start, stop in sorted(merged))
