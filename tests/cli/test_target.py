"""
Tests for L{distributor.cli.target}.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from distributor.cli.target import SECRET_FILE_VARIABLE, SECRET_VARIABLE, Asked, NoTarget, Target, find_target
from distributor.config import ConfigError

URL = "http://10.0.0.7:3335"
PORT_VARIABLE = "JOYSTREAM_DISTRIBUTOR__OPERATOR_API__PORT"


class FindTargetTests(SynchronousTestCase):
    """
    L{find_target}: the command line, then the environment, then the file.
    """

    def setUp(self) -> None:
        self.cwd = Path(self.mktemp()).absolute()
        self.cwd.mkdir()

    def write(self, name: str = "config.yml", **api: Any) -> Path:
        """
        A configuration with an operator's API.
        """
        path = self.cwd / name
        document = {"id": "me", "catalogue": {"manifest": "m.json"}, **({"operatorApi": api} if api else {})}
        path.write_text(json.dumps(document))
        return path

    def find(self, environ: Mapping[str, str] | None = None, **asked: str) -> Target:
        """
        What is found from the directory of this test.
        """
        return find_target(Asked(**asked), environ or {}, self.cwd)

    def assert_missing(self, expected: str, environ: Mapping[str, str] | None = None, **asked: str) -> None:
        """
        Nothing is found, and this is said of it.
        """
        error = self.assertRaises(NoTarget, self.find, environ, **asked)
        self.assertEqual(str(error), expected)

    def test_from_the_file(self) -> None:
        """
        The file is C{config.yml}, unless C{--config} or C{$CONFIG_PATH} say another.
        """
        self.write(port=3335, hmacSecret="one")
        self.assertEqual(self.find(), Target(scheme="http", host="127.0.0.1", port=3335, secret="one"))
        self.write("two.yml", port=2, hmacSecret="two")
        self.assertEqual(self.find(config="two.yml").secret, "two")
        self.assertEqual(self.find({"CONFIG_PATH": str(self.cwd / "two.yml")}).port, 2)

    def test_addresses(self) -> None:
        """
        A node that listens on all addresses is asked on this machine's own.
        """
        for host, url in (
            ("0.0.0.0", "http://127.0.0.1:3335"),
            ("::", "http://[::1]:3335"),
            ("10.1.2.3", "http://10.1.2.3:3335"),
            ("fd00::1", "http://[fd00::1]:3335"),
        ):
            self.write(port=3335, hmacSecret="x", host=host)
            self.assertEqual(self.find().url, url)

    def test_the_environment_overrides_the_file(self) -> None:
        """
        As it does for the node.
        """
        self.write(port=3335, hmacSecret="one")
        found = self.find({SECRET_VARIABLE: "from the environment", PORT_VARIABLE: "4000"})
        self.assertEqual((found.secret, found.port), ("from the environment", 4000))
        (self.cwd / "secret").write_text("from a file\n")
        self.assertEqual(self.find({SECRET_FILE_VARIABLE: "secret"}).secret, "from a file")

    def test_the_environment_can_take_back(self) -> None:
        """
        As it can for the node: a word that unsets a value is no secret.
        """
        self.write(port=3335, hmacSecret="one")
        self.assertRaises(ConfigError, self.find, {SECRET_VARIABLE: "null"})

    def test_the_command_line_overrides_both(self) -> None:
        """
        Address and secret, each on its own.
        """
        self.write(port=3335, hmacSecret="one")
        self.assertEqual(self.find({SECRET_VARIABLE: "two"}, secret="three").secret, "three")
        self.assertEqual(self.find({SECRET_VARIABLE: "two"}, url=URL).secret, "two")
        found = self.find(url=URL)
        self.assertEqual((found.url, found.secret), (URL, "one"))

    def test_without_a_configuration(self) -> None:
        """
        With an address and a secret, there need not be one, nor a right one.
        """
        self.assertEqual(self.find(url=URL, secret="x"), Target(scheme="http", host="10.0.0.7", port=3335, secret="x"))
        (self.cwd / "config.yml").write_text("nonsense: true")
        self.assertEqual(self.find({SECRET_VARIABLE: "y"}, url=URL).secret, "y")
        (self.cwd / "s").write_text("z\r\n")
        self.assertEqual(self.find({SECRET_FILE_VARIABLE: "s"}, url=URL).secret, "z")
        self.assertEqual(self.find({SECRET_VARIABLE: "y"}, url=URL, secret_file="s").secret, "z")

    def test_the_environment_alone(self) -> None:
        """
        The environment can be the whole configuration.
        """
        self.assertEqual(self.find({PORT_VARIABLE: "77", SECRET_VARIABLE: "y"}).url, "http://127.0.0.1:77")

    def test_secret_from_standard_input(self) -> None:
        """
        A secret that comes through a pipe is in no list of processes.
        """
        self.patch(sys, "stdin", io.StringIO("piped\n"))
        self.assertEqual(self.find(url=URL, secret_file="-").secret, "piped")

    def test_what_is_missing(self) -> None:
        """
        It is said what is missing, and how else to give it.
        """
        nothing = "there is no configuration file: give --config, or "
        self.assert_missing(nothing + "--url and --secret-file")
        self.assert_missing(nothing + "--secret-file", url=URL)
        self.write()
        self.assert_missing(
            "operatorApi.port is not configured, so the node has no operator's API (or give --url and --secret-file)"
        )
        self.write(port=0, hmacSecret="x")
        self.assert_missing("operatorApi.port is 0, which is another port at each start: give --url")

    def test_bad_secrets(self) -> None:
        """
        A secret that is none is refused before anything is asked.
        """
        self.assert_missing("--secret: is empty", secret="")
        self.assert_missing("--secret and --secret-file exclude each other", secret="x", secret_file="y")
        self.assert_missing("--secret-file: none: No such file or directory", secret_file="none")
        (self.cwd / "empty").write_text("\n")
        self.assert_missing("--secret-file: empty: is empty", secret_file="empty")
        (self.cwd / "binary").write_bytes(b"\xff\xfe")
        error = self.assertRaises(NoTarget, self.find, secret_file="binary")
        self.assertIn("utf-8", str(error))

    def test_a_wrong_configuration(self) -> None:
        """
        What is wrong with the file is said as the node says it.
        """
        self.write(port="x", hmacSecret="y")
        error = self.assertRaises(ConfigError, self.find)
        self.assertIn("operatorApi.port", str(error))

    def test_urls(self) -> None:
        """
        A path is what a proxy strips; the part that all addresses of the API share is none.
        """
        for url, shown in (
            (URL + "/", URL),
            ("https://node.example.org", "https://node.example.org:443"),
            ("http://node.example.org/operator/", "http://node.example.org:80/operator"),
            (URL + "/api/v1", URL),
            (URL + "/operator/api/v1/", URL + "/operator"),
            ("http://[::1]:3335", "http://[::1]:3335"),
        ):
            self.assertEqual(self.find(url=url, secret="x").url, shown)
        for url in (
            *("", "localhost:3335", "127.0.0.1:3335", "ftp://x/", "http://", "http://x:port", "http://x:70000"),
            *("http://a:b@x/", "http://x/?q", "http://x/#f", "http://x/a b", "http://x/ä", "http://[::1"),
        ):
            error = self.assertRaises(NoTarget, self.find, url=url, secret="x")
            self.assertRegex(str(error), r"\A--url: .+: expected such as http://127.0.0.1:3335\Z")

    def test_secrets_are_not_shown(self) -> None:
        """
        Neither value gives its secret away where it is logged by mistake.
        """
        self.assertNotIn("hidden", repr(self.find(url=URL, secret="hidden")) + repr(Asked(secret="hidden")))
