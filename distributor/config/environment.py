"""
What environment variables say in the place of the file.

C{JOYSTREAM_DISTRIBUTOR__} and the path of a key or of a mapping, with underscores between its words and two between its
parts, overrides what the file says there; with C{_FILE} at its end, the variable names a file that holds the value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from distributor.config.keys import LEVEL, SECTIONS, SETTINGS, SHORT
from distributor.document import DocumentError, parse_document
from distributor.schema import Kind, Unfit

PREFIX = "JOYSTREAM_DISTRIBUTOR__"

_FROM_FILE = "_FILE"
# What a variable says to unset the value of the file.
_NOTHING = ("off", "null", "undefined")
_NEW_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def variable(path: str) -> str:
    """
    The environment variable that overrides a key, or a mapping: C{intervals.cacheCleanup} is
    C{JOYSTREAM_DISTRIBUTOR__INTERVALS__CACHE_CLEANUP}.
    """
    return PREFIX + "__".join(_NEW_WORD.sub("_", part).upper() for part in path.split("."))


#: By the name of the variable, the path of the key or the mapping. Names cannot be turned back into paths otherwise:
#: C{queryNodeCacheTTL} has lost its capitals.
PATHS: Mapping[str, str] = {variable(path): path for path in (*SECTIONS, *SETTINGS)}


@frozen
class Override:
    """
    What one variable says.

    @ivar path: of a key, or of a mapping of keys, in the spelling that the variable has.
    @ivar text: L{None}: the value of the file is unset.
    @ivar name: the variable.
    @ivar origin: where the text came from, for people: the variable, or the file that it named.
    """

    path: str
    text: str | None
    name: str
    origin: str


@define
class Environment:
    """
    What all the variables say.

    @ivar overrides: those of mappings before those of what is in them, so that the more precise one has its way.
    @ivar problems: one line for each.
    @ivar notices: what is not as meant, perhaps, and keeps nobody from starting.
    """

    overrides: list[Override] = field(factory=list)
    problems: list[str] = field(factory=list)
    notices: list[str] = field(factory=list)


def read_environment(environ: Mapping[str, str], read_file: Callable[[str], str]) -> Environment:
    """
    Collect the overrides.

    @param read_file: the content of a file that a variable names; L{DocumentError} where it cannot be read.
    """
    found = Environment()
    for name in sorted(name for name in environ if name.startswith(PREFIX)):
        if not environ[name]:
            # That is how a composition of containers writes a variable that nobody has set.
            found.notices.append(f"{name} is empty, and counts as absent")
        elif name in PATHS:
            if environ.get(name + _FROM_FILE):
                found.problems.append(f"{name}: is given, and so is {name}{_FROM_FILE}: only one of them can be")
            found.overrides.append(Override(PATHS[name], _meant(PATHS[name], environ[name]), name, f"${name}"))
        elif name.removesuffix(_FROM_FILE) in PATHS:
            _read_named(name, environ[name], read_file, found)
        else:
            found.notices.append(_unknown(name))
    found.overrides.sort(key=lambda override: override.path.count("."))
    return found


def _read_named(name: str, file: str, read_file: Callable[[str], str], found: Environment) -> None:
    path = PATHS[name.removesuffix(_FROM_FILE)]
    try:
        content = read_file(file)
    except DocumentError as error:
        found.problems.append(f"{name}: {error}")
        return
    text = content.removesuffix("\n").removesuffix("\r")
    if not text:
        found.problems.append(f"{name}: {file}: is empty")
        return
    found.overrides.append(Override(path, _meant(path, text), name, f"{file} (${name})"))


def _meant(path: str, text: str) -> str | None:
    switches_off = path in SHORT or (path in SETTINGS and SETTINGS[path].kind is LEVEL)
    if text == "off" and switches_off:
        # A log that is switched off is not one about which nothing is said.
        return text
    return None if text in _NOTHING else text


def _unknown(name: str) -> str:
    close = get_close_matches(name.removeprefix(PREFIX), [each.removeprefix(PREFIX) for each in PATHS], 1)
    guess = f"; did you mean {PREFIX}{close[0]}?" if close else ""
    return f"{name}: there is no such key, and the variable has no effect{guess}"


def written(kind: Kind[Any], text: str) -> object:
    """
    What one would write in a file, where the environment says C{text}: itself where text is what is expected, else
    what it says as JSON.

    @raise Unfit: it is neither.
    """
    try:
        kind.read(text)
    except Unfit:
        pass
    else:
        return text
    try:
        value = parse_document(text, "")
        kind.read(value)
    except DocumentError:
        raise Unfit(f"{kind.expected}, as JSON") from None
    return value


def names_any(environ: Mapping[str, str], paths: Iterable[str]) -> bool:
    """
    Whether any of these keys or mappings is given by a variable, whatever its value.
    """
    return any(environ.get(variable(path) + end) for path in paths for end in ("", _FROM_FILE))


def file_reader(cwd: Path, read_text: Callable[[Path], str]) -> Callable[[str], str]:
    """
    How the files that variables name are read: relative ones start from C{cwd}.
    """
    return lambda file: read_text(cwd / file)
