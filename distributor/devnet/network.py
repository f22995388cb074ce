"""
A small network as one value: what query nodes of both generations, and manifests, tell of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

from attrs import asdict, evolve, field, frozen

from distributor.model import ContentHash, DataObject


class BucketStatus(Enum):
    """
    Whether somebody runs a storage bucket; the values end the names of GraphQL types.
    """

    MISSING = "Missing"
    INVITED = "Invited"
    ACTIVE = "Active"


@frozen
class StorageBucket:
    """
    @ivar endpoint: where its storage node is said to be; any text, or L{None}: its operator has said nothing.
    """

    id: str
    endpoint: str | None
    status: BucketStatus = BucketStatus.ACTIVE
    worker_id: int = 0


@frozen
class Operator:
    """
    A worker who runs a distribution bucket.

    @ivar active: has accepted; else only invited.
    """

    worker_id: int
    active: bool = True


@frozen
class DistributionBucket:
    """
    @ivar id: the family's id, a colon, and the index in the family.
    """

    id: str
    operators: tuple[Operator, ...] = ()


@frozen
class Bag:
    """
    Objects that are stored and distributed together.

    @ivar storage_buckets: ids.
    @ivar distribution_buckets: ids.
    """

    id: str
    objects: tuple[DataObject, ...]
    storage_buckets: tuple[str, ...]
    distribution_buckets: tuple[str, ...]


@frozen
class Network:
    """
    The chain, at a height.

    @ivar since: from which height on there is an object, by its id; for the others, always.
    """

    bags: tuple[Bag, ...] = ()
    storage_buckets: tuple[StorageBucket, ...] = ()
    distribution_buckets: tuple[DistributionBucket, ...] = ()
    height: int = 1
    since: Mapping[str, int] = field(factory=dict)

    def at(self, height: int) -> Network:
        """
        What a query node knows that has come no further.
        """

        def known(item: DataObject) -> bool:
            return self.since.get(item.id, 0) <= height

        bags = (evolve(bag, objects=tuple(filter(known, bag.objects))) for bag in self.bags)
        return evolve(self, bags=tuple(bags), height=height)

    def found(self, object_id: str) -> tuple[DataObject, Bag] | None:
        """
        An object, and the bag that it is in.
        """
        return next(((item, bag) for bag in self.bags for item in bag.objects if item.id == object_id), None)

    def served_by(self, worker_id: int) -> tuple[str, ...]:
        """
        The ids of the distribution buckets that a worker is an active operator of.
        """
        operator = Operator(worker_id)
        return tuple(bucket.id for bucket in self.distribution_buckets if operator in bucket.operators)

    def distributed(self, bucket_ids: Iterable[str]) -> list[DataObject]:
        """
        The objects of some distribution buckets.
        """
        wanted = set(bucket_ids)
        return [item for bag in self.bags if wanted & set(bag.distribution_buckets) for item in bag.objects]

    def manifest(self) -> dict[str, object]:
        """
        The same for a node that reads a manifest, as plain values. A manifest knows neither bags nor objects that have
        not been uploaded.
        """
        active = [each for each in self.storage_buckets if each.status is BucketStatus.ACTIVE and each.endpoint]
        ids = {bucket.id for bucket in active}
        objects: dict[str, object] = {}
        for bag in self.bags:
            where = {
                "storedBy": [each for each in bag.storage_buckets if each in ids],
                "buckets": list(bag.distribution_buckets),
            }
            for item in bag.objects:
                if item.accepted:
                    type = {} if item.type is None else {"type": item.type}
                    objects[item.id] = {"size": item.size, "hash": str(item.content_hash), **type, **where}
        return {"storageNodes": [{"id": each.id, "endpoint": each.endpoint} for each in active], "objects": objects}

    def document(self) -> dict[str, Any]:
        """
        The whole value as JSON can hold it.
        """

        def plain(_instance: object, _field: object, value: object) -> object:
            if isinstance(value, ContentHash):
                return str(value)
            return value.value if isinstance(value, Enum) else value

        return asdict(self, value_serializer=plain)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Network:
        """
        What L{document} was made of.

        @raise KeyError: something is missing.
        @raise ValueError: something is wrong.
        """
        return cls(
            bags=tuple(
                Bag(
                    bag["id"],
                    tuple(
                        DataObject(**{**item, "content_hash": ContentHash.parse(item["content_hash"])})
                        for item in bag["objects"]
                    ),
                    tuple(bag["storage_buckets"]),
                    tuple(bag["distribution_buckets"]),
                )
                for bag in document["bags"]
            ),
            storage_buckets=tuple(
                StorageBucket(**{**each, "status": BucketStatus(each["status"])})
                for each in document["storage_buckets"]
            ),
            distribution_buckets=tuple(
                DistributionBucket(each["id"], tuple(Operator(**operator) for operator in each["operators"]))
                for each in document["distribution_buckets"]
            ),
            height=document["height"],
            since=dict(document["since"]),
        )
