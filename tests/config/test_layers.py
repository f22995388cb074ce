"""
Tests for L{distributor.config.layers}.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from twisted.trial.unittest import SynchronousTestCase

from distributor.config.environment import PREFIX, read_environment
from distributor.config.layers import Placed, gather


def gathered(document: object, environ: Mapping[str, str] | None = None) -> tuple[dict[str, Placed], list[str]]:
    """
    What C{document}, in C{c.yml}, and variables say together; the prefix is put before their names.
    """
    variables = {PREFIX + name: value for name, value in (environ or {}).items()}
    return gather(document, "c.yml", read_environment(variables, lambda path: path))


class GatherTests(SynchronousTestCase):
    """
    A file and what overrides it.
    """

    def values(self, document: object, environ: Mapping[str, str] | None = None) -> dict[str, object]:
        """
        The values by their keys, where there is no problem.
        """
        values, problems = gathered(document, environ)
        self.assertEqual(problems, [])
        return {path: placed.value for path, placed in values.items()}

    def problems(self, document: object, environ: Mapping[str, str] | None = None) -> list[str]:
        return gathered(document, environ)[1]

    def test_file_alone(self) -> None:
        """
        What a file gives is there under today's names, with the place where it is; what it does not give is not.
        """
        values, problems = gathered({"id": "x", "port": 80, "workerId": None, "limits": {"storage": "1K"}})
        self.assertEqual(problems, [])
        self.assertEqual(
            values,
            {
                "id": Placed("x", "x", "id", "c.yml", "c.yml"),
                "publicApi.port": Placed(80, 80, "port", "c.yml", "c.yml"),
                "limits.storage": Placed(1024, "1K", "limits.storage", "c.yml", "c.yml"),
            },
        )

    def test_overridden(self) -> None:
        """
        A variable goes before the file, whichever spelling either has.
        """
        name = PREFIX + "PUBLIC_API__PORT"
        for document in ({"port": 80}, {"publicApi": {"port": 80}}, {}, None):
            values, problems = gathered(document, {"PUBLIC_API__PORT": "81"})
            self.assertEqual(problems, [])
            self.assertEqual(values, {"publicApi.port": Placed(81, 81, "publicApi.port", name, f"${name}")})
        self.assertEqual(self.values({"publicApi": {"port": 80}}, {"PORT": "81"}), {"publicApi.port": 81})

    def test_placeholders(self) -> None:
        """
        What is overridden in the file need not be valid.
        """
        document = {"workerId": "YOUR WORKER", "logs": {"file": 7}, "log": {"console": "loud", "elastic": "?"}}
        environ = {"WORKER_ID": "3", "LOGS__FILE": "off", "LOGS__CONSOLE__LEVEL": "warn", "LOG__ELASTIC": "null"}
        self.assertEqual(
            self.values(document, environ), {"workerId": 3, "logs.file.level": "off", "logs.console.level": "warn"}
        )
        self.assertEqual(
            self.values({"limits": {"nope": 1}, "operatorApi": 7}, {"LIMITS": "{}", "OPERATOR_API": "off"}), {}
        )

    def test_unset(self) -> None:
        """
        A value, or all those of a mapping, can be taken away, in every spelling.
        """
        document = {"id": "x", "port": 80, "operatorApi": {"port": 1, "hmacSecret": "s"}}
        self.assertEqual(self.values(document, {"OPERATOR_API": "off", "PUBLIC_API": "null"}), {"id": "x"})
        self.assertEqual(
            self.values(document, {"OPERATOR_API__PORT": "off", "ID": "undefined"}),
            {"operatorApi.hmacSecret": "s", "publicApi.port": 80},
        )

    def test_mappings(self) -> None:
        """
        A mapping replaces that of the file whole, and what is said of a key in it goes before it.
        """
        document = {"logs": {"file": {"level": "info", "path": "l", "maxFiles": 3}, "console": {"level": "warn"}}}
        given = json.dumps({"level": "debug", "path": "/logs", "archive": None})
        self.assertEqual(
            self.values(document, {"LOGS__FILE": given}),
            {"logs.file.level": "debug", "logs.file.path": "/logs", "logs.console.level": "warn"},
        )
        self.assertEqual(
            self.values(document, {"LOGS__FILE": given, "LOGS__FILE__PATH": "/else", "LOGS": "{}"}),
            {"logs.file.level": "debug", "logs.file.path": "/else"},
        )
        self.assertEqual(
            self.values(document, {"LOGS": json.dumps({"console": "error"}), "LOGS__CONSOLE__LEVEL": "null"}), {}
        )

    def test_short_forms(self) -> None:
        """
        In the first generation a log is its level.
        """
        self.assertEqual(
            self.values({"log": {"file": "debug", "console": "off"}, "logs": {"elastic": "off"}}),
            {"logs.file.level": "debug", "logs.console.level": "off", "logs.elastic.level": "off"},
        )
        [problem] = self.problems({"log": {"file": "loud"}})
        self.assertRegex(problem, r"\Ac\.yml: log\.file: must be one of error, .*, off\Z")
        [problem] = self.problems({"log": {"file": ["debug"]}})
        self.assertRegex(problem, r"\Ac\.yml: log\.file: must be a mapping with the keys level, .*\Z")
        values, _ = gathered({"log": {"file": "debug"}}, {"LOGS__CONSOLE": "off", "LOGS__ELASTIC": '{"level": "warn"}'})
        written = {path: placed.written for path, placed in values.items()}
        self.assertEqual(
            written, {"logs.file.level": "debug", "logs.console.level": "off", "logs.elastic.level": "warn"}
        )

    def test_two_spellings(self) -> None:
        """
        Two spellings of a key may be given where they say the same; else both are named.
        """
        self.assertEqual(self.values({"port": 80, "publicApi": {"port": 80}}), {"publicApi.port": 80})
        another = "which is another spelling of the same key"
        self.assertEqual(
            self.problems({"port": 80, "publicApi": {"port": 81}}),
            [f"c.yml: publicApi.port: says something else than port, {another}"],
        )
        # What is not fit says nothing.
        self.assertEqual(len(self.problems({"port": -1, "publicApi": {"port": 80}})), 1)
        self.assertEqual(
            self.problems(None, {"DIRECTORIES__DATA": "a", "DIRECTORIES__ASSETS": "b"}),
            [
                f"{PREFIX}DIRECTORIES__DATA: directories.data: says something else than directories.assets, {another}",
            ],
        )
        self.assertEqual(
            self.problems({"log": {"file": "info"}, "logs": {"file": {"level": "warn"}}}),
            [f"c.yml: logs.file.level: says something else than log.file.level, {another}"],
        )

    def test_problems_of_a_file(self) -> None:
        """
        What is wrong in a file is told with the path that it has there.
        """
        self.assertEqual(
            self.problems({"port": -1, "directories": {"dta": "x"}}),
            [
                "c.yml: port: must be an integer from 0 to 65535",
                "c.yml: directories.dta: unknown key, did you mean directories.data?",
            ],
        )
        self.assertRegex(self.problems([])[0], r"\Ac\.yml: must be a mapping with the keys id, ")

    def test_problems_of_variables(self) -> None:
        """
        What is wrong in a variable is told with its name and the path.
        """
        self.assertEqual(
            self.problems(
                {"id": 7},
                {
                    "BUCKETS": '["0:1", -1]',
                    "KEYS": "//Alice",
                    "LIMITS": "[",
                    "LOGS__FILE": '{"level": "info", "pth": ""}',
                    "PUBLIC_API": '{"port": "80"}',
                    "PUBLIC_API__SHOW_DOWNLOADS": "yes",
                },
            ),
            [
                "c.yml: id: must be text: put it in quotes",
                f"{PREFIX}BUCKETS: buckets[1]: must be text or a non-negative integer",
                f"{PREFIX}KEYS: keys: must be a list of keys",
                f"{PREFIX}LIMITS: limits: must be a mapping, as JSON",
                f"{PREFIX}PUBLIC_API: publicApi.port: must be an integer from 0 to 65535",
                f"{PREFIX}LOGS__FILE: logs.file.pth: unknown key, did you mean logs.file.path?",
                f"{PREFIX}PUBLIC_API__SHOW_DOWNLOADS: publicApi.showDownloads: must be true or false",
            ],
        )

    def test_problems_with_files_of_variables(self) -> None:
        """
        What could not be read at all is told last.
        """
        self.assertEqual(
            self.problems({"id": 7}, {"PORT": "1", "PORT_FILE": "2"}),
            [
                "c.yml: id: must be text: put it in quotes",
                f"{PREFIX}PORT: is given, and so is {PREFIX}PORT_FILE: only one of them can be",
            ],
        )
