"""
The text of a YAML or JSON file as plain values: what the operator wrote, before anybody asks whether it makes sense.

YAML is read by the core schema of YAML 1.2 (§10.3.2), because Argus reads its files so, and because the YAML 1.1 that
PyYAML's own constructors speak turns the bucket C{0:1} into the number 1 and the word C{off} into a boolean. The
values are C{dict} (its keys always text), C{list}, C{str}, C{int}, C{float}, C{bool} and L{None}.

Nothing here does I/O but L{read_text}; imports of the project: L{distributor.model} only, as it stands beside it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import yaml
from yaml.events import (
    AliasEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from distributor.model import DistributorError

#: Ten times faster than the other; absent where PyYAML was built without libyaml.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# The files have four levels; the bound keeps our own recursion from being driven by the text.
_MAX_DEPTH = 32
# What aliases may stand for in all: 200,000 objects may each name the same few storage nodes, and nine lists of nine
# aliases each, nested nine deep, stop here.
_MAX_ALIASED = 1_000_000

_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]+\Z")
_OTHER_BASE = re.compile(r"0o[0-7]+\Z|0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_SPECIAL_FLOAT = re.compile(r"[-+]?\.(?:inf|Inf|INF)\Z|\.(?:nan|NaN|NAN)\Z")


class DocumentError(DistributorError):
    """The file cannot be read, or is not YAML or JSON. The message is one line, and begins with file and line."""


def read_text(path: Path) -> str:
    """
    Read a whole file as UTF-8, with or without a byte order mark. Blocks.

    @raise DocumentError: there is no such file, it cannot be read, or it is not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DocumentError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise DocumentError(f"{path}: is not UTF-8 text: byte {error.start}") from None


def parse_document(text: str, origin: str) -> object:
    """
    Read one YAML or JSON document.

    Text that begins with C{{} is tried as JSON first, which takes a quarter of the time; a file called C{*.json} is
    never anything else.

    @param origin: what the messages call the file.
    @raise DocumentError: syntax, a key that is given twice, aliases without bound, tags, more than one document.
    """
    if origin.endswith(".json"):
        return _parse_json(text, origin)
    if text.lstrip().startswith("{"):
        try:
            return _parse_json(text, origin)
        except _NotJSON:
            pass  # A flow mapping of YAML begins so too.
    return _YAMLReader(text, origin).document()


class _NotJSON(DocumentError):
    """The syntax is not that of JSON."""


def _parse_json(text: str, origin: str) -> object:
    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        mapping = dict(pairs)
        if len(mapping) != len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise DocumentError(f"{origin}: the key {quoted(twice)} is given twice in one object")
        return mapping

    def not_a_number(name: str) -> NoReturn:
        raise _NotJSON(f"{origin}: {name} is not JSON")

    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=not_a_number)
    except json.JSONDecodeError as error:
        raise _NotJSON(f"{origin}:{error.lineno}: {error.msg}") from None
    except RecursionError:
        raise DocumentError(f"{origin}: is nested too deeply") from None
    except ValueError:
        raise DocumentError(f"{origin}: holds a number with too many digits") from None


def quoted(text: str) -> str:
    """
    C{text} in quotes, on one line, and cut where it is too long to be read.
    """
    return json.dumps(text if len(text) <= 100 else text[:100] + "...")


