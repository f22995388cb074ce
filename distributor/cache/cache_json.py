"""
The text of C{cache.json}, in which Argus keeps what it knows of its files: read and written piece by piece, without a
file.

It is one JSON object: C{lruCacheGroups}, a list of 24 lists of C{[id, {"sizeKB", "popularity", "lastAccessTime"}]}, and
C{mimeTypeByObjectId}, a list of C{[id, type]}.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterable
from math import inf
from typing import Any

from attrs import frozen

from distributor.model import is_object_id

#: How many lists there are, whatever is in them.
GROUPS = 24

_ENTRIES = "lruCacheGroups"
_TYPES = "mimeTypeByObjectId"

#: The longest value that is waited for, in characters; an entry has less than a hundred.
_LONGEST = 256 * 1024

#: What becomes a header. Argus's C{application/octet-stream} tells nothing that others may not know better.
_TYPE = re.compile(r"[\w.+*-]+/[\w.+*-]+(?:;[ -~]*)?\Z", re.ASCII)
_LONGEST_TYPE = 127
_NO_NEWS = "application/octet-stream"

#: The latest time that is one: in the year 5138, in seconds since 1970.
_END_OF_TIME = 1e11

_decode = json.JSONDecoder().raw_decode
_space = re.compile(r"[\s,]*").match


class Damaged(Exception):
    """The text is not, or no longer, that of a cache.json."""


@frozen(weakref_slot=False)
class Use:
    """
    How a file has been used.

    @ivar size: bytes, a multiple of 1024.
    @ivar hits: how often it was asked for.
    @ivar last_access: seconds since 1970.
    """

    object_id: str
    size: int
    hits: int
    last_access: float


@frozen
class Told:
    """
    What a piece of text tells.

    @ivar types: media types, by id.
    """

    uses: list[Use]
    types: dict[str, str]


class Reader:
    """
    Is given the text in pieces, and tells what each of them brings.

    @ivar skipped: how many entries were not what they should be.
    """

    def __init__(self) -> None:
        self._text = ""
        self._at = 0
        self._final = False
        self._told = Told([], {})
        self.skipped = 0
        self._reading = self._read()
        next(self._reading)

    def feed(self, text: str) -> Told:
        """
        Read on.

        @raise Damaged: it makes no sense from here on. What was told before is right all the same.
        """
        self._text = self._text[self._at :] + text
        self._at = 0
        return self._go_on()

    def end(self) -> Told:
        """
        There is no more.

        @raise Damaged: there should be.
        """
        self._final = True
        return self._go_on()

    def _go_on(self) -> Told:
        self._told = told = Told([], {})
        try:
            next(self._reading, None)
        except Damaged as error:
            # Another feed finds nothing to read.
            self._text, self._at = "", 0
            if not (told.uses or told.types):
                raise
            self._reading = _refuse(error)
        return told

    # A generator that waits for text wherever it has none.

    def _read(self) -> Generator[None, None, None]:
        yield
        if (yield from self._next()) != "{":
            raise Damaged("it does not begin with a brace")
        self._at += 1
        while (yield from self._next()) != "}":
            key = yield from self._value()
            if (yield from self._next()) != ":":
                raise Damaged("a name has no value")
            self._at += 1
            if key == _ENTRIES:
                yield from self._list(2, self._take_use)
            elif key == _TYPES:
                yield from self._list(1, self._take_type)
            else:
                yield from self._value()
        self._at += 1
        while True:
            if self._more_than_space():
                raise Damaged("something follows its end")
            yield

    def _list(self, depth: int, take: Any) -> Generator[None, None, None]:
        """
        A list of values, or one of such lists.
        """
        open_lists = 0
        while True:
            # Not by _next: there may be millions of them.
            if not self._more_than_space():
                self._want_more()
                yield
                continue
            next_one = self._text[self._at]
            if next_one == "[" and open_lists < depth:
                open_lists += 1
                self._at += 1
            elif next_one == "]" and open_lists:
                open_lists -= 1
                self._at += 1
                if not open_lists:
                    return
            elif open_lists:
                value = yield from self._decoded()
                if open_lists < depth or not take(value):
                    self.skipped += 1
            else:
                raise Damaged("a list was expected")

    def _more_than_space(self) -> bool:
        # A comma too many does no harm.
        match = _space(self._text, self._at)
        assert match is not None
        self._at = at = match.end()
        return at < len(self._text)

    def _next(self) -> Generator[None, None, str]:
        """
        The next character that means something; it is not consumed.
        """
        while not self._more_than_space():
            self._want_more()
            yield
        return self._text[self._at]

    def _want_more(self) -> None:
        if self._final:
            raise Damaged("it ends too early")

    def _value(self) -> Generator[None, None, Any]:
        yield from self._next()
        return (yield from self._decoded())

    def _decoded(self) -> Generator[None, None, Any]:
        """
        The value that begins here.
        """
        while True:
            try:
                value, stop = _decode(self._text, self._at)
            except (ValueError, RecursionError) as error:
                if self._final or len(self._text) - self._at > _LONGEST:
                    raise Damaged(f"it is no JSON: {error}") from None
            else:
                # A number might go on.
                if stop < len(self._text) or self._final:
                    self._at = stop
                    return value
            yield

    def _take_use(self, value: Any) -> bool:
        match value:
            case [str(id), {"sizeKB": size, "popularity": hits, "lastAccessTime": at}] if is_object_id(id):
                if _is_number(size, inf) and _is_number(hits, 2**53) and _is_number(at, 1000 * _END_OF_TIME):
                    self._told.uses.append(Use(id, int(min(size, 2**53)) * 1024, int(hits), at / 1000))
                    return True
        return False

    def _take_type(self, value: Any) -> bool:
        match value:
            case [str(id), str(type)] if is_object_id(id) and _TYPE.match(type) and len(type) <= _LONGEST_TYPE:
                if type != _NO_NEWS:
                    self._told.types[id] = type
                return True
        return False


def _is_number(value: Any, most: float) -> bool:
    # NaN is not between anything; true is no number.
    return type(value) in (int, float) and 0 <= value <= most and value != inf


def _refuse(error: Damaged) -> Generator[None, None, None]:
    raise error
    yield


def group_of(size: int, hits: int) -> int:
    """
    Which of the lists an object goes to: the binary logarithm of its size in KiB for each time that it was asked for,
    rounded down, and within 0 and 23. So the objects of one list cost about the same for their use; which is what the
    lists are for, as far as can be seen from outside.

    @param size: bytes.
    """
    return min(GROUPS - 1, max(1, _kib(size) // max(1, hits)).bit_length() - 1)


def _kib(size: int) -> int:
    return -(-size // 1024)


class Writer:
    """
    Makes the text of all, piece by piece: L{uses}, as often as need be and in the order of the groups, L{types}, as
    often as need be, and L{end}.

    The text begins with a line feed, which is nothing to JSON: so the next reader sees whether it was written here.
    """

    #: Argus's own text begins with a brace.
    MARK = "\n"

    def __init__(self) -> None:
        self._group = -1
        self._separator = ""
        self._in_types = False

    def uses(self, uses: Iterable[Use]) -> str:
        """
        @raise ValueError: one belongs to an earlier group.
        """
        pieces = []
        for use in uses:
            group = group_of(use.size, use.hits)
            if group < self._group:
                raise ValueError(f"object {use.object_id} of group {group} comes after group {self._group}")
            pieces.append(self._up_to(group))
            facts = {
                "sizeKB": _kib(use.size),
                "popularity": max(1, use.hits),
                "lastAccessTime": round(use.last_access * 1000),
            }
            pieces.append(self._separator + _encode([use.object_id, facts]))
            self._separator = ","
        return "".join(pieces)

    def _up_to(self, group: int) -> str:
        pieces = []
        while self._group < group:
            pieces.append(f'{self.MARK}{{"{_ENTRIES}":[[' if self._group < 0 else "],[")
            self._group += 1
            self._separator = ""
        return "".join(pieces)

    def types(self, types: Iterable[tuple[str, str]]) -> str:
        """
        @param types: ids and media types.
        """
        pieces = [] if self._in_types else [self._up_to(GROUPS - 1), f']],"{_TYPES}":[']
        if not self._in_types:
            self._in_types = True
            self._separator = ""
        for object_id, type in types:
            pieces.append(self._separator + _encode([object_id, type]))
            self._separator = ","
        return "".join(pieces)

    def end(self) -> str:
        """
        The rest.
        """
        return f"{self.types(())}]}}\n"


_encode = json.JSONEncoder(separators=(",", ":")).encode
