"""
The table of all keys, Argus' and ours: the only place that says which there are, what they may be, and by which other
names older files call them. C{docs/configuration.rst} is tested against it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Literal

from attrs import frozen

from distributor.config.kinds import buckets, chain_key, networks, size, url
from distributor.observe.levels import LEVELS, OFF
from distributor.schema import Key, Schema, boolean, choice, integer, list_of, text

#: What is shown in the place of a secret.
HIDDEN = "(hidden)"


def _hidden(written: object) -> object:
    return HIDDEN


def _without_query(written: object) -> object:
    # Hosted query nodes take a token there; and what was no URL may be anything.
    return re.sub(r"\?.*", f"?{HIDDEN}", re.sub(r"//[^/]*@", f"//{HIDDEN}@", str(written)))


def _as_written(written: object) -> object:
    return written


@frozen
class Setting(Key):
    """
    One key of the configuration.

    @ivar older: what files of Argus' first generation call it.
    @ivar idle: it is accepted because Argus' files have it, and has no effect here.
    @ivar shown: what may be shown of what was written: secrets are hidden.
    @ivar starts_from: where a relative path starts: in the directory of the C{file}, or in that where the node is
        C{started}.
    """

    older: tuple[str, ...] = ()
    idle: bool = False
    shown: Callable[[object], object] = _as_written
    starts_from: Literal["", "file", "started"] = ""

    @property
    def spellings(self) -> tuple[str, ...]:
        """
        All paths by which a file can say it.
        """
        return (self.path, *self.older)


# A bound that no sensible value reaches, so that every timer can hold what it is given.
_LONG = 10**9
_PORT = integer(0, 65535)
_SECONDS = integer(1, _LONG)

#: How severe what a log gets must be.
LEVEL = choice(*LEVELS, OFF)

KEYS = (
    Setting("id", text(), "The name of the node, as ``/api/v1/status`` shows it.", required=True),
    Setting(
        "endpoints.storageSquid",
        url(),
        "The query node that the node learns of objects from. Either this or ``endpoints.queryNode`` or "
        "``catalogue.manifest`` is required; where both endpoints are given, this one is asked.",
        shown=_without_query,
    ),
    Setting(
        "endpoints.queryNode",
        url(),
        "A query node, perhaps of the older generation; which one it is, it is asked.",
        shown=_without_query,
    ),
    Setting(
        "endpoints.joystreamNodeWs",
        text("a URL"),
        "No effect: a chain node, which only commands on the chain need.",
        idle=True,
        shown=_without_query,
    ),
    Setting(
        "endpoints.elasticSearch",
        text("a URL"),
        "No effect: where older files have ``logs.elastic.endpoint``.",
        idle=True,
        shown=_without_query,
    ),
    Setting(
        "directories.assets",
        text("a path"),
        "Where the objects are kept, one file each.",
        older=("directories.data",),
        starts_from="file",
    ),
    Setting(
        "directories.cacheState",
        text("a path"),
        "Where the index of the objects is kept.",
        older=("directories.cache",),
        starts_from="file",
    ),
    Setting(
        "directories.logs",
        text("a path"),
        "Where older files have ``logs.file.path``; this one starts from the directory of the file.",
        starts_from="file",
    ),
    Setting(
        "logs.file.level",
        LEVEL,
        "How severe what goes to the log files must be; ``off``: no files are written.",
        "info",
        older=("log.file.level",),
    ),
    Setting(
        "logs.file.path",
        text("a path"),
        "The directory of the log files, relative to the directory where the node is started. Without it, none are "
        "written.",
        older=("log.file.path",),
        starts_from="started",
    ),
    Setting(
        "logs.file.maxFiles",
        integer(1),
        "How many log files are kept, the current one included; without it, all of them.",
        older=("log.file.maxFiles",),
    ),
    Setting(
        "logs.file.maxSize",
        integer(1024),
        "How many bytes a log file may have before a new one is begun; without it, any number.",
        older=("log.file.maxSize",),
    ),
    Setting(
        "logs.file.frequency",
        choice("yearly", "monthly", "daily", "hourly"),
        "How often a new log file is begun, whatever its size.",
        "daily",
        older=("log.file.frequency",),
    ),
    Setting(
        "logs.file.archive",
        boolean(),
        "Whether log files that are no longer written are compressed, with gzip.",
        False,
        older=("log.file.archive",),
    ),
    Setting(
        "logs.console.level",
        LEVEL,
        "How severe what goes to twistd's own log must be; without it, everything goes there; ``off``: nothing does.",
        older=("log.console.level",),
    ),
    Setting("logs.elastic.level", LEVEL, "No effect: nothing is sent there.", older=("log.elastic.level",), idle=True),
    Setting(
        "logs.elastic.endpoint",
        text("a URL"),
        "No effect.",
        older=("log.elastic.endpoint",),
        idle=True,
        shown=_without_query,
    ),
    Setting("logs.elastic.indexPrefix", text(), "No effect.", older=("log.elastic.indexPrefix",), idle=True),
    Setting("logs.elastic.auth.username", text(), "No effect.", older=("log.elastic.auth.username",), idle=True),
    Setting(
        "logs.elastic.auth.password",
        text(),
        "No effect.",
        older=("log.elastic.auth.password",),
        idle=True,
        shown=_hidden,
    ),
    Setting("limits.storage", size(), "How much the objects may occupy, those being downloaded included.", "20G"),
    Setting(
        "limits.maxCachedItemSize",
        size("1M"),
        "Larger objects are passed through and not kept; without it, whatever fits is kept.",
    ),
    Setting("limits.maxConcurrentStorageNodeDownloads", integer(1), "How many downloads may run at once.", 100),
    Setting(
        "limits.maxConcurrentOutboundConnections",
        integer(1),
        "How many requests to storage nodes may be under way; idle connections are kept beside them.",
        300,
    ),
    Setting(
        "limits.maxInboundConnections",
        integer(1),
        "How many objects may be being answered at once; beyond it, the answer is 503.",
        10_000,
    ),
    Setting(
        "limits.outboundRequestsTimeoutMs",
        integer(1000, _LONG),
        "How long a storage node may take to answer, and how long it may then be silent, in milliseconds.",
        5000,
        older=("limits.outboundRequestsTimeout",),
    ),
    Setting(
        "limits.pendingDownloadTimeoutSec",
        integer(60, _LONG),
        "How long a reader waits for its first byte of a download before the answer is 503, in seconds.",
        60,
    ),
    Setting(
        "limits.drainTimeoutSec",
        integer(0, _LONG),
        "How long answers in progress may go on when the node is told to stop, in seconds.",
        30,
    ),
    Setting(
        "limits.dataObjectSourceByObjectIdTTL",
        _SECONDS,
        "How long it is remembered which storage nodes have an object, in seconds.",
        60,
    ),
    Setting(
        "limits.queryNodeCacheTTL",
        _SECONDS,
        "How long an answer of the query node is good for, in seconds; after it, what this node distributes is asked "
        "for anew.",
        60,
    ),
    Setting("intervals.saveCacheState", _SECONDS, "How often the state of the cache is saved, in seconds.", 60),
    Setting(
        "intervals.checkStorageNodeResponseTimes",
        _SECONDS,
        "How often storage nodes that were not used meanwhile are asked how fast they are, in seconds.",
        60,
    ),
    Setting(
        "intervals.cacheCleanup",
        _SECONDS,
        "How often objects that this node no longer distributes become the first to go, in seconds.",
        60,
    ),
    Setting(
        "publicApi.port",
        _PORT,
        "The TCP port of the public API; 0 takes any that is free.",
        3334,
        older=("port",),
    ),
    Setting(
        "publicApi.showDownloads", boolean(), "Whether ``GET /api/v1/downloads`` tells everybody what comes.", False
    ),
    Setting(
        "publicApi.trustedProxies",
        networks(),
        "Whose ``X-Forwarded-For`` the log believes: the reverse proxies before the node.",
        ["127.0.0.0/8", "::1"],
    ),
    Setting("publicApi.metrics", boolean(), "Whether ``GET /metrics`` answers on the public port, too.", False),
    Setting(
        "operatorApi.port",
        _PORT,
        "The TCP port of the operator's API, which there is only where this is given; then ``operatorApi.hmacSecret`` "
        "is required, too.",
    ),
    Setting("operatorApi.host", text("an address"), "The address that the operator's API listens at.", "127.0.0.1"),
    Setting(
        "operatorApi.hmacSecret",
        text("a secret"),
        "What the operator's requests are signed with (HS256).",
        shown=_hidden,
    ),
    Setting(
        "sources.allowPrivateAddresses",
        boolean(),
        "Whether storage nodes that the query node names may be at private and loopback addresses: for development.",
        False,
    ),
    Setting(
        "catalogue.manifest",
        text("the path of a manifest"),
        "The file that lists the objects, where there is no query node.",
        starts_from="file",
    ),
    Setting(
        "buckets",
        buckets(),
        "The distribution buckets whose objects this node serves; ``all`` is the same as nothing.",
    ),
    Setting(
        "workers",
        integer(1, 64),
        "How many processes share the ports: about as many as there are processor cores to spare.",
        1,
    ),
    Setting("workerId", integer(0), "The worker whose buckets this node serves, where ``buckets`` is absent."),
    Setting(
        "keys",
        list_of(chain_key(), "a list of keys"),
        "No effect: keys of the chain, which only commands on the chain need.",
        idle=True,
        shown=_hidden,
    ),
)

#: By each of its spellings, the key.
SETTINGS: Mapping[str, Setting] = {spelling: key for key in KEYS for spelling in key.spellings}

#: Where Argus' first generation had a level, or C{off}, there is a mapping now; both are still written.
SHORT: Mapping[str, str] = {
    f"{section}.{log}": f"{section}.{log}.level"
    for section in ("logs", "log")
    for log in ("file", "console", "elastic")
}

#: The same, to read files by: a key for each spelling.
SCHEMA = Schema(
    *(Key(spelling, key.kind, key.meaning) for key in KEYS for spelling in key.spellings),
    short=SHORT,
)

#: The paths of all mappings that keys are in.
SECTIONS = tuple(
    dict.fromkeys(
        ".".join(parts[:depth])
        for spelling in SETTINGS
        for parts in (spelling.split("."),)
        for depth in range(1, len(parts))
    )
)


def spelled_below(section: str) -> tuple[str, ...]:
    """
    The spellings of the keys in a mapping, or of the one key that C{section} is.
    """
    return tuple(each for each in SETTINGS if each == section or each.startswith(f"{section}."))
