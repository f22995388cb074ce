"""
Conditional requests: entity tags, and which condition decides (RFC 9110 §13).

Objects have no C{Last-Modified}, so conditions on dates are as if absent (§13.1.3, §13.1.4), and C{If-Range} with a
date is never true (§13.1.5).
"""

from __future__ import annotations

import re
from enum import Enum

from attrs import frozen

# One element of a list, perhaps empty, and the comma or the end after it. Possessive, so that no input backtracks.
_ELEMENT = re.compile(r'[ \t]*+(?:(W/)?("[^\x00-\x20"\x7f]*+")[ \t]*+)?(?:,|\Z)')


@frozen
class EntityTags:
    """
    What C{If-Match} or C{If-None-Match} holds.

    @ivar any: it is C{*}, which every object that exists matches.
    @ivar strong: the strong tags, quotes included.
    @ivar weak: the weak ones, without the C{W/}.
    """

    any: bool = False
    strong: frozenset[str] = frozenset()
    weak: frozenset[str] = frozenset()

    def match_strongly(self, etag: str) -> bool:
        """
        Whether C{etag}, a strong tag, is among these by the strong comparison (RFC 9110 §8.8.3.2).
        """
        return self.any or etag in self.strong

    def match_weakly(self, etag: str) -> bool:
        """
        The same by the weak comparison.
        """
        return self.any or etag in self.strong or etag in self.weak


class Verdict(Enum):
    """
    What the conditions of a request come to.
    """

    GO_ON = "go on"
    NOT_MODIFIED = "not modified"
    FAILED = "failed"


def parse_entity_tags(value: str) -> EntityTags:
    """
    Read C{*} or a list of entity tags; several field lines are joined by commas. A tag may hold commas.

    @return: what it says; a malformed field says nothing, and so matches nothing.
    """
    if value.strip(" \t") == "*":
        return EntityTags(any=True)
    strong: set[str] = set()
    weak: set[str] = set()
    position = 0
    while True:
        element = _ELEMENT.match(value, position)
        if element is None:
            return EntityTags()
        prefix, tag = element.groups()
        if tag is not None:
            (weak if prefix else strong).add(tag)
        position = element.end()
        if not element.group().endswith(","):
            return EntityTags(strong=frozenset(strong), weak=frozenset(weak))


def judge(if_match: EntityTags | None, if_none_match: EntityTags | None, etag: str) -> Verdict:
    """
    Evaluate a GET's or HEAD's conditions in the order of RFC 9110 §13.2.2, for an object that exists.

    @param etag: the object's strong entity tag, quotes included.
    """
    if if_match is not None and not if_match.match_strongly(etag):
        return Verdict.FAILED
    if if_none_match is not None and if_none_match.match_weakly(etag):
        return Verdict.NOT_MODIFIED
    return Verdict.GO_ON


def range_applies(if_range: str | None, etag: str) -> bool:
    """
    Whether C{Range} is to be heeded: C{If-Range} is absent, or is this very tag. Weak tags and dates are other texts.
    """
    return if_range is None or if_range.strip(" \t") == etag
