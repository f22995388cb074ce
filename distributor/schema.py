"""
Checks of plain values against a table of keys: each key is stated once, with what it may be, and every complaint names
the path of the key and what was expected there.

What L{distributor.document} reads comes in; the configuration and the manifest are told what they may contain in this
way. Pure; imports of the project: L{distributor.document} only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Generic, TypeVar

from attrs import define, field, frozen

from distributor.document import quoted

T = TypeVar("T")

#: Where a value is: the keys and the positions that lead to it.
At = tuple[str | int, ...]

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z", re.ASCII)

# Files and SQLite count in signed 64-bit integers.
_MAX_INTEGER = 2**63 - 1
# A file can be wrong in 200,000 places; nobody reads more than a screen.
_SHOWN = 20


def written(at: At) -> str:
    """
    A path as messages show it: C{objects."7".storedBy[0]}.
    """
    text = ""
    for step in at:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += ("." if text else "") + (step if _PLAIN_KEY.match(step) else quoted(step))
    return text


@define
class Problems:
    """
    What is wrong with one file; the one value here that changes.

    @ivar origin: what the messages call the file.
    """

    origin: str
    count: int = 0
    _lines: list[str] = field(factory=list)

    def add(self, at: At, problem: str) -> None:
        self.count += 1
        if self.count <= _SHOWN:
            path = f"{written(at)}: " if at else ""
            self._lines.append(f"{self.origin}: {path}{problem}")

    def lines(self) -> list[str]:
        """
        One line for each problem, those that are too many counted in a last one.
        """
        more = [f"{self.origin}: and {self.count - _SHOWN} more"] if self.count > _SHOWN else []
        return self._lines + more

    def raise_any(self, error: Callable[[str], Exception]) -> None:
        """
        Raise C{error} with one line for each problem, if there is any.
        """
        if self.count:
            raise error("\n".join(self.lines()))


class Unfit(Exception):
    """
    A value is not of a kind.

    @ivar expected: what would be; it follows C{must be}.
    @ivar at: where inside the value.
    """

    def __init__(self, expected: str, at: At = ()) -> None:
        super().__init__(expected)
        self.expected = expected
        self.at = at


@frozen
class Kind(Generic[T]):
    """
    What a value may be.

    @ivar expected: in words, following C{must be}.
    @ivar read: the checked value, or L{Unfit}.
    """

    expected: str
    read: Callable[[object], T]


def integer(minimum: int, maximum: int = _MAX_INTEGER) -> Kind[int]:
    """
    An integer, both bounds included; booleans and numbers such as C{1e3} are none.
    """
    if maximum < _MAX_INTEGER:
        expected = f"an integer from {minimum} to {maximum}"
    elif minimum == 0:
        expected = "a non-negative integer"
    else:
        expected = f"an integer, at least {minimum}"

    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
            raise Unfit(expected)
        if value > maximum:
            raise Unfit(expected if maximum < _MAX_INTEGER else "an integer that fits in 64 bits")
        return value

    return Kind(expected, read)


def boolean() -> Kind[bool]:
    """
    C{true} or C{false}; nothing that merely looks like it.
    """

    def read(value: object) -> bool:
        if not isinstance(value, bool):
            raise Unfit("true or false")
        return value

    return Kind("true or false", read)


def text(expected: str = "text") -> Kind[str]:
    """
    One line of text, not empty: it goes into logs, headers and file names.
    """

    def read(value: object) -> str:
        if isinstance(value, (int, float)):
            raise Unfit(f"{expected}: put it in quotes")
        if not isinstance(value, str) or not value or not value.isprintable():
            raise Unfit(f"{expected}, on one line and not empty")
        return value

    return Kind(expected, read)


def choice(*words: str) -> Kind[str]:
    """
    One of some words, as they are written.
    """
    expected = f"one of {', '.join(words)}"

    def read(value: object) -> str:
        if not isinstance(value, str) or value not in words:
            raise Unfit(expected)
        return value

    return Kind(expected, read)


def identifier() -> Kind[str | int]:
    """
    A name that the chain gives, such as C{"0:1"}, or a plain non-negative integer; returned as it is written.
    """
    expected = "text or a non-negative integer"
    words, numbers = text(expected), integer(0)

    def read(value: object) -> str | int:
        if isinstance(value, str):
            return words.read(value)
        try:
            return numbers.read(value)
        except Unfit:
            raise Unfit(expected) from None

    return Kind(expected, read)


def list_of(kind: Kind[T], expected: str) -> Kind[tuple[T, ...]]:
    """
    A list, maybe empty, all of whose items are of one kind.
    """

    def read(value: object) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise Unfit(expected)
        items = []
        for position, item in enumerate(value):
            try:
                items.append(kind.read(item))
            except Unfit as unfit:
                raise Unfit(unfit.expected, (position, *unfit.at)) from None
        return tuple(items)

    return Kind(expected, read)


def raw_list(expected: str) -> Kind[list[object]]:
    """
    A list whose items are checked by whoever asked.
    """

    def read(value: object) -> list[object]:
        if not isinstance(value, list):
            raise Unfit(expected)
        return value

    return Kind(expected, read)


def raw_mapping(expected: str) -> Kind[dict[str, object]]:
    """
    A mapping whose keys and values are checked by whoever asked.
    """

    def read(value: object) -> dict[str, object]:
        if not isinstance(value, dict):
            raise Unfit(expected)
        return value

    return Kind(expected, read)


@frozen
class Key:
    """
    One key that a file may have.

    @ivar path: with dots; all but the last part name mappings.
    @ivar default: as one would write it in the file; L{None} is none.
    @ivar meaning: for the documentation.
    """

    path: str
    kind: Kind[Any]
    meaning: str = ""
    default: object = None
    required: bool = False


class Schema:
    """
    All the keys that a mapping may have, nested mappings included. A key without a value (C{null}) counts as absent.
    """

    def __init__(self, *keys: Key, short: Mapping[str, str] | None = None) -> None:
        """
        @param short: nested mappings in whose place a plain value may stand, and the key in them that it then is.
        """
        self.keys: Mapping[str, Key] = {key.path: key for key in keys}
        #: The values of a mapping with nothing in it, required or not.
        self.defaults: dict[str, Any] = {
            key.path: None if key.default is None else key.kind.read(key.default) for key in keys
        }
        self._required = tuple(key for key in keys if key.required)
        self._short = {} if short is None else short
        # Of each mapping, by its path with a dot at the end: the names in it, in the order of the table.
        self._levels: dict[str, dict[str, None]] = {}
        for key in keys:
            level = ""
            for name in key.path.split("."):
                self._levels.setdefault(level, {})[name] = None
                level += name + "."

    def read(self, value: object, at: At, problems: Problems) -> dict[str, Any] | None:
        """
        Check a mapping, and give its values by the paths of the table, defaults filled in.

        @param at: where the mapping is, for the messages.
        @return: L{None} where a problem was added.
        """
        before = problems.count
        found = self.given(value, at, problems)
        for key in self._required:
            if isinstance(value, dict) and key.path not in found:
                problems.add((*at, *key.path.split(".")), f"is required, and must be {key.kind.expected}")
        if problems.count > before:
            return None
        return self.defaults | found

    def given(self, value: object, at: At, problems: Problems, section: str = "") -> dict[str, Any]:
        """
        Check a mapping, and give what is in it, by the paths of the table: nothing is filled in, nothing required. The
        value of a key is L{None} where a problem was added.

        @param section: the path of the nested mapping that C{value} is.
        """
        found: dict[str, Any] = {}
        if section:
            self._read_section(section, value, at, found, problems)
        else:
            self._read_level("", value, at, found, problems)
        return found

    def _read_section(self, path: str, value: object, at: At, found: dict[str, Any], problems: Problems) -> None:
        if path in self._short and not isinstance(value, (dict, list)):
            self._read_key(self._short[path], value, at, found, problems)
        else:
            self._read_level(path + ".", value, at, found, problems)

    def _read_level(self, level: str, value: object, at: At, found: dict[str, Any], problems: Problems) -> None:
        names = self._levels[level]
        if not isinstance(value, dict):
            problems.add(at, f"must be a mapping with the keys {', '.join(names)}")
            return
        for name, item in value.items():
            path = level + name
            if name not in names:
                problems.add((*at, name), self._unknown(level, name))
            elif item is None:
                pass
            elif path in self.keys:
                self._read_key(path, item, (*at, name), found, problems)
            else:
                self._read_section(path, item, (*at, name), found, problems)

    def _read_key(self, path: str, value: object, at: At, found: dict[str, Any], problems: Problems) -> None:
        try:
            found[path] = self.keys[path].kind.read(value)
        except Unfit as unfit:
            problems.add((*at, *unfit.at), f"must be {unfit.expected}")
            found[path] = None

    def _unknown(self, level: str, name: str) -> str:
        names = self._levels[level]
        beside = {name: level + name for name in names}
        below = {part: path for path in self.keys for part in (path, path.rpartition(".")[2])}
        nearby = (below,) if "." in name else (beside, below)
        guess = next(filter(None, (_nearest(name, known) for known in nearby)), None)
        if guess is not None:
            return f"unknown key, did you mean {guess}?"
        return f"unknown key; known here: {', '.join(names)}"


def _nearest(name: str, known: Mapping[str, str]) -> str | None:
    """
    What C{known} says of the key most like C{name}: neither capitals nor the way that words are joined count.
    """
    plain = {_plain(key): value for key, value in known.items()}
    close: Iterable[str] = get_close_matches(_plain(name), plain, 1)
    return next((plain[match] for match in close), None)


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")
