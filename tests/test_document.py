"""
Tests for L{distributor.document}.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from distributor import document
from distributor.document import DocumentError, parse_document, plain_value, read_text

#: What JSON can say.
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)

#: Text that is likely to mean something to a YAML parser.
yaml_like = st.text(st.sampled_from("ab01:-?{}[],&*!#|>'\"%@`~. \n\t\\u\ud800\0\x85é"), max_size=40)


class YAMLTests(SynchronousTestCase):
    """
    YAML is read by the core schema of YAML 1.2, strictly.
    """

    def refused(self, text: str, *, origin: str = "f.yml") -> str:
        return str(self.assertRaises(DocumentError, parse_document, text, origin))

    def test_scalars(self) -> None:
        """
        Unquoted scalars have the types of YAML 1.2: neither C{0:1} nor C{off} nor a date is anything but text.
        """
        values = {
            "0:1": "0:1",
            "190:20:30": "190:20:30",
            "off": "off",
            "yes": "yes",
            "1_000": "1_000",
            "2001-01-01": "2001-01-01",
            "12": 12,
            "-7": -7,
            "007": 7,
            "0o17": 15,
            "0x1F": 31,
            "1e3": 1000.0,
            ".5": 0.5,
            "1.": 1.0,
            "-.inf": float("-inf"),
            "+": "+",
            ".": ".",
            "true": True,
            "FALSE": False,
            "null": None,
            "~": None,
        }
        for written, value in values.items():
            read = plain_value(written)
            self.assertEqual((type(read), read), (type(value), value), written)
            self.assertEqual(parse_document(f"a: {written}", "f.yml"), {"a": value})
            self.assertEqual(parse_document(f"a: [{written}]", "f.yml"), {"a": [value]})
            self.assertEqual(parse_document(f'a: "{written}"', "f.yml"), {"a": written})

    def test_both_parsers(self) -> None:
        """
        Without libyaml, the parser in Python reads the same.
        """
        text = 'a: [0:1, off]\nb: {"c": &x 7, d: *x}\ne: |\n  two\n  lines\n'
        expected = {"a": ["0:1", "off"], "b": {"c": 7, "d": 7}, "e": "two\nlines\n"}
        self.assertEqual(parse_document(text, "f.yml"), expected)
        self.patch(document, "_LOADER", yaml.SafeLoader)
        self.assertEqual(parse_document(text, "f.yml"), expected)
        self.assertRegex(self.refused("a: 1\nb: [\n"), r"^f\.yml:3: .+$")
        self.assertEqual(self.refused("a: 1\nb: \0\n"), "f.yml:2: the character #x0000 is not allowed")

    def test_keys_are_text(self) -> None:
        """
        A key keeps the text that it was written with, quoted or not.
        """
        self.assertEqual(
            parse_document("7: a\n'8': b\n0:1: c\ntrue: d\n", "f.yml"), {"7": "a", "8": "b", "0:1": "c", "true": "d"}
        )

    def test_explicit_text(self) -> None:
        """
        The tags that say "text" are heeded; all others are refused with their line.
        """
        self.assertEqual(parse_document("a: !!str 7\nb: ! 7\n", "f.yml"), {"a": "7", "b": "7"})
        for written in ("!!int '7'", "!!python/object/apply:os.system [ls]", "!x {}", "!!binary aGk="):
            self.assertRegex(self.refused(f"a: 1\nb: {written}\n"), r"^f.yml:2: the tag .* is not supported$")

    def test_nothing_in_it(self) -> None:
        """
        An empty file and one of comments say nothing.
        """
        for text in ("", "\n\n", "# limits:\n", "---\n", "null"):
            self.assertIsNone(parse_document(text, "f.yml"))

    def test_syntax_errors_name_the_line(self) -> None:
        """
        A syntax error is one line that begins with the file and the line.
        """
        self.assertRegex(self.refused("id: a\nlimits: {\n  storage: 5G\n"), r"^f\.yml:4: .+$")
        self.assertRegex(self.refused("id: a\n\tb: c\n"), r"^f\.yml:2: .+$")
        self.assertEqual(self.refused("a: 1\nb: \x07\n"), "f.yml:2: the character #x0007 is not allowed")
        self.assertEqual(self.refused("a: \ud800"), "f.yml: is not Unicode text")

    def test_keys_given_twice(self) -> None:
        """
        A key that is given twice in one mapping is refused, also when quoted once; in two mappings it is not.
        """
        self.assertEqual(self.refused("a: 1\nb: 2\n'a': 3\n"), 'f.yml:3: the key "a" is given twice')
        self.assertEqual(parse_document("a: {c: 1}\nb: {c: 2}", "f.yml"), {"a": {"c": 1}, "b": {"c": 2}})

    def test_keys_that_are_not_text(self) -> None:
        """
        Collections and aliases are no keys.
        """
        for text in ("? [a]\n: b\n", "? {a: b}\n: c\n", "a: &x b\n*x : c\n"):
            self.assertRegex(self.refused(text), r"^f\.yml:\d: a key must be plain text$")

    def test_one_document(self) -> None:
        """
        A second document is refused where it begins.
        """
        self.assertEqual(
            self.refused("a: 1\n---\nb: 2\n"), "f.yml:2: a second document begins here; only one is expected"
        )

    def test_aliases(self) -> None:
        """
        An alias stands for the value of its anchor, also when that was a key.
        """
        self.assertEqual(
            parse_document("a: &all [1, 2]\nb: *all\n&k c: *k\n", "f.yml"), {"a": [1, 2], "b": [1, 2], "c": "c"}
        )

    def test_aliases_of_nothing(self) -> None:
        """
        An alias before its anchor, or inside it, is refused.
        """
        for text in ("a: *x\nb: &x 1", "a: &x [*x]", "a: &x {b: {c: *x}}"):
            self.assertEqual(self.refused(text), "f.yml:1: the alias *x stands for nothing that is complete above it")

    def test_a_billion_laughs(self) -> None:
        """
        Aliases of aliases are counted, not expanded, and refused when they stand for too much.
        """
        lines = ["a0: &a0 [ha, ha]"]
        lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 40)]
        self.assertRegex(self.refused("\n".join(lines)), r"^f\.yml:7: the aliases stand for more than 1000000 values$")

    def test_many_small_aliases(self) -> None:
        """
        Many aliases of something small are no attack.
        """
        text = "nodes: &n [a, b]\n" + "".join(f"k{n}: *n\n" for n in range(2000))
        read: Any = parse_document(text, "f.yml")
        self.assertEqual(read["k1999"], ["a", "b"])

    def test_nesting(self) -> None:
        """
        Nesting without bound is refused, in YAML and in JSON.
        """
        for opening in ("[", "{a: "):
            self.assertEqual(self.refused("x: " + opening * 5000), "f.yml:1: is nested too deeply")
        self.assertIn("nested too deeply", self.refused('{"a":' * 100_000, origin="f.json"))

    def test_too_many_digits(self) -> None:
        """
        A number that Python would not convert is refused.
        """
        self.assertEqual(self.refused("a: 1\nb: " + "9" * 5000), "f.yml:2: a number with too many digits")
        self.assertEqual(
            self.refused('{"a": ' + "9" * 5000 + "}", origin="f.json"), "f.json: holds a number with too many digits"
        )

    @given(st.text() | yaml_like, st.sampled_from(("f.yml", "f.json")))
    def test_any_text(self, text: str, origin: str) -> None:
        """
        Whatever the text, it is read, or refused with one line that names the file.
        """
        try:
            parse_document(text, origin)
        except DocumentError as error:
            self.assertRegex(str(error), r"\Af\.(yml|json)(:\d+)?: .+\Z")


class JSONTests(SynchronousTestCase):
    """
    JSON is read as JSON, and gives what YAML would.
    """

    @given(json_values)
    def test_round_trip(self, value: object) -> None:
        """
        What JSON writes is read back as the same, whatever the file is called.
        """
        for written in (json.dumps(value), json.dumps({"a": value}, indent=2)):
            self.assertEqual(parse_document(written, "f.json"), json.loads(written))
        written = json.dumps({"a": value})
        self.assertEqual(parse_document(written, "f.yml"), {"a": value})

    def test_flow_mappings(self) -> None:
        """
        Text that begins as JSON does, and goes on as YAML, is YAML, unless the file's name says JSON.
        """
        self.assertEqual(parse_document("{a: 0:1}", "f.yml"), {"a": "0:1"})
        error = self.assertRaises(DocumentError, parse_document, '{\n "x": 1,\n a: 1}', "f.json")
        self.assertRegex(str(error), r"^f\.json:3: .+$")

    def test_keys_given_twice(self) -> None:
        """
        A key that is given twice in one object is refused, though JSON parsers let it pass.
        """
        for origin in ("f.json", "f.yml"):
            error = self.assertRaises(DocumentError, parse_document, '{"a": {"b": 1, "b": 2}}', origin)
            self.assertEqual(str(error), f'{origin}: the key "b" is given twice in one object')

    def test_numbers_that_are_none(self) -> None:
        """
        Python's C{NaN} and C{Infinity} are not JSON.
        """
        for written in ("NaN", "-Infinity"):
            error = self.assertRaises(DocumentError, parse_document, f'{{"a": {written}}}', "f.json")
            self.assertEqual(str(error), f"f.json: {written} is not JSON")


class ReadTextTests(SynchronousTestCase):
    """
    Files are UTF-8.
    """

    def test_text(self) -> None:
        """
        A byte order mark is not part of the text.
        """
        path = Path(self.mktemp())
        path.write_bytes(b"\xef\xbb\xbfid: \xc3\xa9\n")
        self.assertEqual(read_text(path), "id: é\n")

    def test_what_cannot_be_read(self) -> None:
        """
        A missing file, a directory and bytes that are not UTF-8 are refused with a reason.
        """
        path = Path(self.mktemp())
        for reason in ("cannot be read: No such file or directory", "cannot be read: Is a directory"):
            error = self.assertRaises(DocumentError, read_text, path)
            self.assertEqual(str(error), f"{path}: {reason}")
            path.mkdir(exist_ok=True)
        (path / "f").write_bytes(b"id: \xff\n")
        error = self.assertRaises(DocumentError, read_text, path / "f")
        self.assertEqual(str(error), f"{path}/f: is not UTF-8 text: byte 4")
