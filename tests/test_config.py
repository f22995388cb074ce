"""
Tests for L{distributor.config}, and of C{docs/configuration.rst} against it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from textwrap import dedent

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from distributor.config import (
    KEYS,
    Catalogue,
    Config,
    ConfigError,
    Directories,
    Limits,
    PublicAPI,
    directories,
    find_config,
    load_config,
    parse_config,
    parse_size,
    standalone_config,
)
from distributor.schema import Key
from tests.test_document import json_values, yaml_like

BASE = Path("/etc/node")

WHOLE = """
id: my-node
directories: {assets: assets, cacheState: /var/lib/node}
limits:
  storage: 5G
  maxCachedItemSize: 1M
  maxConcurrentStorageNodeDownloads: 1
  maxConcurrentOutboundConnections: 2
  maxInboundConnections: 3
  outboundRequestsTimeoutMs: 1500
  pendingDownloadTimeoutSec: 60
  drainTimeoutSec: 0
publicApi: {port: 0, showDownloads: true}
catalogue: {manifest: ../manifest.yml}
buckets: [0:1, 7, "8"]
workerId: 3
"""


def parse(text: str) -> Config:
    """
    Read a configuration that lies in C{/etc/node}.
    """
    return parse_config(text, "config.yml", BASE)


def minimal(text: str) -> str:
    """
    C{text} after what is required.
    """
    return f"id: x\ncatalogue: {{manifest: m.yml}}\n{text}"


class SizeTests(SynchronousTestCase):
    """
    Sizes are written as Argus writes them.
    """

    def test_units(self) -> None:
        """
        Units are powers of 1024, and leading zeros do no harm.
        """
        sizes = {"0B": 0, "7B": 7, "2K": 2048, "3M": 3 << 20, "20G": 20 << 30, "1T": 1 << 40, "0500M": 500 << 20}
        for written, size in sizes.items():
            self.assertEqual(parse_size(written), size)

    def test_what_is_no_size(self) -> None:
        """
        Anything else is refused: other units, signs, fractions, digits of other scripts, more than files can have.
        """
        for written in (
            "",
            "7",
            "G",
            "7k",
            "7GB",
            "7 G",
            "-1G",
            "+1G",
            "1.5G",
            "1_0G",
            "٣G",
            "1G\n",
            "9" * 99 + "B",
            "8388608T",
        ):
            self.assertRaises(ValueError, parse_size, written)

    @given(st.integers(0, 2**64), st.sampled_from("BKMGT"))
    def test_any_number(self, number: int, unit: str) -> None:
        """
        Every size that a file can have is read, and none beyond.
        """
        size = number << (10 * "BKMGT".index(unit))
        if size < 2**63:
            self.assertEqual(parse_size(f"{number}{unit}"), size)
        else:
            self.assertRaises(ValueError, parse_size, f"{number}{unit}")


class ParseTests(SynchronousTestCase):
    """
    A file becomes one value, or a message that says what to mend.
    """

    def refused(self, text: str) -> list[str]:
        return str(self.assertRaises(ConfigError, parse, text)).split("\n")

    def test_every_key(self) -> None:
        """
        Every key arrives where it belongs, in bytes and seconds, and paths start from the file's directory.
        """
        config = parse(WHOLE)
        self.assertEqual(config.id, "my-node")
        self.assertEqual(config.directories.assets, Path("/etc/node/assets"))
        self.assertEqual(config.directories.cache_state, Path("/var/lib/node"))
        self.assertEqual(
            config.limits,
            Limits(
                storage_bytes=5 << 30,
                max_cached_item_bytes=1 << 20,
                max_concurrent_storage_node_downloads=1,
                max_concurrent_outbound_connections=2,
                max_inbound_connections=3,
                outbound_requests_timeout_s=1.5,
                pending_download_timeout_s=60.0,
                drain_timeout_s=0.0,
            ),
        )
        self.assertIsInstance(config.limits.drain_timeout_s, float)
        self.assertEqual(config.public_api, PublicAPI(port=0, show_downloads=True))
        self.assertEqual(config.catalogue, Catalogue(manifest=Path("/etc/node/../manifest.yml")))
        self.assertEqual(config.buckets, ("0:1", 7, "8"))
        self.assertEqual(config.worker_id, 3)

    def test_defaults(self) -> None:
        """
        A file of two keys is enough.
        """
        config = parse(minimal(""))
        self.assertEqual((config.id, config.catalogue.manifest), ("x", BASE / "m.yml"))
        self.assertEqual((config.directories.assets, config.directories.cache_state), (None, None))
        self.assertEqual(config.limits.storage_bytes, 20 << 30)
        self.assertIsNone(config.limits.max_cached_item_bytes)
        self.assertEqual(config.limits.max_inbound_connections, 10_000)
        self.assertEqual(config.limits.drain_timeout_s, 30.0)
        self.assertEqual(config.public_api.port, 3334)
        self.assertEqual((config.buckets, config.worker_id), (None, None))

    def test_json(self) -> None:
        """
        JSON says the same as YAML.
        """
        text = json.dumps({"id": "x", "catalogue": {"manifest": "m.yml"}, "buckets": ["0:1"]})
        self.assertEqual(parse_config(text, "c.json", BASE), parse(minimal("buckets: [0:1]")))

    def test_bounds(self) -> None:
        """
        Each bound is included, and what lies beyond it is refused with the path and the bound.
        """
        bounds = {
            "limits.maxCachedItemSize": ("1M", "1023K"),
            "limits.maxConcurrentStorageNodeDownloads": (1, 0),
            "limits.maxConcurrentOutboundConnections": (1, 0),
            "limits.maxInboundConnections": (1, 0),
            "limits.outboundRequestsTimeoutMs": (1000, 999),
            "limits.pendingDownloadTimeoutSec": (60, 59),
            "limits.drainTimeoutSec": (0, -1),
            "publicApi.port": (65535, 65536),
            "workerId": (0, -1),
        }
        expected = {key.path: key.kind.expected for key in KEYS}
        for path, (least, beyond) in bounds.items():
            section, _, name = path.rpartition(".")
            form = f"{section}: {{{name}: %s}}" if section else f"{name}: %s"
            parse(minimal(form % least))
            self.assertEqual(self.refused(minimal(form % beyond)), [f"config.yml: {path}: must be {expected[path]}"])

    def test_numbers_in_disguise(self) -> None:
        """
        Neither C{1e3} nor C{true} nor quoted digits are an integer, and a number is no size.
        """
        for value in ("1e3", "true", '"5"', "5.0", "0:10", "[5]"):
            self.assertEqual(
                self.refused(minimal(f"limits: {{maxInboundConnections: {value}}}")),
                ["config.yml: limits.maxInboundConnections: must be an integer, at least 1"],
            )
        self.assertEqual(
            self.refused(minimal("limits: {storage: 5}")),
            ["config.yml: limits.storage: must be a size such as 500M or 20G (units B, K, M, G, T)"],
        )

    def test_what_is_missing(self) -> None:
        """
        The required keys are named, all at once.
        """
        self.assertEqual(
            self.refused("workerId: 1"),
            [
                "config.yml: id: is required, and must be text",
                "config.yml: catalogue.manifest: is required, and must be the path of a manifest",
            ],
        )
        self.assertEqual(
            self.refused(minimal("").replace("id: x", "id: ''")),
            ["config.yml: id: must be text, on one line and not empty"],
        )

    def test_unknown_keys(self) -> None:
        """
        A slip of the pen is answered with the key that was meant.
        """
        self.assertEqual(
            self.refused(minimal("limits: {storge: 5G}")),
            ["config.yml: limits.storge: unknown key, did you mean limits.storage?"],
        )

    def test_buckets(self) -> None:
        """
        An empty list is not the absence of one; an item that is no bucket id is named by its position.
        """
        self.assertEqual(parse(minimal("buckets: []")).buckets, ())
        self.assertEqual(
            self.refused(minimal("buckets: [0:0, -1]")),
            ["config.yml: buckets[1]: must be text or a non-negative integer"],
        )
        self.assertEqual(
            self.refused(minimal("buckets: 0:0")),
            ['config.yml: buckets: must be a list of bucket ids such as "0:1"'],
        )

    def test_errors_of_the_text(self) -> None:
        """
        Errors of syntax, and keys given twice, come as errors of the configuration.
        """
        self.assertEqual(self.refused("id: a\nid: b\n"), ['config.yml:2: the key "id" is given twice'])
        self.assertIn("must be a mapping", self.refused("- id\n")[0])

    @given(st.text() | yaml_like | json_values.map(json.dumps))
    def test_any_text(self, text: str) -> None:
        """
        Whatever is in the file, it is refused as a configuration, or read.
        """
        for whole in (text, minimal(text), minimal(f"limits: {text}"), minimal(f"buckets: [{text}]")):
            try:
                parse(whole)
            except ConfigError as error:
                for line in str(error).split("\n"):
                    self.assertRegex(line, r"\Aconfig\.yml(:\d+)?: .+\Z")


class LoadTests(SynchronousTestCase):
    """
    Files are found and read.
    """

    def test_relative_to_the_file(self) -> None:
        """
        Relative paths in a file start from its directory, and come out absolute.
        """
        directory = Path(self.mktemp())
        directory.mkdir()
        (directory / "c.yml").write_text(minimal("directories: {assets: a}"))
        config = load_config(directory / "c.yml")
        self.assertEqual(config.directories.assets, directory.absolute() / "a")
        self.assertEqual(config.catalogue.manifest, directory.absolute() / "m.yml")

    def test_no_such_file(self) -> None:
        """
        A file that cannot be read is an error of the configuration, in one line.
        """
        path = Path(self.mktemp())
        error = self.assertRaises(ConfigError, load_config, path)
        self.assertEqual(str(error), f"{path}: cannot be read: No such file or directory")

    def test_which_file(self) -> None:
        """
        The option goes before the environment, that before C{config.yml}, and none of them is the demo.
        """
        here = Path(self.mktemp()).absolute()
        here.mkdir()
        environ = {"CONFIG_PATH": "env.yml"}
        self.assertIsNone(find_config(None, {"CONFIG_PATH": ""}, here))
        (here / "config.yml").write_text("")
        self.assertEqual(find_config(None, {}, here), here / "config.yml")
        self.assertEqual(find_config(None, environ, here), here / "env.yml")
        self.assertEqual(find_config("/o/option.yml", environ, here), Path("/o/option.yml"))

    def test_directories(self) -> None:
        """
        The file goes before what systemd made, of which the first counts, and that before the data directory.
        """
        data = Path("/data")
        systemd = {"CACHE_DIRECTORY": "/var/cache/a:/var/cache/b", "STATE_DIRECTORY": "/var/lib/a"}
        silent = parse(minimal(""))
        self.assertEqual(
            directories(silent, {"CACHE_DIRECTORY": ""}, data),
            Directories(assets=data / "assets", cache_state=data / "state"),
        )
        self.assertEqual(
            directories(silent, systemd, data),
            Directories(assets=Path("/var/cache/a"), cache_state=Path("/var/lib/a")),
        )
        half = parse(minimal("directories: {assets: kept}"))
        self.assertEqual(
            directories(half, systemd, data), Directories(assets=BASE / "kept", cache_state=Path("/var/lib/a"))
        )

    def test_standalone(self) -> None:
        """
        The demo has the defaults, a small store and no manifest file.
        """
        demo, usual = standalone_config(), parse(minimal(""))
        self.assertEqual((demo.id, demo.limits.storage_bytes), ("demo", 1 << 30))
        self.assertIsNone(demo.catalogue.manifest)
        self.assertEqual(demo.public_api, usual.public_api)
        self.assertEqual(demo.limits.drain_timeout_s, usual.limits.drain_timeout_s)
        self.assertEqual((demo.buckets, demo.worker_id), (None, None))


class DocumentationTests(SynchronousTestCase):
    """
    C{docs/configuration.rst} says what the code does.
    """

    def test_table(self) -> None:
        """
        The table has a row for each key, in the order of the code, with what it may be, its default and its meaning.
        """
        page = (Path(__file__).parent.parent / "docs" / "configuration.rst").read_text()
        _, _, table = page.partition(".. list-table:: Keys of the configuration file")
        # Rows are indented; the next line that is not ends the table.
        table = re.split(r"\n(?=\S)", table)[0]
        rows = [
            [re.sub(r"\s+", " ", cell.strip()) for cell in re.split(r"\n\s+- ", row)]
            for row in table.split("\n   * - ")[2:]
        ]
        self.assertEqual(rows, [self.row(key) for key in KEYS])

    def row(self, key: Key) -> list[str]:
        default = "none" if key.default is None else f"``{key.default}``"
        if isinstance(key.default, bool):
            default = default.lower()
        return [f"``{key.path}``", key.kind.expected, "required" if key.required else default, key.meaning]

    def test_example(self) -> None:
        """
        The examples of the page are valid, and the paths in them are taken as the page says.
        """
        page = (Path(__file__).parent.parent / "docs" / "configuration.rst").read_text()
        [example] = re.findall(r"\.\. code-block:: yaml\n   :caption: config\.yml\n\n((?:   .*\n|\n)+)", page)
        config = parse(dedent(example))
        self.assertEqual(config.catalogue.manifest, BASE / "manifest.yml")
