"""
The configuration as the rest of the program sees it: frozen, checked, in bytes and seconds, with paths made absolute.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from attrs import field, frozen


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
    data_object_source_ttl_s: float
    query_node_cache_ttl_s: float


@frozen(kw_only=True)
class Intervals:
    """
    How often what is done again and again is done, in seconds.
    """

    save_cache_state_s: float
    check_storage_node_response_times_s: float
    cache_cleanup_s: float


@frozen(kw_only=True)
class Endpoints:
    """
    URLs of query nodes. Where both are L{None}, the catalogue is a manifest.

    @ivar query_node: perhaps of the older generation; it is asked.
    """

    storage_squid: str | None = None
    query_node: str | None = None


@frozen(kw_only=True)
class ConfiguredDirectories:
    """
    What the file says of directories; L{None} where it says nothing. See L{distributor.config.directories}.
    """

    assets: Path | None = None
    cache_state: Path | None = None


@frozen(kw_only=True)
class LogFiles:
    """
    Log files, and when a new one is begun.

    @ivar level: one of L{distributor.observe.levels.LEVELS}.
    @ivar path: the directory.
    @ivar max_files: L{None}: all are kept.
    @ivar max_bytes: L{None}: a file may have any size.
    @ivar frequency: C{yearly}, C{monthly}, C{daily} or C{hourly}.
    @ivar archive: whether those that are no longer written are compressed.
    """

    level: str
    path: Path
    max_files: int | None
    max_bytes: int | None
    frequency: str
    archive: bool


@frozen(kw_only=True)
class Logs:
    """
    Where the log goes.

    @ivar file: L{None}: to no file of ours.
    @ivar console_level: what twistd's own log gets, one of L{distributor.observe.levels.LEVELS} or C{off}; L{None}:
        everything.
    """

    file: LogFiles | None = None
    console_level: str | None = None


@frozen(kw_only=True)
class PublicAPI:
    """
    The public API.

    @ivar metrics: whether C{/metrics} answers there, too.
    @ivar trusted_proxies: networks of the reverse proxies before it.
    """

    port: int
    show_downloads: bool
    metrics: bool
    trusted_proxies: tuple[str, ...]


@frozen(kw_only=True)
class OperatorAPI:
    """
    The operator's API.
    """

    port: int
    host: str
    hmac_secret: str = field(repr=False)


@frozen(kw_only=True)
class Sources:
    """
    Storage nodes.

    @ivar allow_private_addresses: whether those that somebody else names may be at private or loopback addresses.
    """

    allow_private_addresses: bool


@frozen(kw_only=True)
class Catalogue:
    """
    Where the node learns of objects, unless from a query node.

    @ivar manifest: L{None} where there is a query node, and in the standalone demo, which brings its own.
    """

    manifest: Path | None


@frozen(kw_only=True)
class Effective:
    """
    One key as it is in force.

    @ivar value: as one would write it in the file; secrets are hidden; L{None}: there is none.
    @ivar origin: where it came from, for people: C{default}, the path of a file, C{$} and the name of an environment
        variable, or the file that such a variable named.
    """

    key: str
    value: object
    origin: str


@frozen(kw_only=True)
class Config:
    """
    Everything that an operator can say.

    What the node distributes is said in one of three ways: by C{buckets}; where they are L{None}, by C{worker_id}
    (all buckets of that worker); where both are, it distributes everything that the catalogue lists.

    @ivar buckets: ids as they were written, integers still integers.
    @ivar operator_api: L{None}: there is none.
    @ivar notices: what an operator should know of the configuration though it is valid; to be logged once.
    @ivar rows: every key in force, by its path; of those without an effect, the ones that are given. See
        L{distributor.config.effective}.
    """

    id: str
    endpoints: Endpoints
    directories: ConfiguredDirectories
    logs: Logs
    limits: Limits
    intervals: Intervals
    public_api: PublicAPI
    operator_api: OperatorAPI | None
    sources: Sources
    catalogue: Catalogue
    buckets: tuple[str | int, ...] | None = None
    worker_id: int | None = None
    workers: int = 1
    notices: tuple[str, ...] = field(default=(), eq=False)
    rows: Mapping[str, Effective] = field(factory=dict, eq=False, repr=False)