class _YAMLReader:
    """
    Builds values straight from the parser's events, so that keys keep their text, keys given twice are seen, and
    aliases are counted before anybody walks them.
    """

    def __init__(self, text: str, origin: str) -> None:
        self._text = text
        self._origin = origin
        self._events: Iterator[Any] = iter(yaml.parse(text, Loader=_LOADER))
        # Of each anchor: the value, and how many values it stands for, itself included.
        self._anchors: dict[str, tuple[object, int]] = {}
        self._built = 0
        self._aliased = 0

    def document(self) -> object:
        """
        The one document of the text; L{None} where there is none.
        """
        try:
            next(self._events)  # The start of the stream.
            if isinstance(next(self._events), StreamEndEvent):
                return None
            value = self._value(next(self._events), 0)
            next(self._events)  # The end of the document.
            after = next(self._events)
        except yaml.MarkedYAMLError as error:
            self._refuse(error.problem_mark, ", ".join(filter(None, (error.context, error.problem))))
        except yaml.reader.ReaderError as error:
            self._refuse_character(error)
        except UnicodeEncodeError:
            raise DocumentError(f"{self._origin}: is not Unicode text") from None
        if not isinstance(after, StreamEndEvent):
            self._refuse(after.start_mark, "a second document begins here; only one is expected")
        return value

    def _refuse(self, mark: Any, problem: str) -> NoReturn:
        line = "" if mark is None else f":{mark.line + 1}"
        raise DocumentError(f"{self._origin}{line}: {problem}") from None

    def _refuse_character(self, error: yaml.reader.ReaderError) -> NoReturn:
        # The two parsers count its position differently, and neither gives a line.
        character = error.character if isinstance(error.character, int) else ord(error.character[:1] or b"\0")
        line = self._text.count("\n", 0, max(self._text.find(chr(character)), 0)) + 1
        raise DocumentError(f"{self._origin}:{line}: the character #x{character:04x} is not allowed") from None

    def _value(self, event: Any, depth: int) -> object:
        before = self._built
        self._built += 1
        if isinstance(event, AliasEvent):
            return self._alias(event)
        if depth > _MAX_DEPTH:
            self._refuse(event.start_mark, "is nested too deeply")
        value: object
        if isinstance(event, ScalarEvent):
            value = self._scalar(event)
        else:
            if event.tag not in (None, "!"):
                self._refuse(event.start_mark, f"the tag {quoted(event.tag)} is not supported")
            if isinstance(event, SequenceStartEvent):
                value = self._sequence(depth)
            else:
                assert isinstance(event, MappingStartEvent)
                value = self._mapping(depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, self._built - before)
        return value

    def _alias(self, event: Any) -> object:
        try:
            value, stands_for = self._anchors[event.anchor]
        except KeyError:
            # Anchors are known from the end of their value on, so an alias inside its own anchor ends here too.
            self._refuse(event.start_mark, f"the alias *{event.anchor} stands for nothing that is complete above it")
        self._built += stands_for
        self._aliased += stands_for
        if self._aliased > _MAX_ALIASED:
            self._refuse(event.start_mark, f"the aliases stand for more than {_MAX_ALIASED} values")
        return value

    def _sequence(self, depth: int) -> list[object]:
        items: list[object] = []
        while not isinstance(event := next(self._events), SequenceEndEvent):
            items.append(self._value(event, depth + 1))
        return items

    def _mapping(self, depth: int) -> dict[str, object]:
        mapping: dict[str, object] = {}
        while not isinstance(event := next(self._events), MappingEndEvent):
            if not isinstance(event, ScalarEvent):
                self._refuse(event.start_mark, "a key must be plain text")
            key: str = event.value
            if key in mapping:
                self._refuse(event.start_mark, f"the key {quoted(key)} is given twice")
            if event.anchor is not None:
                self._anchors[event.anchor] = (key, 1)
            mapping[key] = self._value(next(self._events), depth + 1)
        return mapping

    def _scalar(self, event: ScalarEvent) -> object:
        text: str = event.value
        if event.implicit[0] and event.tag is None:
            try:
                return plain_value(text)
            except ValueError:
                self._refuse(event.start_mark, "a number with too many digits")
        # "!" says: do not guess, it is text.
        if event.tag in (None, "!", "tag:yaml.org,2002:str"):
            return text
        return self._refuse(event.start_mark, f"the tag {quoted(event.tag)} is not supported")


def plain_value(text: str) -> str | int | float | bool | None:
    """
    What an unquoted scalar means: YAML 1.2 §10.3.2, tag resolution of the core schema.

    @raise ValueError: a number with more digits than Python converts.
    """
    if text in _NULL:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if text[0] in "+-.0123456789":
        if _INTEGER.match(text):
            return int(text)
        if _OTHER_BASE.match(text):
            return int(text, 0)
        if _FLOAT.match(text):
            return float(text)
        if _SPECIAL_FLOAT.match(text):
            return float(text.replace(".", ""))
    return text
