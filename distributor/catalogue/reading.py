"""
Reads what query nodes answer. They are other people's programs, and what is in them was written by third parties: what
is wrong with one part is the trouble of that part alone.

Pure; what the two generations have in common. In all of it, L{WrongShape} means that the answer is none to our
question.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable

from distributor.catalogue.facts import LARGEST_PAGE, DistributionBucket, ObjectFacts, Unusable
from distributor.catalogue.fields import is_endpoint, is_media_type
from distributor.model import ContentHash, DataObject, StorageNode, is_object_id

_ACTIVE = "StorageBucketOperatorStatusActive"
_SUBTITLE = "DataObjectTypeVideoSubtitle"

# Bag ids are such as dynamic:channel:4294967295; bucket ids shorter.
_ID = re.compile(r"[!-~]{1,128}\Z")
# Files and SQLite count bytes in signed 64-bit integers.
_MAX_SIZE = 2**63 - 1
_MAX_ID = 2**64 - 1
_SIZE = re.compile(r"[0-9]{1,19}\Z", re.ASCII)
#: What is shown to people of what makes no sense; in characters.
_SHOWN = 80


class WrongShape(ValueError):
    """An answer, or a part of it, is not made as it should be."""


def shown(value: object, most: int = _SHOWN) -> str:
    """
    A value of somebody else's for a log: one line, and not long.
    """
    # A value of megabytes need not be written down to be cut.
    text = ascii(value[:most] if isinstance(value, str) else value)
    return text if len(text) <= most else text[:most] + "..."


def member(value: object, name: str) -> object:
    """
    A field of an object.
    """
    if not isinstance(value, dict) or name not in value:
        raise WrongShape(f"no {name} in {shown(value)}")
    return value[name]


def members(value: object, name: str) -> list[object]:
    """
    A field of an object that is a list.
    """
    found = member(value, name)
    if not isinstance(found, list):
        raise WrongShape(f"{name} is {shown(found)}, not a list")
    return found


def whole(items: list[object], what: str) -> list[object]:
    """
    A list that was asked for with a limit of L{LARGEST_PAGE}, if it was not cut there.
    """
    if len(items) >= LARGEST_PAGE:
        raise WrongShape(f"{len(items)} {what} or more")
    return items


def identifier(value: object) -> str:
    """
    The id of a bag or a bucket.
    """
    if not isinstance(value, str) or not _ID.match(value):
        raise WrongShape(f"{shown(value)} is not an id")
    return value


def count(value: object) -> int:
    """
    A number that is not negative.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise WrongShape(f"{shown(value)} is not a number")
    return value


def _size(value: object) -> int:
    """
    A C{BigInt}: decimal digits in a string; some servers write a number.
    """
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not _SIZE.match(text) or int(text) > _MAX_SIZE:
        raise WrongShape(f"size {shown(value)} is not one")
    return int(text)


def _content_hash(value: object) -> ContentHash:
    if not isinstance(value, str):
        raise WrongShape(f"ipfsHash {shown(value)} is not one")
    try:
        return ContentHash.parse(value)
    except ValueError as error:
        raise WrongShape(f"ipfsHash {shown(value)} is {error}") from None


def _type(value: object) -> str | None:
    """
    What a subtitle says of itself; nothing else has a media type.
    """
    if not isinstance(value, dict) or value.get("__typename") != _SUBTITLE:
        return None
    subtitle = value.get("subtitle")
    mime_type = subtitle.get("mimeType") if isinstance(subtitle, dict) else None
    if isinstance(mime_type, str) and is_media_type(mime_type) and mime_type.lower().startswith("text/"):
        return mime_type
    return None


def storage_node(bucket: object) -> StorageNode | None:
    """
    Where the operator of a storage bucket, who is known to be active, has put the storage node; L{None}: nowhere yet.
    """
    bucket_id = identifier(member(bucket, "id"))
    metadata = member(bucket, "operatorMetadata")
    endpoint = None if metadata is None else member(metadata, "nodeEndpoint")
    if endpoint is None or endpoint == "":
        return None
    # Blanks around it are a slip that does no harm.
    if not isinstance(endpoint, str) or not is_endpoint(endpoint.strip()):
        raise WrongShape(f"storage bucket {bucket_id} has the endpoint {shown(endpoint)}")
    return StorageNode(bucket_id, endpoint.strip(), trusted=False)


