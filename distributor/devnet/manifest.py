"""
The manifest that tells a distributor node what a storage node of this room holds.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import yaml

from distributor.model import DataObject


def manifest(endpoint: str, objects: Iterable[DataObject]) -> dict[str, object]:
    """
    One storage node, at C{endpoint}, that has all of C{objects}: what a manifest file says, as plain values.
    """
    return {
        "storageNodes": [{"id": "0", "endpoint": endpoint}],
        "objects": {item.id: _entry(item) for item in objects},
    }


def _entry(item: DataObject) -> dict[str, object]:
    entry: dict[str, object] = {"size": item.size, "hash": str(item.content_hash)}
    return entry if item.type is None else {**entry, "type": item.type}


def manifest_text(endpoint: str, objects: Iterable[DataObject]) -> str:
    """
    The same as YAML.
    """
    return yaml.safe_dump(manifest(endpoint, objects), sort_keys=False, allow_unicode=True)


def write_manifest(path: Path, text: str) -> None:
    """
    Put a manifest where a node may be reading the last one: it sees the old or the new, never half of one.

    @raise OSError: it cannot be written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
