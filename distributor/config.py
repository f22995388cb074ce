"""
The configuration: one file, Argus' or ours, read into one frozen value that has been checked whole.

The table L{KEYS} is the only place that says which keys there are; C{docs/configuration.rst} is tested against it.
Nothing below this module imports it: L{distributor.service} hands the values on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from distributor.document import DocumentError, parse_document, read_text
from distributor.model import DistributorError
from distributor.schema import Key, Kind, Problems, Schema, Unfit, boolean, identifier, integer, list_of, text

_UNITS = {"B": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_SIZE = re.compile(r"([0-9]{1,19})([BKMGT])\Z")
# Files and SQLite count bytes in signed 64-bit integers.
_MAX_SIZE = 2**63 - 1


class ConfigError(DistributorError):
    """The configuration is wrong. The message has one line for each problem, each with the file and the path."""


def parse_size(written: str) -> int:
    """
    Read a size as Argus writes it: digits and one of B, K, M, G, T, powers of 1024.

    @return: bytes.
    @raise ValueError: it is not one, or more than files can have.
    """
    match = _SIZE.match(written)
    if match is None or (size := int(match[1]) * _UNITS[match[2]]) > _MAX_SIZE:
        raise ValueError(f"not a size: {written!r}")
    return size


def _size(minimum: str | None = None) -> Kind[int]:
    expected = "a size such as 500M or 20G (units B, K, M, G, T)"
    if minimum is not None:
        expected += f", at least {minimum}"
    least = 0 if minimum is None else parse_size(minimum)

    def read(value: object) -> int:
        try:
            size = parse_size(value) if isinstance(value, str) else -1
        except ValueError:
            raise Unfit(expected) from None
        if size < least:
            raise Unfit(expected)
        return size

    return Kind(expected, read)


# A bound that no sensible value reaches, so that every timer can hold what it is given.
_LONG = 10**9

KEYS = (
    Key("id", text(), "The name of the node, as ``/api/v1/status`` shows it.", required=True),
    Key("directories.assets", text("a path"), "Where the objects are kept, one file each."),
    Key("directories.cacheState", text("a path"), "Where the index of the objects is kept."),
    Key("limits.storage", _size(), "How much the objects may occupy, those being downloaded included.", "20G"),
    Key(
        "limits.maxCachedItemSize",
        _size("1M"),
        "Larger objects are passed through and not kept; without it, whatever fits is kept.",
    ),
    Key("limits.maxConcurrentStorageNodeDownloads", integer(1), "How many downloads may run at once.", 100),
    Key(
        "limits.maxConcurrentOutboundConnections",
        integer(1),
        "How many connections to storage nodes may be open at once.",
        300,
    ),
    Key(
        "limits.maxInboundConnections",
        integer(1),
        "How many objects may be being answered at once; beyond it, the answer is 503.",
        10_000,
    ),
    Key(
        "limits.outboundRequestsTimeoutMs",
        integer(1000, _LONG),
        "How long a storage node may take to answer, and how long it may then be silent, in milliseconds.",
        5000,
    ),
    Key(
        "limits.pendingDownloadTimeoutSec",
        integer(60, _LONG),
        "How long a reader waits for its first byte of a download before the answer is 503, in seconds.",
        60,
    ),
    Key(
        "limits.drainTimeoutSec",
        integer(0, _LONG),
        "How long answers in progress may go on when the node is told to stop, in seconds.",
        30,
    ),
    Key("publicApi.port", integer(0, 65535), "The TCP port of the public API; 0 takes any that is free.", 3334),
    Key("publicApi.showDownloads", boolean(), "Whether ``GET /api/v1/downloads`` tells everybody what comes.", False),
    Key("catalogue.manifest", text("the path of a manifest"), "The file that lists the objects.", required=True),
    Key(
        "buckets",
        list_of(identifier(), 'a list of bucket ids such as "0:1"'),
        "The distribution buckets whose objects this node serves.",
    ),
    Key("workerId", integer(0), "The worker whose buckets this node serves, where ``buckets`` is absent."),
)

_SCHEMA = Schema(*KEYS)


@frozen(kw_only=True)
class Limits:
    """
    Bounds, in bytes, in numbers of things, and in seconds.

    @ivar max_cached_item_bytes: L{None}: whatever fits.
    """

    storage_bytes: int
    max_cached_item_bytes: int | None
    max_concurrent_storage_node_downloads: int
    max_concurrent_outbound_connections: int
    max_inbound_connections: int
    outbound_requests_timeout_s: float
    pending_download_timeout_s: float
    drain_timeout_s: float


@frozen(kw_only=True)
class ConfiguredDirectories:
    """
    What the file says of directories; L{None} where it says nothing. See L{directories}.
    """

    assets: Path | None = None
    cache_state: Path | None = None


@frozen(kw_only=True)
class PublicAPI:
    """
    The public API.
    """

    port: int
    show_downloads: bool


@frozen(kw_only=True)
class Catalogue:
    """
    Where the node learns of objects.

    @ivar manifest: L{None} only in the standalone demo, which brings its own.
    """

    manifest: Path | None


@frozen(kw_only=True)
class Config:
    """
    Everything that an operator can say.

    What the node distributes is said in one of three ways: by C{buckets}; where they are L{None}, by C{worker_id}
    (all buckets of that worker); where both are, it distributes everything that the catalogue lists.

    @ivar buckets: ids as they were written, integers still integers.
    """

    id: str
    directories: ConfiguredDirectories = field(factory=ConfiguredDirectories)
    limits: Limits
    public_api: PublicAPI
    catalogue: Catalogue
    buckets: tuple[str | int, ...] | None = None
    worker_id: int | None = None


def load_config(path: Path) -> Config:
    """
    Read a configuration file. Blocks: for use before the reactor runs.

    @raise ConfigError: it cannot be read, or something in it is wrong.
    """
    try:
        written = read_text(path)
    except DocumentError as error:
        raise ConfigError(str(error)) from None
    # Absolute, because twistd changes its working directory when it becomes a daemon.
    return parse_config(written, path, path.absolute().parent)


def parse_config(written: str, origin: Path | str, base: Path) -> Config:
    """
    Read the text of a configuration file, YAML or JSON.

    @param origin: what the messages call it.
    @param base: the directory that relative paths start from.
    @raise ConfigError: something in it is wrong.
    """
    try:
        document = parse_document(written, str(origin))
    except DocumentError as error:
        raise ConfigError(str(error)) from None
    problems = Problems(str(origin))
    values = _SCHEMA.read(document, (), problems)
    problems.raise_any(ConfigError)
    assert values is not None
    return _config(values, base)


def standalone_config() -> Config:
    """
    What the demo runs with: defaults, a small store, and no manifest, because it makes its own.
    """
    return _config(_SCHEMA.defaults | {"id": "demo", "limits.storage": parse_size("1G")}, Path())


def _config(values: Mapping[str, Any], base: Path) -> Config:
    def path(key: str) -> Path | None:
        return None if values[key] is None else base / values[key]

    return Config(
        id=values["id"],
        directories=ConfiguredDirectories(
            assets=path("directories.assets"), cache_state=path("directories.cacheState")
        ),
        limits=Limits(
            storage_bytes=values["limits.storage"],
            max_cached_item_bytes=values["limits.maxCachedItemSize"],
            max_concurrent_storage_node_downloads=values["limits.maxConcurrentStorageNodeDownloads"],
            max_concurrent_outbound_connections=values["limits.maxConcurrentOutboundConnections"],
            max_inbound_connections=values["limits.maxInboundConnections"],
            outbound_requests_timeout_s=values["limits.outboundRequestsTimeoutMs"] / 1000,
            pending_download_timeout_s=float(values["limits.pendingDownloadTimeoutSec"]),
            drain_timeout_s=float(values["limits.drainTimeoutSec"]),
        ),
        public_api=PublicAPI(port=values["publicApi.port"], show_downloads=values["publicApi.showDownloads"]),
        catalogue=Catalogue(manifest=path("catalogue.manifest")),
        buckets=values["buckets"],
        worker_id=values["workerId"],
    )


def find_config(option: str | None, environ: Mapping[str, str], cwd: Path) -> Path | None:
    """
    Which configuration file to read: the one of the option, else C{$CONFIG_PATH}, else C{config.yml} in the working
    directory where there is one. A file that was named is not looked for: reading it says what is wrong with it.

    @return: an absolute path where C{cwd} is one; L{None}: the standalone demo.
    """
    if option is not None:
        return cwd / option
    if environ.get("CONFIG_PATH"):
        return cwd / environ["CONFIG_PATH"]
    found = cwd / "config.yml"
    return found if found.exists() else None


@frozen(kw_only=True)
class Directories:
    """
    Where the node keeps things; they may not exist yet.
    """

    assets: Path
    cache_state: Path


def directories(config: Config, environ: Mapping[str, str], data_dir: Path) -> Directories:
    """
    The directories that the file names, else those that systemd made (C{$CACHE_DIRECTORY}, C{$STATE_DIRECTORY}; the
    first, where systemd.exec(5) puts several with colons between), else C{assets/} and C{state/} in C{data_dir}.
    """

    def choose(configured: Path | None, variable: str, name: str) -> Path:
        if configured is not None:
            return configured
        made = environ.get(variable, "").partition(":")[0]
        return Path(made) if made else data_dir / name

    return Directories(
        assets=choose(config.directories.assets, "CACHE_DIRECTORY", "assets"),
        cache_state=choose(config.directories.cache_state, "STATE_DIRECTORY", "state"),
    )
