"""
Tests for L{distributor.config.effective}.
"""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from distributor.config import KEYS, Config, Effective, directories, effective, parse_config, report, standalone_config
from distributor.config.environment import PREFIX
from tests.config.test_load import BASE, minimal


def parse(text: str, **environ: str) -> Config:
    variables = {PREFIX + name: value for name, value in environ.items()}
    return parse_config(minimal(text), "/etc/c.yml", BASE, variables, Path("/start"))


class EffectiveTests(SynchronousTestCase):
    """
    What is shown of the configuration.
    """

    def row(self, config: Config, key: str) -> tuple[object, str]:
        [row] = [row for row in effective(config) if row.key == key]
        return row.value, row.origin

    def test_every_key(self) -> None:
        """
        Every key is there, in the order of the table; those without an effect only where they are given.
        """
        self.assertEqual([row.key for row in effective(parse(""))], [key.path for key in KEYS if not key.idle])
        self.assertEqual(
            self.row(parse("endpoints: {joystreamNodeWs: 'ws://n'}"), "endpoints.joystreamNodeWs")[0], "ws://n"
        )

    def test_values_and_origins(self) -> None:
        """
        Values are shown as one writes them, with the place where they are written; paths from the root.
        """
        config = parse(
            "port: 80\nlimits: {storage: 1G, drainTimeoutSec: 7}\nlogs: {file: {path: l}}\nbuckets: ['0:1', 2]",
            LIMITS__DRAIN_TIMEOUT_SEC="8",
            DIRECTORIES__DATA="d",
        )
        self.assertEqual(self.row(config, "publicApi.port"), (80, "/etc/c.yml"))
        self.assertEqual(self.row(config, "limits.storage"), ("1G", "/etc/c.yml"))
        self.assertEqual(self.row(config, "limits.drainTimeoutSec"), (8, f"${PREFIX}LIMITS__DRAIN_TIMEOUT_SEC"))
        self.assertEqual(self.row(config, "directories.assets"), ("/etc/node/d", f"${PREFIX}DIRECTORIES__DATA"))
        self.assertEqual(self.row(config, "logs.file.path"), ("/start/l", "/etc/c.yml"))
        self.assertEqual(self.row(config, "catalogue.manifest"), ("/etc/node/m.yml", "/etc/c.yml"))
        self.assertEqual(self.row(config, "buckets"), (["0:1", 2], "/etc/c.yml"))
        self.assertEqual(self.row(config, "limits.queryNodeCacheTTL"), (60, "default"))
        self.assertEqual(self.row(config, "workerId"), (None, "default"))
        self.assertEqual(self.row(standalone_config(), "id"), ("demo", "the demo"))

    def test_secrets(self) -> None:
        """
        Secrets are neither shown nor kept with what can be shown.
        """
        config = parse(
            "operatorApi: {port: 1, hmacSecret: whisper}\nkeys: [whisper, {suri: whisper}]\n"
            "logs: {elastic: {auth: {password: whisper}}}"
        )
        self.assertEqual(self.row(config, "operatorApi.hmacSecret"), ("(hidden)", "/etc/c.yml"))
        self.assertEqual(self.row(config, "keys"), ("(hidden)", "/etc/c.yml"))
        self.assertNotIn("whisper", str(config.rows))
        self.assertNotIn("whisper", report(config, directories(config, {}, Path("/data"))))
        config = parse("", OPERATOR_API='{"port": 1, "hmacSecret": "whisper"}', KEYS='["whisper"]')
        self.assertNotIn("whisper", str(config.rows))

    def test_directories_in_use(self) -> None:
        """
        Of directories that the configuration does not name, those that are used instead are shown, and why.
        """
        config = parse("directories: {assets: a}")
        where = directories(config, {"STATE_DIRECTORY": "/s", "CACHE_DIRECTORY": "/c"}, Path("/data"))
        rows = {row.key: row for row in effective(config, where)}
        self.assertEqual(
            rows["directories.assets"],
            Effective(key="directories.assets", value="/etc/node/a", origin="/etc/c.yml"),
        )
        self.assertEqual(
            rows["directories.cacheState"],
            Effective(key="directories.cacheState", value="/s", origin="$STATE_DIRECTORY"),
        )

    def test_report(self) -> None:
        """
        At a terminal, each key is a line of three columns, with notices below.
        """
        config = parse("keys: [a]\nbuckets: ['ü', 2]")
        lines = report(config, directories(config, {}, Path("/data"))).split("\n")
        self.assertEqual(lines[-2:], ["note: without an effect here: keys", ""])
        table = [line.split() for line in lines[:-2]]
        self.assertIn(["id", "x", "/etc/c.yml"], table)
        self.assertIn(["directories.assets", "/data/assets", "--data-dir"], table)
        self.assertIn(["publicApi.showDownloads", "false", "default"], table)
        self.assertIn(["workerId", "-", "default"], table)
        self.assertIn(["buckets", '["ü",', "2]", "/etc/c.yml"], table)
        column = lines[0].index("x")
        self.assertEqual({line[column - 2 : column] for line in lines[:-2]}, {"  "})
