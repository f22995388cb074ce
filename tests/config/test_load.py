"""
Tests for L{distributor.config.load}.
"""

from __future__ import annotations

import json
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
    Effective,
    Endpoints,
    Intervals,
    Limits,
    LogFiles,
    Logs,
    OperatorAPI,
    PublicAPI,
    Sources,
    find_config,
    load_config,
    parse_config,
    standalone_config,
    with_port,
)
from tests.test_document import json_values, yaml_like

BASE = Path("/etc/node")

WHOLE = """
id: my-node
endpoints: {storageSquid: "http://squid/graphql", queryNode: "http://node/graphql"}
directories: {assets: assets, cacheState: /var/lib/node}
logs:
  file: {level: debug, path: logs, maxFiles: 3, maxSize: 1024, frequency: hourly, archive: true}
  console: {level: warn}
limits:
  storage: 5G
  maxCachedItemSize: 1M
  maxConcurrentStorageNodeDownloads: 1
  maxConcurrentOutboundConnections: 2
  maxInboundConnections: 3
  outboundRequestsTimeoutMs: 1500
  pendingDownloadTimeoutSec: 60
  drainTimeoutSec: 0
  dataObjectSourceByObjectIdTTL: 4
  queryNodeCacheTTL: 5
intervals: {saveCacheState: 6, checkStorageNodeResponseTimes: 7, cacheCleanup: 8}
publicApi: {port: 0, showDownloads: true, metrics: true}
operatorApi: {port: 1, host: "::1", hmacSecret: secret}
sources: {allowPrivateAddresses: true}
buckets: [0:1, 7, "8"]
workerId: 3
"""


def parse(text: str) -> Config:
    """
    Read a configuration that lies in C{/etc/node}, of a node that is started in C{/start}.
    """
    return parse_config(text, "config.yml", BASE, cwd=Path("/start"))


def minimal(text: str) -> str:
    """
    C{text} after what is required.
    """
    return f"id: x\ncatalogue: {{manifest: m.yml}}\n{text}"


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
                data_object_source_ttl_s=4.0,
                query_node_cache_ttl_s=5.0,
            ),
        )
        self.assertIsInstance(config.limits.drain_timeout_s, float)
        self.assertEqual(
            config.public_api,
            PublicAPI(port=0, show_downloads=True, metrics=True, trusted_proxies=("127.0.0.0/8", "::1")),
        )
        self.assertEqual(config.operator_api, OperatorAPI(port=1, host="::1", hmac_secret="secret"))
        self.assertEqual(
            config.endpoints, Endpoints(storage_squid="http://squid/graphql", query_node="http://node/graphql")
        )
        self.assertEqual(
            config.intervals,
            Intervals(save_cache_state_s=6.0, check_storage_node_response_times_s=7.0, cache_cleanup_s=8.0),
        )
        self.assertEqual(
            config.logs,
            Logs(
                file=LogFiles(
                    level="debug",
                    path=Path("/start/logs"),
                    max_files=3,
                    max_bytes=1024,
                    frequency="hourly",
                    archive=True,
                ),
                console_level="warn",
            ),
        )
        self.assertEqual(config.sources, Sources(allow_private_addresses=True))
        self.assertEqual(config.catalogue, Catalogue(manifest=None))
        self.assertEqual(config.notices, ())
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
        self.assertEqual(config.endpoints, Endpoints())
        self.assertEqual(config.logs, Logs(file=None, console_level=None))
        self.assertEqual(
            config.intervals,
            Intervals(save_cache_state_s=60.0, check_storage_node_response_times_s=60.0, cache_cleanup_s=60.0),
        )
        self.assertEqual((config.limits.data_object_source_ttl_s, config.limits.query_node_cache_ttl_s), (60.0, 60.0))
        self.assertIsNone(config.operator_api)
        self.assertEqual(config.sources, Sources(allow_private_addresses=False))
        self.assertEqual(
            config.public_api,
            PublicAPI(port=3334, show_downloads=False, metrics=False, trusted_proxies=("127.0.0.0/8", "::1")),
        )

    def test_first_generation(self) -> None:
        """
        A file as Argus' first version wants it says the same as one of today.
        """
        old = """
            id: x
            endpoints: {queryNode: "http://q/graphql", joystreamNodeWs: "ws://n", elasticSearch: "http://e"}
            directories: {data: d, cache: c, logs: l}
            log: {file: debug, console: verbose, elastic: info}
            limits: {storage: 100G, outboundRequestsTimeout: 1000}
            port: 80
            keys: [//Alice]
            buckets: all
            workerId: 1
        """
        new = """
            id: x
            endpoints: {queryNode: "http://q/graphql"}
            directories: {assets: d, cacheState: c}
            logs: {file: {level: debug, path: /etc/node/l}, console: {level: verbose}}
            limits: {storage: 100G, outboundRequestsTimeoutMs: 1000}
            publicApi: {port: 80}
            workerId: 1
        """
        self.assertEqual(parse(dedent(old)), parse(dedent(new)))
        self.assertIsNone(parse(dedent(old)).buckets)

    def test_no_log_files(self) -> None:
        """
        There are log files where there is a directory for them, unless they are switched off.
        """
        files = parse(minimal("logs: {file: {path: /l}}")).logs.file
        assert files is not None
        self.assertEqual((files.level, files.frequency, files.archive, files.max_files), ("info", "daily", False, None))
        self.assertIsNone(parse(minimal("logs: {file: {path: /l, level: off}}")).logs.file)

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
            "limits.dataObjectSourceByObjectIdTTL": (1, 0),
            "limits.queryNodeCacheTTL": (1, 0),
            "intervals.saveCacheState": (1, 0),
            "intervals.checkStorageNodeResponseTimes": (1, 0),
            "intervals.cacheCleanup": (1, 0),
            "operatorApi.port": (0, -1),
            "logs.file.maxFiles": (1, 0),
            "logs.file.maxSize": (1024, 1023),
        }
        expected = {key.path: key.kind.expected for key in KEYS}
        for path, (least, beyond) in bounds.items():
            section, _, name = path.rpartition(".")
            form = f"{{{name}: %s}}"
            for each in reversed(section.split(".") if section else ()):
                form = f"{{{each}: {form}}}"
            more = {"operatorApi": "hmacSecret: s, ", "logs.file": "path: l, "}.get(section, "")
            form = form[1:-1].replace(name, more + name)
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
                "config.yml: endpoints.storageSquid: is required, and must be an http or https URL; or else give "
                "endpoints.queryNode or catalogue.manifest",
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
            ['config.yml: buckets: must be a list of bucket ids such as "0:1", or all'],
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

    def test_port(self) -> None:
        """
        An option can say another port; nothing else changes.
        """
        config = parse(minimal("publicApi: {port: 80, showDownloads: true}"))
        changed = with_port(config, 0, "--port")
        self.assertEqual(
            changed.public_api,
            PublicAPI(port=0, show_downloads=True, metrics=False, trusted_proxies=("127.0.0.0/8", "::1")),
        )
        self.assertEqual(changed.rows["publicApi.port"], Effective(key="publicApi.port", value=0, origin="--port"))
        self.assertEqual(changed.limits, config.limits)
