"""
Tests for L{distributor.schema}.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from distributor.schema import (
    At,
    Key,
    Kind,
    Problems,
    Schema,
    Unfit,
    boolean,
    choice,
    identifier,
    integer,
    list_of,
    raw_list,
    raw_mapping,
    text,
    written,
)
from tests.test_document import json_values

SCHEMA = Schema(
    Key("id", text(), required=True),
    Key("limits.storage", text(), default="20G"),
    Key("limits.maxInbound", integer(1), default=5),
    Key("logs.file.level", text()),
    Key("buckets", list_of(identifier(), "a list of ids")),
)


def problems_of(value: object, schema: Schema = SCHEMA, at: At = ()) -> list[str]:
    """
    What C{schema} says of C{value}, line by line.
    """
    problems = Problems("f")
    read = schema.read(value, at, problems)
    assert (read is None) == (problems.count > 0)
    try:
        problems.raise_any(ValueError)
    except ValueError as error:
        return str(error).split("\n")
    return []


class KindTests(SynchronousTestCase):
    """
    Kinds take what they say, and nothing that resembles it.
    """

    def refused(self, kind: Kind[Any], value: object) -> str:
        unfit: Unfit = self.assertRaises(Unfit, kind.read, value)
        return unfit.expected

    def test_integers(self) -> None:
        """
        Bounds are included; booleans, floats and text are not integers.
        """
        kind = integer(1, 5)
        self.assertEqual([kind.read(1), kind.read(5)], [1, 5])
        value: object
        for value in (0, 6, True, 1.0, "1", None, [1]):
            self.assertEqual(self.refused(kind, value), "an integer from 1 to 5")

    def test_integers_without_maximum(self) -> None:
        """
        Where no maximum is given, it is that of 64 bits.
        """
        self.assertEqual(integer(0).read(2**63 - 1), 2**63 - 1)
        self.assertEqual(self.refused(integer(0), 2**63), "an integer that fits in 64 bits")
        self.assertEqual(self.refused(integer(0), -1), "a non-negative integer")
        self.assertEqual(self.refused(integer(2), 1), "an integer, at least 2")

    def test_booleans(self) -> None:
        """
        Only C{true} and C{false} are booleans.
        """
        self.assertEqual([boolean().read(True), boolean().read(False)], [True, False])
        for value in (1, 0, "true", "yes", None):
            self.assertEqual(self.refused(boolean(), value), "true or false")

    def test_choices(self) -> None:
        """
        Only the words themselves are to choose from.
        """
        kind = choice("daily", "hourly")
        self.assertEqual(kind.read("hourly"), "hourly")
        for value in ("Daily", "", None, 1, ["daily"]):
            self.assertEqual(self.refused(kind, value), "one of daily, hourly")

    def test_text(self) -> None:
        """
        Text is one line, can be printed, and is not empty; a number is told to be quoted.
        """
        self.assertEqual(text().read("nœud 1"), "nœud 1")
        value: object
        for value in ("", "a\nb", "a\0", "\ud800", None, ["a"]):
            self.assertEqual(self.refused(text(), value), "text, on one line and not empty")
        for number in (7, 1.5):
            self.assertEqual(self.refused(text("a name"), number), "a name: put it in quotes")

    def test_identifiers(self) -> None:
        """
        Identifiers stay as they are written.
        """
        self.assertEqual([identifier().read("0:1"), identifier().read("7"), identifier().read(7)], ["0:1", "7", 7])
        value: object
        for value in (-1, True, 1.0, None, []):
            self.assertEqual(self.refused(identifier(), value), "text or a non-negative integer")
        self.assertEqual(self.refused(identifier(), ""), "text or a non-negative integer, on one line and not empty")

    def test_lists(self) -> None:
        """
        A list says which of its items is wrong.
        """
        kind = list_of(list_of(integer(0), "a row"), "rows")
        self.assertEqual(kind.read([[1], []]), ((1,), ()))
        self.assertEqual(self.refused(kind, {"a": 1}), "rows")
        unfit = self.assertRaises(Unfit, kind.read, [[1], [2, "x"]])
        self.assertEqual((unfit.expected, unfit.at), ("a non-negative integer", (1, 1)))

    def test_raw(self) -> None:
        """
        Raw collections are handed on as they are, of the right type.
        """
        self.assertEqual(raw_list("a list").read([1, None]), [1, None])
        self.assertEqual(raw_mapping("a mapping").read({"a": None}), {"a": None})
        self.assertEqual(self.refused(raw_list("a list"), {}), "a list")
        self.assertEqual(self.refused(raw_mapping("a mapping"), []), "a mapping")


class SchemaTests(SynchronousTestCase):
    """
    A schema reads a mapping, or says everything that is wrong with it.
    """

    def test_values_and_defaults(self) -> None:
        """
        Values are given by their paths; keys that are absent or C{null}, and sections that are, have their defaults.
        """
        problems = Problems("f")
        expected = {
            "id": "x",
            "limits.storage": "20G",
            "limits.maxInbound": 9,
            "logs.file.level": None,
            "buckets": (0,),
        }
        document = {"id": "x", "limits": {"storage": None, "maxInbound": 9}, "logs": None, "buckets": [0]}
        self.assertEqual(SCHEMA.read(document, (), problems), expected)
        self.assertEqual(problems.count, 0)
        self.assertEqual(SCHEMA.defaults["limits.maxInbound"], 5)

    def test_every_problem_has_its_line(self) -> None:
        """
        All problems are reported, each with its path.
        """
        document = {"limits": {"storage": 5, "maxInbound": True}, "logs": {"file": []}, "buckets": ["0:0", {}]}
        self.assertEqual(
            problems_of(document),
            [
                "f: limits.storage: must be text: put it in quotes",
                "f: limits.maxInbound: must be an integer, at least 1",
                "f: logs.file: must be a mapping with the keys level",
                "f: buckets[1]: must be text or a non-negative integer",
                "f: id: is required, and must be text",
            ],
        )

    def test_given(self) -> None:
        """
        What is given can be asked for alone, of the whole or of a nested mapping: nothing is filled in or required.
        """
        problems = Problems("f")
        self.assertEqual(SCHEMA.given({"limits": {"maxInbound": 9}}, (), problems), {"limits.maxInbound": 9})
        self.assertEqual(SCHEMA.given({"file": {"level": "x"}}, ("logs",), problems, "logs"), {"logs.file.level": "x"})
        self.assertEqual(problems.lines(), [])
        self.assertEqual(SCHEMA.given({"maxInbound": 0}, ("up",), problems, "limits"), {"limits.maxInbound": None})
        self.assertEqual(problems.lines(), ["f: up.maxInbound: must be an integer, at least 1"])

    def test_short_form(self) -> None:
        """
        Where a nested mapping has a short form, a plain value is that of one key in it; a list is none.
        """
        schema = Schema(
            Key("logs.file.level", text()), Key("logs.file.path", text()), short={"logs.file": "logs.file.level"}
        )
        problems = Problems("f")
        for document in ({"logs": {"file": "debug"}}, {"logs": {"file": {"level": "debug"}}}):
            self.assertEqual(schema.given(document, (), problems), {"logs.file.level": "debug"})
        self.assertEqual(problems.count, 0)
        schema.given({"logs": {"file": 7}}, (), problems)
        schema.given({"logs": {"file": []}}, (), problems)
        self.assertEqual(
            problems.lines(),
            [
                "f: logs.file: must be text: put it in quotes",
                "f: logs.file: must be a mapping with the keys level, path",
            ],
        )

    def test_not_a_mapping(self) -> None:
        """
        Where the document is not a mapping, the message says what it should be.
        """
        value: object
        for value in ([], "id: x", None, 7):
            self.assertEqual(problems_of(value), ["f: must be a mapping with the keys id, limits, logs, buckets"])

    def test_required_and_null(self) -> None:
        """
        A required key without a value is absent; one with a wrong value is reported once.
        """
        self.assertEqual(problems_of({"id": None}), ["f: id: is required, and must be text"])
        self.assertEqual(problems_of({"id": 7}), ["f: id: must be text: put it in quotes"])

    def test_unknown_keys(self) -> None:
        """
        An unknown key is told the nearest key, beside it first, or elsewhere, or all that are known there.
        """
        guesses = {
            "limits": {"storge": "limits.storage", "max_inbound": "limits.maxInbound", "STORAGE": "limits.storage"},
            "logs": {"fil": "logs.file", "level": "logs.file.level"},
        }
        for section, names in guesses.items():
            for name, guess in names.items():
                self.assertEqual(
                    problems_of({"id": "x", section: {name: 1}}),
                    [f"f: {section}.{name}: unknown key, did you mean {guess}?"],
                )
        for name, guess in {"storage": "limits.storage", "ID": "id", "bucket": "buckets"}.items():
            self.assertEqual(problems_of({"id": "x", name: 1}), [f"f: {name}: unknown key, did you mean {guess}?"])
        for name in ("zzzzzz", "x" * 100):
            self.assertEqual(
                problems_of({"id": "x", name: 1}), [f"f: {name}: unknown key; known here: id, limits, logs, buckets"]
            )

    def test_dots_in_a_key(self) -> None:
        """
        A key with a dot in it is not a path.
        """
        self.assertEqual(
            problems_of({"id": "x", "limits.storage": "5G"}),
            ['f: "limits.storage": unknown key, did you mean limits.storage?'],
        )

    def test_where_it_is(self) -> None:
        """
        Paths begin where the mapping is, and quote keys that are not plain.
        """
        self.assertEqual(
            problems_of({"id": "x", "limits": []}, at=("objects", "7", 3)),
            ['f: objects."7"[3].limits: must be a mapping with the keys storage, maxInbound'],
        )
        self.assertEqual(written(("a b", "é\n", 0)), '"a b"."\\u00e9\\n"[0]')
        self.assertLess(len(written(("x y" * 1000,))), 120)

    def test_many_problems(self) -> None:
        """
        After a screenful, the others are only counted.
        """
        lines = problems_of({"id": "x", **{f"zzzzz{n}": 1 for n in range(25)}})
        self.assertEqual(len(lines), 21)
        self.assertEqual(lines[-1], "f: and 5 more")
        self.assertEqual(len(problems_of({"id": "x", **{f"zzzzz{n}": 1 for n in range(20)}})), 20)

    @given(json_values | st.dictionaries(st.text() | st.sampled_from(["id", "limits", "logs", "buckets"]), json_values))
    def test_any_value(self, value: object) -> None:
        """
        Whatever the value, it is read, or refused with lines that name the file.
        """
        for line in problems_of(value):
            self.assertRegex(line, r"\Af: .+\Z")
