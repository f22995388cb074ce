"""
A catalogue in a file: which objects there are, who stores them, and which buckets they are in.

Pure, but for L{load_manifest}; C{docs/configuration.rst} describes the format.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from attrs import field, frozen

from distributor.catalogue.fields import is_endpoint, is_media_type
from distributor.document import DocumentError, parse_document, read_text
from distributor.model import (
    ContentHash,
    DataObject,
    DistributorError,
    StorageNode,
    is_object_id,
)
from distributor.schema import (
    Key,
    Kind,
    Problems,
    Schema,
    Unfit,
    boolean,
    identifier,
    integer,
    list_of,
    raw_list,
    raw_mapping,
)


class ManifestError(DistributorError):
    """The manifest is wrong. The message has one line for each problem, each with the file and the path."""


@frozen
class Entry:
    """
    One object of a manifest.

    @ivar buckets: as they are written; L{None}: every node distributes it.
    """

    object: DataObject
    storage_nodes: tuple[StorageNode, ...]
    buckets: tuple[str | int, ...] | None = None


@frozen
class Manifest:
    """
    A whole manifest that has been checked.

    @ivar entries: by object id, in the order of the file.
    @ivar bucket_ids: every bucket that an object names, once, as it is written first.
    """

    storage_nodes: tuple[StorageNode, ...]
    entries: Mapping[str, Entry]
    bucket_ids: tuple[str | int, ...] = field(init=False)

    @bucket_ids.default
    def _named_buckets(self) -> tuple[str | int, ...]:
        found: dict[str, str | int] = {}
        for entry in self.entries.values():
            for bucket in entry.buckets or ():
                found.setdefault(str(bucket), bucket)
        return tuple(found.values())


def _endpoint() -> Kind[str]:
    expected = "an http or https URL with a host, and without credentials, query or fragment"

    def read(value: object) -> str:
        if not isinstance(value, str) or not is_endpoint(value):
            raise Unfit(expected)
        return value

    return Kind(expected, read)


def _content_hash() -> Kind[ContentHash]:
    expected = "a base58 multihash, BLAKE3-256 or SHA2-256"

    def read(value: object) -> ContentHash:
        if not isinstance(value, str):
            raise Unfit(expected)
        try:
            return ContentHash.parse(value)
        except ValueError as error:
            raise Unfit(f"{expected}: {error}") from None

    return Kind(expected, read)


def _media_type() -> Kind[str]:
    expected = "a media type such as video/mp4"

    def read(value: object) -> str:
        if not isinstance(value, str) or not is_media_type(value):
            raise Unfit(expected)
        return value

    return Kind(expected, read)


_MANIFEST = Schema(
    Key("storageNodes", raw_list("a list of storage nodes"), default=[]),
    # Required, though it may be {}: a file that was cut short must not pass for an empty catalogue.
    Key("objects", raw_mapping("a mapping from object ids to objects; {} for none"), required=True),
)
_STORAGE_NODE = Schema(
    Key("id", identifier(), required=True),
    Key("endpoint", _endpoint(), required=True),
)
_OBJECT = Schema(
    Key("size", integer(0), required=True),
    Key("hash", _content_hash(), required=True),
    Key("type", _media_type()),
    Key("storedBy", list_of(identifier(), "a list of ids of storage nodes")),
    Key("buckets", list_of(identifier(), "a list of bucket ids")),
    Key("accepted", boolean(), default=True),
)


def load_manifest(path: Path) -> Manifest:
    """
    Read a manifest file. Blocks, for seconds where it lists hundreds of thousands of objects.

    @raise ManifestError: it cannot be read, or something in it is wrong.
    """
    try:
        written = read_text(path)
    except DocumentError as error:
        raise ManifestError(str(error)) from None
    return parse_manifest(written, path)


def parse_manifest(written: str, origin: Path | str) -> Manifest:
    """
    Read the text of a manifest, YAML or JSON.

    @param origin: what the messages call it.
    @raise ManifestError: something in it is wrong.
    """
    try:
        document = parse_document(written, str(origin))
    except DocumentError as error:
        raise ManifestError(str(error)) from None
    problems = Problems(str(origin))
    values = _MANIFEST.read(document, (), problems)
    problems.raise_any(ManifestError)
    assert values is not None
    nodes = _read_storage_nodes(values["storageNodes"], problems)
    # Else each object of a node whose id was refused would be reported too.
    problems.raise_any(ManifestError)
    entries = dict(_read_objects(values["objects"], nodes, problems))
    problems.raise_any(ManifestError)
    return Manifest(tuple(nodes.values()), entries)


def _read_storage_nodes(items: list[object], problems: Problems) -> dict[str, StorageNode]:
    nodes: dict[str, StorageNode] = {}
    for position, item in enumerate(items):
        at = ("storageNodes", position)
        values = _STORAGE_NODE.read(item, at, problems)
        if values is None:
            continue
        node = StorageNode(str(values["id"]), values["endpoint"], trusted=True)
        if node.id in nodes:
            problems.add((*at, "id"), "must be unlike the ids of the storage nodes above it")
        nodes[node.id] = node
    return nodes


def _read_objects(
    items: dict[str, object], nodes: Mapping[str, StorageNode], problems: Problems
) -> Iterator[tuple[str, Entry]]:
    everywhere = tuple(nodes.values())
    # Hundreds of thousands of objects have few answers between them.
    seen: dict[tuple[str | int, ...], tuple[StorageNode, ...]] = {}
    for object_id, item in items.items():
        at = ("objects", object_id)
        if not is_object_id(object_id):
            problems.add(at, "must be an object id: decimal, without sign or leading zero, at most 20 digits")
            continue
        values = _OBJECT.read(item, at, problems)
        if values is None:
            continue
        stored_by = values["storedBy"]
        if stored_by is None:
            chosen = everywhere
        elif stored_by in seen:
            chosen = seen[stored_by]
        else:
            for position, node in enumerate(stored_by):
                if str(node) not in nodes:
                    problems.add((*at, "storedBy", position), "must be the id of one of storageNodes")
            chosen = tuple(nodes[node] for node in dict.fromkeys(map(str, stored_by)) if node in nodes)
            if problems.count == 0:
                seen[stored_by] = chosen
        yield (
            object_id,
            Entry(
                DataObject(object_id, values["size"], values["hash"], values["type"], values["accepted"]),
                chosen,
                values["buckets"],
            ),
        )
