"""
A file and the environment, put together: of each key, the value in force and where it came from.

Pure: what the variables say comes in as L{Environment}, what the file says as plain values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import frozen

from distributor.config.environment import Environment, Override, written
from distributor.config.keys import SCHEMA, SETTINGS, SHORT, spelled_below
from distributor.document import DocumentError, parse_document
from distributor.schema import Problems, Unfit


@frozen
class Placed:
    """
    The value of one key, and where it stands.

    @ivar value: the checked value; L{None} where it was not fit, or means the same as nothing.
    @ivar written: as it stands there.
    @ivar spelling: the path by which it stands there.
    @ivar source: what messages call the place: the file, or the variable.
    @ivar origin: what people are shown of it.
    """

    value: Any
    written: object
    spelling: str
    source: str
    origin: str


def gather(document: object, origin: str, environment: Environment) -> tuple[dict[str, Placed], list[str]]:
    """
    Check a file and the overrides of the environment, and put them together. What is overridden in the file is not
    looked at: it may be no more than a placeholder.

    @param document: what is in the file; L{None}: nothing.
    @return: the values by the paths of the table, in today's spelling, without those that nobody gives; and a line for
        each problem.
    """
    problems = Problems(origin)
    kept = _without({} if document is None else document, _overridden(environment.overrides))
    found = SCHEMA.given(kept, (), problems)
    in_file = {path: Placed(value, _at(kept, path), path, origin, origin) for path, value in found.items()}
    lines = problems.lines()
    in_environment: dict[str, Placed] = {}
    for override in environment.overrides:
        for path in spelled_below(override.path):
            # The more precise variable comes later.
            in_environment.pop(path, None)
        lines += _read(override, in_environment)
    values = {**_one_spelling(in_file, lines), **_one_spelling(in_environment, lines)}
    return values, [*lines, *environment.problems]


def _overridden(overrides: Iterable[Override]) -> frozenset[str]:
    """
    The paths of the file, in any spelling, that do not count.
    """
    gone = set()
    for override in overrides:
        gone.add(override.path)
        for path in spelled_below(override.path):
            gone.update(SETTINGS[path].spellings)
    return frozenset(gone)


def _without(value: object, gone: frozenset[str], path: str = "") -> object:
    if not isinstance(value, dict):
        # In its place there could be the mapping in which the key is.
        return None if SHORT.get(path) in gone else value
    inside = f"{path}." if path else ""
    return {
        name: _without(item, gone, inside + str(name)) for name, item in value.items() if inside + str(name) not in gone
    }


def _at(document: object, path: str) -> object:
    """
    What is written at a path; a plain value on the way to it stands for the mapping that would be there.
    """
    for name in path.split("."):
        if not isinstance(document, dict):
            break
        document = document.get(name)
    return document


def _read(override: Override, found: dict[str, Placed]) -> list[str]:
    """
    Check one override, and add to C{found} what it gives.
    """
    if override.text is None:
        return []
    problems = Problems(override.name)
    at = tuple(override.path.split("."))
    if override.path in SETTINGS:
        kind = SETTINGS[override.path].kind
        try:
            value = written(kind, override.text)
            given = {override.path: (kind.read(value), value)}
        except Unfit as unfit:
            problems.add((*at, *unfit.at), f"must be {unfit.expected}")
            given = {override.path: (None, None)}
    else:
        try:
            section = parse_document(override.text, "")
        except DocumentError:
            problems.add(at, "must be a mapping, as JSON")
            return problems.lines()
        read = SCHEMA.given(section, at, problems, override.path)
        given = {path: (value, _at(section, path[len(override.path) + 1 :])) for path, value in read.items()}
    for path, (value, as_written) in given.items():
        found[path] = Placed(value, as_written, path, override.name, override.origin)
    return problems.lines()


def _one_spelling(found: Mapping[str, Placed], lines: list[str]) -> dict[str, Placed]:
    """
    The same by today's spelling of each key. To say different things by two spellings is a problem.
    """
    values: dict[str, Placed] = {}
    for spelling, placed in found.items():
        path = SETTINGS[spelling].path
        other = values.setdefault(path, placed)
        # What was not fit is complained of already.
        if other.value != placed.value and None not in (other.value, placed.value):
            problems = Problems(placed.source)
            problems.add(
                tuple(spelling.split(".")),
                f"says something else than {other.spelling}, which is another spelling of the same key",
            )
            lines += problems.lines()
    return values
