"""
Answers of a node, for tests and for the page that shows what commands print.
"""

from __future__ import annotations

from typing import Any

from tests.cli.operator_api import NOW

MIB = 1024 * 1024
HASH = "gW7sxTmWqRUMbqTL8kgKvsYdFGfTzWuLnyLKGFTxyjNMP9"
OTHER_HASH = "gW2nBWcNC9Xg3vbCzpbdLbxnBVwTAZsKBH2uZyj6h6eTbU"
FAST, SLOW = "https://storage-1.example.org/storage/", "https://storage-2.example.org/"

STATUS: dict[str, Any] = {
    "id": "my-node",
    "objectsInCache": 1204,
    "storageLimit": 107374182400,
    "storageUsed": 73400320000,
    "uptime": 270000,
    "downloadsInProgress": 2,
    "version": "0.1.0",
    "publicApi": "running",
    "queryNode": {
        "url": "https://query.example.org/graphql",
        "generation": "squid",
        "version": "2.0.1",
        "height": 8300123,
        "behind": False,
        "lastSuccessAgeS": 0.4,
        "lastError": None,
        "lastRefreshAgeS": 41.7,
        "buckets": ["0:1", "0:2"],
        "objectsDistributed": 140211,
    },
}

DOWNLOADS: dict[str, Any] = {
    "downloads": [
        {
            "objectId": "7",
            "state": "filling",
            "size": 700 * MIB,
            "present": 100 * MIB,
            "bytesPerSecond": 8 * MIB,
            "readers": 2,
            "storageNodes": [FAST],
            "secondsLeft": 75.0,
        },
        {
            "objectId": "12045",
            "state": "queued",
            "size": 3 * MIB,
            "present": 0,
            "bytesPerSecond": 0,
            "readers": 1,
            "storageNodes": [],
            "secondsLeft": None,
        },
    ]
}

OBJECTS: dict[str, Any] = {
    "objects": [
        {
            "objectId": "3",
            "size": 42 * MIB,
            "contentHash": HASH,
            "type": "video/mp4",
            "state": "complete",
            "present": 42 * MIB,
            "addedAt": NOW - 300000,
            "lastAccess": NOW - 12,
            "hits": 391,
        },
        {
            "objectId": "7",
            "size": 700 * MIB,
            "contentHash": OTHER_HASH,
            "type": None,
            "state": "downloading",
            "present": 100 * MIB,
            "addedAt": NOW - 13,
            "lastAccess": NOW - 1,
            "hits": 2,
        },
    ],
    "next": "7",
}

NODES: dict[str, Any] = {
    "storageNodes": [
        {
            "endpoint": FAST,
            "buckets": ["0", "4"],
            "rank": 1,
            "timeToFirstByteMs": 81.4,
            "bytesPerSecond": 12 * MIB,
            "failures": 0,
            "breaker": "closed",
            "retryInS": None,
            "lastError": None,
            "version": "4.2.0",
            "ignoresRanges": False,
            "lies": 0,
        },
        {
            "endpoint": SLOW,
            "buckets": ["1"],
            "rank": 2,
            "timeToFirstByteMs": None,
            "bytesPerSecond": None,
            "failures": 5,
            "breaker": "open",
            "retryInS": 25.2,
            "lastError": "Connection refused",
            "version": None,
            "ignoresRanges": True,
            "lies": 1,
        },
    ]
}

FAULTS: dict[str, Any] = {
    "faults": [
        {
            "objectId": "9",
            "endpoint": SLOW,
            "bucket": "1",
            "kind": "wrong_hash",
            "expected": HASH,
            "got": OTHER_HASH,
            "bytes": 5 * MIB,
            "at": NOW - 86400,
        }
    ]
}

EXPLANATION: dict[str, Any] = {
    "objectId": "7",
    "catalogue": {
        "size": 700 * MIB,
        "contentHash": HASH,
        "type": "video/mp4",
        "accepted": True,
        "source": "query node",
        "ours": True,
        "state": "known",
        "ageS": 12.4,
        "stale": False,
        "refreshAgeS": 41.7,
        "bag": "dynamic:channel:12",
        "distributionBuckets": [{"id": "0:1", "workers": [3, 4]}, {"id": "1:0", "workers": []}],
        "storageNodes": [{"bucket": "0", "endpoint": FAST}, {"bucket": "1", "endpoint": SLOW}],
    },
    "distributedHere": True,
    "why": "its bag dynamic:channel:12 is in 0:1, of the buckets of worker 3",
    "storageNodes": NODES["storageNodes"],
    "state": "downloading",
    "size": 700 * MIB,
    "extents": [[0, 80 * MIB], [680 * MIB, 700 * MIB]],
    "readers": 2,
    "verification": "in progress",
    "lastEviction": {"at": NOW - 270000, "reason": "to make room"},
}

CONFIG: dict[str, Any] = {
    "config": [
        {"key": "id", "value": "my-node", "origin": "/etc/distributor/config.yml"},
        {"key": "operatorApi.hmacSecret", "value": "(hidden)", "origin": "$JOYSTREAM_DISTRIBUTOR__OPERATOR_API"},
        {"key": "limits.storage", "value": "100G", "origin": "default"},
        {"key": "limits.maxCachedItemSize", "value": None, "origin": "default"},
    ]
}

VERIFYING: dict[str, Any] = {
    "state": "running",
    "checked": 300,
    "total": 1204,
    "bytes": 20 * 1024 * MIB,
    "totalBytes": 70000 * MIB,
    "bytesPerSecond": 64 * MIB,
    "secondsLeft": 774.0,
    "bad": [],
}

VERIFIED: dict[str, Any] = {
    **VERIFYING,
    "state": "done",
    "checked": 1204,
    "bytes": 70000 * MIB,
    "secondsLeft": None,
    "bad": [{"objectId": "9", "expected": HASH, "got": OTHER_HASH, "removed": True, "at": NOW}],
}
