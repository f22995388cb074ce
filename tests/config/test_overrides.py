"""
Tests of L{distributor.config} as a whole: the environment says what the file could say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from distributor.config import KEYS, ConfigError, configured_by, load_config, parse_config, standalone_config
from distributor.config.environment import PREFIX, variable
from tests.config.fit import fit
from tests.config.test_load import BASE, minimal, parse


class OverrideTests(SynchronousTestCase):
    """
    The environment and the file say the same in their own ways.
    """

    @given(st.data())
    def test_same(self, data: st.DataObject) -> None:
        """
        Whatever is said of a key in the file can be said by its variable, in every spelling, instead or besides.
        """
        key = data.draw(st.sampled_from(KEYS))
        value = data.draw(fit(key))
        spelling = data.draw(st.sampled_from(key.spellings))
        base: dict[str, object] = {"id": "x", "operatorApi.port": 1, "operatorApi.hmacSecret": "s"}
        base["logs.file.path"] = "l"
        base["endpoints.storageSquid"] = "http://s"
        if key.path == "directories.logs":
            del base["logs.file.path"]
        if key.path == "catalogue.manifest":
            del base["endpoints.storageSquid"]
        base.pop(key.path, None)
        expected = parse(nested({**base, spelling: value}))
        as_text = value if isinstance(value, str) else json.dumps(value)
        if value == "off" and not key.path.startswith("logs."):
            return
        environ = {variable(spelling): as_text}
        other = data.draw(st.none() | fit(key))
        for in_file in (base, {**base, key.path: other}):
            found = parse_config(nested(in_file), "config.yml", BASE, environ, Path("/start"))
            self.assertEqual(found, expected)
            self.assertEqual(found.notices, expected.notices)
            self.assertEqual(found.rows[key.path].value, expected.rows[key.path].value)
            self.assertEqual(found.rows[key.path].origin, f"${variable(spelling)}")

    def test_standalone_overridden(self) -> None:
        """
        The environment goes before the demo's values, and is checked.
        """
        environ = {PREFIX + "LIMITS__STORAGE": "2G", PREFIX + "LOGS__FILE__PATH": "l"}
        demo = standalone_config(environ, Path("/start"))
        self.assertEqual((demo.id, demo.limits.storage_bytes), ("demo", 2 << 30))
        self.assertEqual(
            standalone_config({PREFIX + "ID": ""}).notices, (f"{PREFIX}ID is empty, and counts as absent",)
        )
        assert demo.logs.file is not None
        self.assertEqual(demo.logs.file.path, Path("/start/l"))
        self.assertRaises(ConfigError, standalone_config, {PREFIX + "LIMITS__STORAGE": "2"})

    def test_environment_alone(self) -> None:
        """
        Without a file, the environment is a configuration when it says where objects are listed.
        """
        environ = {PREFIX + "ID": "x", PREFIX + "CATALOGUE__MANIFEST": "m.yml", PREFIX + "DIRECTORIES__DATA": "d"}
        self.assertTrue(configured_by(environ))
        for name in ("ENDPOINTS", "ENDPOINTS__STORAGE_SQUID", "ENDPOINTS__QUERY_NODE_FILE", "CATALOGUE"):
            self.assertTrue(configured_by({PREFIX + name: "x"}))
        self.assertFalse(configured_by({PREFIX + "ID": "x", "CATALOGUE__MANIFEST": "m.yml"}))
        config = load_config(None, environ, Path("/start"))
        self.assertEqual((config.id, config.catalogue.manifest), ("x", Path("/start/m.yml")))
        self.assertEqual(config.directories.assets, Path("/start/d"))
        error = self.assertRaises(ConfigError, load_config, None, {PREFIX + "CATALOGUE__MANIFEST": "m.yml"})
        self.assertEqual(str(error), "the environment: id: is required, and must be text")

    def test_file_of_a_secret(self) -> None:
        """
        A variable may name a file, from the directory where the node is started.
        """
        here = Path(self.mktemp()).absolute()
        here.mkdir()
        (here / "c.yml").write_text(minimal("operatorApi: {port: 1}"))
        (here / "secret").write_text("whisper\n")
        config = load_config(here / "c.yml", {PREFIX + "OPERATOR_API__HMAC_SECRET_FILE": "secret"}, here)
        assert config.operator_api is not None
        self.assertEqual(config.operator_api.hmac_secret, "whisper")
        self.assertNotIn("whisper", repr(config))


def nested(values: Mapping[str, object]) -> str:
    """
    A file that says C{values}, whose keys are paths.
    """
    document: dict[str, Any] = {}
    for path, value in values.items():
        *sections, name = path.split(".")
        level = document
        for section in sections:
            level = level.setdefault(section, {})
        level[name] = value
    return json.dumps(document)
