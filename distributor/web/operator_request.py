"""
What an operator asks for: from the bytes of a request to checked values. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from distributor.model import is_object_id
from distributor.schema import Key, Kind, Problems, Schema, Unfit, identifier, integer, list_of
from distributor.web.operator_errors import BAD_REQUEST, NOT_JSON, Refused

#: The largest body, in bytes. Its content has to stand in the token, too, and so in the head of the request.
LARGEST_BODY = 64 * 1024

#: How many ids one request for a prefetch may have: about what a body can hold.
MOST_IDS = 2000

#: How many rows an answer has, at most, and unless told otherwise.
MOST_ROWS = 1000
USUAL_ROWS = 100

_JSON = re.compile(r"application/json(?:[ \t]*;[ \t]*charset=\"?utf-8\"?)?[ \t]*", re.IGNORECASE)
_DIGITS = re.compile(r"[0-9]{1,9}", re.ASCII)
_AN_ID = "a data object's id, as text"


def _object_id(value: object) -> str:
    if not isinstance(value, str) or not is_object_id(value):
        raise Unfit(_AN_ID)
    return value


_WORKER = Schema(Key("workerId", integer(0), required=True))
_BUCKETS = Schema(Key("buckets", list_of(identifier(), 'a list of bucket ids such as "0:1"')))
_OBJECTS = Schema(Key("objects", list_of(Kind(_AN_ID, _object_id), "a list of data objects' ids"), required=True))
_PACE = Schema(Key("bytesPerSecond", integer(1)))


def json_object(content: bytes, content_type: str | None) -> dict[str, Any]:
    """
    The body of a request: a JSON object (RFC 8259), each of its names once. No body is an empty one.

    @raise Refused: it is none.
    """
    if not content:
        return {}
    if content_type is None or _JSON.fullmatch(content_type) is None:
        raise Refused(NOT_JSON)
    try:
        value = json.loads(content, object_pairs_hook=_each_once, parse_constant=_no_number)
    except RecursionError:
        raise _bad("the body is nested too deeply") from None
    except ValueError as error:
        raise _bad(f"the body is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise _bad("the body must be a JSON object")
    return value


def _each_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name comes twice")
    return found


def _no_number(written: str) -> object:
    raise ValueError(f"{written} is no number")


def _bad(problem: str) -> Refused:
    return Refused(BAD_REQUEST, problem)


def _read(body: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    problems = Problems("the body")
    values = schema.read(dict(body), (), problems)
    problems.raise_any(_bad)
    assert values is not None
    return values


def nothing(body: Mapping[str, Any]) -> None:
    """
    @raise Refused: the body says something, where there is nothing to be said.
    """
    if body:
        raise _bad(f"the body: unknown key; none is known here: {', '.join(sorted(body))[:100]}")


def worker(body: Mapping[str, Any]) -> int:
    """
    Which worker the node is to be.

    @raise Refused: the body is not that.
    """
    worker_id: int = _read(body, _WORKER)["workerId"]
    return worker_id


def buckets(body: Mapping[str, Any]) -> tuple[str, ...] | None:
    """
    Which buckets to distribute; L{None}: all of the worker.

    @raise Refused: the body is not that.
    """
    ids = _read(body, _BUCKETS)["buckets"]
    if ids == ():
        raise _bad("the body: buckets: must have one at least; without it, all buckets of the worker are meant")
    return None if ids is None else tuple(map(str, ids))


def objects(body: Mapping[str, Any]) -> tuple[str, ...]:
    """
    Which objects to fetch, each once.

    @raise Refused: the body is not that.
    """
    ids: tuple[str, ...] = _read(body, _OBJECTS)["objects"]
    if len(ids) > MOST_IDS:
        raise _bad(f"the body: objects: must be at most {MOST_IDS} at once")
    return tuple(dict.fromkeys(ids))


def pace(body: Mapping[str, Any]) -> int | None:
    """
    How fast to verify, in bytes per second; L{None}: as usual.

    @raise Refused: the body is not that.
    """
    rate: int | None = _read(body, _PACE)["bytesPerSecond"]
    return rate


def page(query: Mapping[bytes, list[bytes]]) -> tuple[str | None, int]:
    """
    Which rows of a list: the id behind which to begin, and how many.

    @raise Refused: the query is not that.
    """
    given = _parameters(query, "after", "limit")
    after = given.get("after")
    if after is not None and not is_object_id(after):
        raise _bad(f"the query: after: must be {_AN_ID}")
    return after, _limit(given)


def rows(query: Mapping[bytes, list[bytes]]) -> int:
    """
    How many rows.

    @raise Refused: the query is not that.
    """
    return _limit(_parameters(query, "limit"))


def no_parameters(query: Mapping[bytes, list[bytes]]) -> None:
    """
    @raise Refused: the query says something, where there is nothing to be said.
    """
    _parameters(query)


def _parameters(query: Mapping[bytes, list[bytes]], *known: str) -> dict[str, str]:
    given = {}
    for name, values in query.items():
        shown = name.decode("ascii", "backslashreplace")
        if shown not in known:
            raise _bad(f"the query: {shown[:100]}: unknown; known here: {', '.join(known) or 'nothing'}")
        if len(values) > 1:
            raise _bad(f"the query: {shown}: comes twice")
        given[shown] = values[0].decode("ascii", "backslashreplace")
    return given


def _limit(given: Mapping[str, str]) -> int:
    written = given.get("limit", str(USUAL_ROWS))
    if _DIGITS.fullmatch(written) is None or not 1 <= int(written) <= MOST_ROWS:
        raise _bad(f"the query: limit: must be an integer from 1 to {MOST_ROWS}")
    return int(written)