def _active_storage_node(bucket: object) -> StorageNode | None:
    if member(member(bucket, "operatorStatus"), "__typename") != _ACTIVE:
        return None
    return storage_node(bucket)


def storage_nodes(buckets: list[object], ignored: list[str]) -> tuple[StorageNode, ...]:
    """
    The storage nodes of active storage buckets; what is no use is named in C{ignored}.
    """
    return tuple(_usable(buckets, _active_storage_node, ignored))


def _usable(
    buckets: list[object], read: Callable[[object], StorageNode | None], ignored: list[str]
) -> list[StorageNode]:
    found: dict[str, StorageNode] = {}
    for bucket in buckets:
        try:
            node = read(bucket)
        except WrongShape as error:
            ignored.append(str(error))
        else:
            if node is not None:
                found.setdefault(node.id, node)
    return list(found.values())


def known_storage_nodes(buckets: list[object]) -> tuple[StorageNode, ...]:
    """
    The same for buckets that were asked for because they are active.
    """
    return tuple(_usable(buckets, storage_node, []))


def active_workers(bucket: object) -> tuple[int, ...]:
    """
    The active operators of a distribution bucket.
    """
    operators = members(bucket, "operators")
    return tuple(count(member(each, "workerId")) for each in operators if member(each, "status") == "ACTIVE")


def distribution_bucket(bucket: object) -> DistributionBucket:
    """
    A distribution bucket, with its operators.
    """
    return DistributionBucket(identifier(member(bucket, "id")), active_workers(bucket))


def object_facts(
    found: object,
    object_id: str,
    storage_buckets: Callable[[object], list[object]],
    distribution_buckets: Callable[[object], list[object]],
) -> ObjectFacts | Unusable | None:
    """
    What is said of an object.

    @param storage_buckets: takes them out of a bag.
    @param distribution_buckets: does the same.
    """
    if found is None:
        return None
    if member(found, "id") != object_id:
        raise WrongShape(f"object {shown(member(found, 'id'))} for {object_id}")
    bag = member(found, "storageBag")
    ignored: list[str] = []
    nodes = storage_nodes(storage_buckets(bag), ignored)
    buckets = []
    for bucket in distribution_buckets(bag):
        try:
            buckets.append(distribution_bucket(bucket))
        except WrongShape as error:
            ignored.append(str(error))
    accepted = member(found, "isAccepted")
    if not isinstance(accepted, bool):
        raise WrongShape(f"isAccepted is {shown(accepted)}")
    try:
        size, content_hash = _size(member(found, "size")), _content_hash(member(found, "ipfsHash"))
    except WrongShape as error:
        return Unusable(str(error))
    data_object = DataObject(object_id, size, content_hash, _type(member(found, "type")), accepted)
    return ObjectFacts(data_object, identifier(member(bag, "id")), nodes, tuple(buckets), tuple(ignored))


def object_ids(bags: list[object]) -> array[int]:
    """
    The ids of the objects of some bags, in ascending order; one that is none is left out.
    """
    found: list[int] = []
    for bag in bags:
        for each in members(bag, "objects"):
            object_id = member(each, "id")
            if isinstance(object_id, str) and is_object_id(object_id) and (number := int(object_id)) <= _MAX_ID:
                found.append(number)
    return array("Q", sorted(found))


def bags_by_bucket(
    buckets: list[object], asked: frozenset[str], bags: Callable[[object], list[object]]
) -> dict[str, list[str]]:
    """
    The ids of the bags of each bucket that was asked for.

    @param bags: takes them out of a bucket.
    """
    found: dict[str, list[str]] = {}
    for bucket in buckets:
        bucket_id = identifier(member(bucket, "id"))
        if bucket_id in asked:
            found[bucket_id] = [identifier(member(bag, "id")) for bag in bags(bucket)]
    return found


def bags_asked_for(bags: list[object], asked: frozenset[str]) -> list[object]:
    """
    The bags that were asked for: those of a server that does not heed C{where} are not ours.
    """
    return [bag for bag in bags if member(bag, "id") in asked]


def worker_buckets(buckets: list[object], worker_id: int) -> tuple[str, ...]:
    """
    The ids of those buckets of which the worker really is an active operator.
    """
    found = [distribution_bucket(bucket) for bucket in whole(buckets, "distribution buckets of one worker")]
    return tuple(bucket.id for bucket in found if worker_id in bucket.workers)
