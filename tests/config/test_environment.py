"""
Tests for L{distributor.config.environment}.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from distributor.config.environment import (
    PATHS,
    PREFIX,
    Environment,
    Override,
    file_reader,
    names_any,
    read_environment,
    variable,
    written,
)
from distributor.config.keys import KEYS, SECTIONS, SETTINGS
from distributor.document import DocumentError
from distributor.schema import Unfit, integer, list_of, text
from tests.config.fit import fit

words = st.from_regex(r"[a-z][a-z0-9]*(?:[A-Z][a-z0-9]+){0,3}", fullmatch=True)


def no_file(path: str) -> str:
    raise DocumentError(f"{path}: cannot be read: No such file or directory")


def read(environ: Mapping[str, str], files: Mapping[str, str] | None = None) -> Environment:
    """
    What variables say, the prefix put before their names.
    """
    found = files or {}
    return read_environment(
        {PREFIX + name: value for name, value in environ.items()},
        lambda path: found[path] if path in found else no_file(path),
    )


class NamesTests(SynchronousTestCase):
    """
    Each key has a variable, and each variable one key.
    """

    def test_examples(self) -> None:
        """
        Words are parted by one underscore, the parts of a path by two.
        """
        for path, name in {
            "intervals.cacheCleanup": "INTERVALS__CACHE_CLEANUP",
            "id": "ID",
            "limits.queryNodeCacheTTL": "LIMITS__QUERY_NODE_CACHE_TTL",
            "limits.dataObjectSourceByObjectIdTTL": "LIMITS__DATA_OBJECT_SOURCE_BY_OBJECT_ID_TTL",
            "limits.outboundRequestsTimeoutMs": "LIMITS__OUTBOUND_REQUESTS_TIMEOUT_MS",
            "endpoints.joystreamNodeWs": "ENDPOINTS__JOYSTREAM_NODE_WS",
            "publicApi.port": "PUBLIC_API__PORT",
            "logs.file": "LOGS__FILE",
        }.items():
            self.assertEqual(variable(path), PREFIX + name)

    def test_there_and_back(self) -> None:
        """
        Every key and every mapping is found again by its variable, and no name is that of a file with another's value.
        """
        paths = {*SETTINGS, *SECTIONS}
        self.assertEqual({PATHS[variable(path)] for path in paths}, paths)
        self.assertEqual(len(PATHS), len(paths))
        self.assertEqual([name for name in PATHS if name.removesuffix("_FILE") in {*PATHS} - {name}], [])

    @given(st.lists(words, min_size=1, max_size=4))
    def test_any_path(self, parts: list[str]) -> None:
        """
        Where words begin with one capital, the path can be told from the name.
        """
        name = variable(".".join(parts))
        self.assertRegex(name, r"\A[A-Z0-9_]+\Z")
        back = []
        for part in name.removeprefix(PREFIX).split("__"):
            first, *rest = part.split("_")
            back.append(first.lower() + "".join(word.capitalize() for word in rest))
        self.assertEqual(back, parts)


class ReadTests(SynchronousTestCase):
    """
    What variables say.
    """

    def test_nothing(self) -> None:
        """
        Other variables are none of ours.
        """
        environ = {"PATH": "/bin", "JOYSTREAM_DISTRIBUTOR_ID": "x", "CONFIG_PATH": "c.yml"}
        self.assertEqual(read_environment(environ, no_file), Environment())

    def test_override(self) -> None:
        """
        A variable overrides a key, in any of its spellings, or a mapping; mappings come before what is in them.
        """
        found = read({"LOGS__FILE__PATH": "/logs", "PORT": "80", "LOGS": "{}", "LOGS__FILE": "{}"})
        self.assertEqual([each.path for each in found.overrides], ["logs", "port", "logs.file", "logs.file.path"])
        self.assertEqual(found.overrides[1], Override("port", "80", f"{PREFIX}PORT", "$JOYSTREAM_DISTRIBUTOR__PORT"))
        self.assertEqual((found.problems, found.notices), ([], []))

    def test_unset(self) -> None:
        """
        Three words unset a value, of a key or of a mapping; neither other cases of them nor parts do.
        """
        for word in ("off", "null", "undefined"):
            found = read({"WORKER_ID": word, "OPERATOR_API": word})
            self.assertEqual([each.text for each in found.overrides], [None, None])
        for word in ("OFF", "none", "nullify", " off"):
            self.assertEqual(read({"ID": word}).overrides[0].text, word)

    def test_off_for_logs(self) -> None:
        """
        For a log, C{off} is a level like others; the other two words unset it.
        """
        for name in ("LOGS__FILE", "LOG__CONSOLE", "LOGS__CONSOLE__LEVEL", "LOG__ELASTIC"):
            self.assertEqual(read({name: "off"}).overrides[0].text, "off")
            self.assertIsNone(read({name: "null"}).overrides[0].text)
        self.assertIsNone(read({"LOGS": "off"}).overrides[0].text)

    def test_empty(self) -> None:
        """
        An empty variable counts as absent, and that is said.
        """
        found = read({"ID": "", "ID_FILE": ""})
        self.assertEqual(
            found,
            Environment(notices=[f"{PREFIX}ID{end} is empty, and counts as absent" for end in ("", "_FILE")]),
        )

    def test_unknown(self) -> None:
        """
        A variable that no key has is no problem, and is told of, with what it may have been meant to be.
        """
        found = read({"LIMITS__STORGE": "1G", "XYZZY": "1", "PUBLIC_API_PORT": "1"})
        no_such = "there is no such key, and the variable has no effect"
        self.assertEqual(
            found.notices,
            [
                f"{PREFIX}LIMITS__STORGE: {no_such}; did you mean {PREFIX}LIMITS__STORAGE?",
                f"{PREFIX}PUBLIC_API_PORT: {no_such}; did you mean {PREFIX}PUBLIC_API__PORT?",
                f"{PREFIX}XYZZY: {no_such}",
            ],
        )
        self.assertEqual((found.overrides, found.problems), ([], []))

    def test_from_file(self) -> None:
        """
        A file holds the value of a key or of a mapping; the newline at its end is not part of it, others are.
        """
        name = "OPERATOR_API__HMAC_SECRET_FILE"
        for content in ("s e", "s e\n", "s e\r\n"):
            [override] = read({name: "/run/secret"}, {"/run/secret": content}).overrides
            self.assertEqual(
                override,
                Override("operatorApi.hmacSecret", "s e", PREFIX + name, f"/run/secret (${PREFIX}{name})"),
            )
        self.assertEqual(read({"KEYS_FILE": "f"}, {"f": "[]\n\n"}).overrides[0].text, "[]\n")
        self.assertIsNone(read({"ID_FILE": "f"}, {"f": "null\n"}).overrides[0].text)

    def test_from_file_wrong(self) -> None:
        """
        A file that is not there, or has nothing in it, is a problem, and so is to give both.
        """
        found = read({"ID_FILE": "nope", "WORKER_ID_FILE": "e", "PORT": "1", "PORT_FILE": "p"}, {"e": "\n", "p": "1"})
        self.assertEqual(
            found.problems,
            [
                f"{PREFIX}ID_FILE: nope: cannot be read: No such file or directory",
                f"{PREFIX}PORT: is given, and so is {PREFIX}PORT_FILE: only one of them can be",
                f"{PREFIX}WORKER_ID_FILE: e: is empty",
            ],
        )

    def test_file_reader(self) -> None:
        """
        A relative file starts from the directory where the node is started.
        """
        asked: list[Path] = []

        def note(path: Path) -> str:
            asked.append(path)
            return "x"

        self.assertEqual(file_reader(Path("/here"), note)("a/b"), "x")
        file_reader(Path("/here"), note)("/run/c")
        self.assertEqual(asked, [Path("/here/a/b"), Path("/run/c")])

    def test_names_any(self) -> None:
        """
        Whether something is said of some keys is seen from both kinds of variables; empty ones say nothing.
        """
        paths = ("endpoints", "id")
        for name in ("ID", "ID_FILE", "ENDPOINTS", "ENDPOINTS_FILE"):
            self.assertTrue(names_any({PREFIX + name: "x"}, paths))
            self.assertFalse(names_any({PREFIX + name: ""}, paths))
        self.assertFalse(names_any({PREFIX + "ENDPOINTS__QUERY_NODE": "x"}, paths))


class WrittenTests(SynchronousTestCase):
    """
    Text as what one would write in a file.
    """

    def test_text_is_text(self) -> None:
        """
        Where text is expected, nothing is made of it.
        """
        for value in ("7", "true", "[1]", "0x10", "a: b"):
            self.assertEqual(written(text(), value), value)

    def test_wrong(self) -> None:
        """
        What is not fit is said to be so, and what is no JSON, too.
        """
        for value in ("x", "1.5", "", "[1]"):
            unfit = self.assertRaises(Unfit, written, integer(1), value)
            self.assertEqual(unfit.expected, "an integer, at least 1")
        unfit = self.assertRaises(Unfit, written, list_of(integer(0), "a list"), "[1")
        self.assertEqual(unfit.expected, "a list, as JSON")
        unfit = self.assertRaises(Unfit, written, list_of(integer(0), "a list"), "[1, -1]")
        self.assertEqual((unfit.expected, unfit.at), ("a non-negative integer", (1,)))

    @given(st.data())
    def test_as_in_the_file(self, data: st.DataObject) -> None:
        """
        What a file can say, a variable can: text as it is, and everything else as JSON.
        """
        key = data.draw(st.sampled_from(KEYS))
        value = data.draw(fit(key))
        as_text = value if isinstance(value, str) else json.dumps(value)
        self.assertEqual(written(key.kind, as_text), value)
