"""
What storage nodes serve in integration tests, and manifests of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from distributor.model import BLAKE3_256, ContentHash
from tests.integration.process import ProcessTestCase

MIB = 1024 * 1024


def folder(case: ProcessTestCase, contents: Mapping[str, bytes]) -> Path:
    """
    A folder of files, for C{twistd storage-node}.

    @param contents: by object id.
    """
    path = case.directory()
    for object_id, content in contents.items():
        (path / object_id).write_bytes(content)
    return path


def write_manifest(path: Path, endpoints: Sequence[str], contents: Mapping[str, bytes]) -> None:
    """
    Write a manifest of objects that several storage nodes have, in this order.
    """
    nodes = [{"id": str(number), "endpoint": endpoint} for number, endpoint in enumerate(endpoints)]
    objects = {
        object_id: {"size": len(content), "hash": str(_hash(content))} for object_id, content in contents.items()
    }
    path.write_text(json.dumps({"storageNodes": nodes, "objects": objects}), encoding="utf-8")


def manifest(case: ProcessTestCase, endpoints: Sequence[str], contents: Mapping[str, bytes]) -> Path:
    """
    The same, in a new file.
    """
    path = case.directory() / "manifest.json"
    write_manifest(path, endpoints, contents)
    return path


def _hash(content: bytes) -> ContentHash:
    hasher = ContentHash(BLAKE3_256, bytes(32)).hasher()
    hasher.update(content)
    return ContentHash(BLAKE3_256, hasher.digest())
