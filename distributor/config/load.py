"""
From a file, or the text of one, and the environment to L{Config}.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from attrs import evolve, frozen

from distributor.config.checks import contradictions, missing, notices
from distributor.config.environment import file_reader, names_any, read_environment
from distributor.config.keys import KEYS, SETTINGS
from distributor.config.layers import Placed, gather
from distributor.config.values import (
    Catalogue,
    Config,
    ConfiguredDirectories,
    Effective,
    Endpoints,
    Intervals,
    Limits,
    LogFiles,
    Logs,
    OperatorAPI,
    PublicAPI,
    Sources,
)
from distributor.document import DocumentError, parse_document, read_text
from distributor.model import DistributorError
from distributor.observe.levels import OFF
from distributor.schema import Key

_NO_ENVIRONMENT: Mapping[str, str] = MappingProxyType({})


class ConfigError(DistributorError):
    """The configuration is wrong. The message has one line for each problem, each with the file and the path."""


def load_config(path: Path | None, environ: Mapping[str, str] = _NO_ENVIRONMENT, cwd: Path | None = None) -> Config:
    """
    Read a configuration file, and what overrides it. Blocks: for use before the reactor runs.

    @param path: L{None}: there is only the environment.
    @param cwd: the directory that the node was started in, for what the environment names, and for log files; the
        current one unless given. Paths come out absolute, because twistd changes its directory when it becomes a
        daemon.
    @raise ConfigError: it cannot be read, or something in it is wrong.
    """
    here = Path.cwd() if cwd is None else cwd
    if path is None:
        return parse_config("", "the environment", here, environ, here)
    try:
        written = read_text(path)
    except DocumentError as error:
        raise ConfigError(str(error)) from None
    return parse_config(written, path, path.absolute().parent, environ, here)


def parse_config(
    written: str,
    origin: Path | str,
    base: Path,
    environ: Mapping[str, str] = _NO_ENVIRONMENT,
    cwd: Path = Path(),
) -> Config:
    """
    Read the text of a configuration file, YAML or JSON. It reads the files that the environment names, and no others.

    @param origin: what the messages call it.
    @param base: the directory that relative paths start from.
    @param cwd: the directory that those of log files and of the environment start from.
    @raise ConfigError: something in it is wrong.
    """
    try:
        document = parse_document(written, str(origin))
    except DocumentError as error:
        raise ConfigError(str(error)) from None
    return _config(document, str(origin), _Bases(base, cwd), environ)


def standalone_config(environ: Mapping[str, str] = _NO_ENVIRONMENT, cwd: Path = Path()) -> Config:
    """
    What the demo runs with: defaults, a small store, and no catalogue, because it makes its own; and what the
    environment says.

    @raise ConfigError: the environment is wrong.
    """
    document = {"id": "demo", "limits": {"storage": "1G"}}
    return _config(document, "the demo", _Bases(cwd, cwd), environ, demo=True)


def configured_by(environ: Mapping[str, str]) -> bool:
    """
    Whether the environment is a configuration, without any file: it says where the objects are listed.
    """
    query_nodes = ("endpoints", "endpoints.storageSquid", "endpoints.queryNode")
    return names_any(environ, (*query_nodes, "catalogue", "catalogue.manifest"))


def find_config(option: str | None, environ: Mapping[str, str], cwd: Path) -> Path | None:
    """
    Which configuration file to read: the one of the option, else C{$CONFIG_PATH}, else C{config.yml} in the working
    directory where there is one. A file that was named is not looked for: reading it says what is wrong with it.

    @return: an absolute path where C{cwd} is one; L{None}: there is no file.
    """
    if option is not None:
        return cwd / option
    if environ.get("CONFIG_PATH"):
        return cwd / environ["CONFIG_PATH"]
    found = cwd / "config.yml"
    return found if found.exists() else None


def with_port(config: Config, port: int, origin: str) -> Config:
    """
    The same with another port of the public API.
    """
    row = Effective(key="publicApi.port", value=port, origin=origin)
    return evolve(config, public_api=evolve(config.public_api, port=port), rows={**config.rows, "publicApi.port": row})


def with_workers(config: Config, number: int, origin: str) -> Config:
    """
    The same with another number of processes.
    """
    row = Effective(key="workers", value=number, origin=origin)
    return evolve(config, workers=number, rows={**config.rows, "workers": row})


@frozen
class _Bases:
    """
    Where relative paths start.
    """

    file: Path
    cwd: Path


def _config(document: object, origin: str, bases: _Bases, environ: Mapping[str, str], *, demo: bool = False) -> Config:
    environment = read_environment(environ, file_reader(bases.cwd, read_text))
    placed, problems = gather(document, origin, environment)
    problems += missing(placed, origin, catalogue=not demo)
    if not problems:
        problems += contradictions(placed)
    if problems:
        raise ConfigError("\n".join(problems))
    config = _Values(placed, bases).config()
    return evolve(config, notices=(*notices(placed), *environment.notices))


class _Values:
    """
    The values by their paths, defaults filled in, and what is made of them.
    """

    def __init__(self, placed: Mapping[str, Placed], bases: _Bases) -> None:
        self._placed = placed
        self._bases = bases

    def __getitem__(self, path: str) -> Any:
        if path in self._placed:
            return self._placed[path].value
        key: Key = SETTINGS[path]
        return None if key.default is None else key.kind.read(key.default)

    def path(self, path: str) -> Path | None:
        return None if self[path] is None else self._base(path) / self[path]

    def _base(self, path: str) -> Path:
        return self._bases.cwd if SETTINGS[path].starts_from == "started" else self._bases.file

    def config(self) -> Config:
        port = self["operatorApi.port"]
        return Config(
            id=self["id"],
            endpoints=Endpoints(storage_squid=self["endpoints.storageSquid"], query_node=self["endpoints.queryNode"]),
            directories=ConfiguredDirectories(
                assets=self.path("directories.assets"),
                cache_state=self.path("directories.cacheState"),
            ),
            logs=self.logs(),
            limits=self.limits(),
            intervals=Intervals(
                save_cache_state_s=float(self["intervals.saveCacheState"]),
                check_storage_node_response_times_s=float(self["intervals.checkStorageNodeResponseTimes"]),
                cache_cleanup_s=float(self["intervals.cacheCleanup"]),
            ),
            public_api=PublicAPI(
                port=self["publicApi.port"],
                show_downloads=self["publicApi.showDownloads"],
                metrics=self["publicApi.metrics"],
                trusted_proxies=self["publicApi.trustedProxies"],
            ),
            operator_api=None
            if port is None
            else OperatorAPI(port=port, host=self["operatorApi.host"], hmac_secret=self["operatorApi.hmacSecret"]),
            sources=Sources(allow_private_addresses=self["sources.allowPrivateAddresses"]),
            catalogue=Catalogue(manifest=self.path("catalogue.manifest")),
            buckets=self["buckets"],
            worker_id=self["workerId"],
            workers=self["workers"],
            rows={key.path: self.row(key.path) for key in KEYS if key.path in self._placed or not key.idle},
        )

    def limits(self) -> Limits:
        return Limits(
            storage_bytes=self["limits.storage"],
            max_cached_item_bytes=self["limits.maxCachedItemSize"],
            max_concurrent_storage_node_downloads=self["limits.maxConcurrentStorageNodeDownloads"],
            max_concurrent_outbound_connections=self["limits.maxConcurrentOutboundConnections"],
            max_inbound_connections=self["limits.maxInboundConnections"],
            outbound_requests_timeout_s=self["limits.outboundRequestsTimeoutMs"] / 1000,
            pending_download_timeout_s=float(self["limits.pendingDownloadTimeoutSec"]),
            drain_timeout_s=float(self["limits.drainTimeoutSec"]),
            data_object_source_ttl_s=float(self["limits.dataObjectSourceByObjectIdTTL"]),
            query_node_cache_ttl_s=float(self["limits.queryNodeCacheTTL"]),
        )

    def logs(self) -> Logs:
        # Argus takes the path of the logs, unlike the others, from where it is started.
        path = self.path("logs.file.path") or self.path("directories.logs")
        level = self["logs.file.level"]
        files = None
        if path is not None and level != OFF:
            files = LogFiles(
                level=level,
                path=path,
                max_files=self["logs.file.maxFiles"],
                max_bytes=self["logs.file.maxSize"],
                frequency=self["logs.file.frequency"],
                archive=self["logs.file.archive"],
            )
        return Logs(file=files, console_level=self["logs.console.level"])

    def row(self, path: str) -> Effective:
        key = SETTINGS[path]
        if path not in self._placed:
            return Effective(key=path, value=key.default, origin="default")
        placed = self._placed[path]
        value = str(self.path(path)) if key.starts_from else key.shown(placed.written)
        return Effective(key=path, value=value, origin=placed.origin)
