"""
What a query node of each generation has to say of a L{Network}: values that graphql-core's executor walks over.

The executor takes a field of a dictionary, and calls it where it can be called; so a bag can lead to its objects, and
an object to its bag, and nothing is made that is not asked for.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any

from distributor.devnet.network import Bag, BucketStatus, DistributionBucket, Network, Operator, StorageBucket
from distributor.model import DataObject

Fields = dict[str, Any]
Where = Mapping[str, Any] | None
_Identified = Bag | StorageBucket | DistributionBucket

_DEFAULT_PAGE = 50


class Generation(Enum):
    """
    The generations of query nodes.
    """

    SQUID = "squid"
    HYDRA = "hydra"


def root(generation: Generation, network: Network) -> Fields:
    """
    The fields of C{Query}.
    """
    return {Generation.SQUID: _Squid, Generation.HYDRA: _Hydra}[generation](network).root()


class _Answers(ABC):
    """
    What both generations have in common.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._storage_buckets = {bucket.id: bucket for bucket in network.storage_buckets}
        self._distribution_buckets = {bucket.id: bucket for bucket in network.distribution_buckets}

    def root(self) -> Fields:
        return {
            "storageDataObjectByUniqueInput": self._object_by_id,
            "storageBags": self._lister(self._network.bags, self._bag),
            "distributionBuckets": self._lister(self._network.distribution_buckets, self._distribution_bucket),
        }

    @abstractmethod
    def _link(self, name: str, bag: Bag, bucket_id: str) -> Fields:
        """
        The relation between a bag and a bucket.

        @param name: of the end that is wanted: C{bag}, C{storageBucket} or C{distributionBucket}.
        """

    def _ends(self, bag: Bag, bucket_id: str) -> dict[str, Callable[[object], Fields]]:
        return {
            "bag": lambda info: self._bag(bag),
            "storageBucket": lambda info: self._storage_bucket(self._storage_buckets[bucket_id]),
            "distributionBucket": lambda info: self._distribution_bucket(self._distribution_buckets[bucket_id]),
        }

    def _links(self, name: str, pairs: Sequence[tuple[Bag, str]]) -> Callable[..., list[Fields]]:
        def listed(info: object, offset: int | None = None, limit: int | None = None) -> list[Fields]:
            return [self._link(name, bag, bucket_id) for bag, bucket_id in _page(pairs, offset, limit)]

        return listed

    def _object_by_id(self, info: object, where: Mapping[str, Any]) -> Fields | None:
        found = self._network.found(where.get("id", ""))
        return None if found is None else self._object(*found)

    def _lister(self, items: Sequence[Any], fields: Callable[[Any], Fields]) -> Callable[..., list[Fields]]:
        def listed(
            info: object,
            where: Where = None,
            orderBy: Sequence[str] | None = None,
            offset: int | None = None,
            limit: int | None = None,
        ) -> list[Fields]:
            found = _ordered([item for item in items if _matches(item, where or {})], orderBy)
            return [fields(item) for item in _page(found, offset, limit)]

        return listed

    def _object(self, item: DataObject, bag: Bag) -> Fields:
        return {
            "id": item.id,
            "isAccepted": item.accepted,
            "size": str(item.size),
            "ipfsHash": str(item.content_hash),
            "type": _type(item),
            "storageBag": lambda info: self._bag(bag),
        }

    def _bag(self, bag: Bag) -> Fields:
        def objects(info: object, offset: int | None = None, limit: int | None = None) -> list[Fields]:
            return [self._object(item, bag) for item in _page(bag.objects, offset, limit)]

        return {
            "id": bag.id,
            "objects": objects,
            "storageBuckets": self._links("storageBucket", [(bag, each) for each in bag.storage_buckets]),
            "distributionBuckets": self._links(
                "distributionBucket", [(bag, each) for each in bag.distribution_buckets]
            ),
        }

    def _storage_bucket(self, bucket: StorageBucket) -> Fields:
        id = bucket.id
        metadata = {"id": f"metadata-{id}", "nodeEndpoint": bucket.endpoint}
        return {
            "id": id,
            "operatorStatus": {
                "__typename": _status_type(bucket.status),
                "workerId": bucket.worker_id,
                "transactorAccountId": f"account-{bucket.worker_id}",
            },
            "operatorMetadata": None if bucket.endpoint is None else metadata,
            "bags": self._links("bag", [(bag, id) for bag in self._network.bags if id in bag.storage_buckets]),
        }

    def _distribution_bucket(self, bucket: DistributionBucket) -> Fields:
        id = bucket.id

        def operators(info: object, offset: int | None = None, limit: int | None = None) -> list[Fields]:
            return [
                {
                    "id": f"{id}-{each.worker_id}",
                    "workerId": each.worker_id,
                    "status": "ACTIVE" if each.active else "INVITED",
                }
                for each in _page(bucket.operators, offset, limit)
            ]

        return {
            "id": id,
            "operators": operators,
            "bags": self._links("bag", [(bag, id) for bag in self._network.bags if id in bag.distribution_buckets]),
        }


class _Squid(_Answers):
    def root(self) -> Fields:
        return {
            **super().root(),
            "storageBuckets": self._lister(self._network.storage_buckets, self._storage_bucket),
            "squidVersion": {"version": "devnet"},
            "squidStatus": {"height": self._network.height},
        }

    def _link(self, name: str, bag: Bag, bucket_id: str) -> Fields:
        # It has a type of its own.
        return {"id": f"{bucket_id}-{bag.id}", **self._ends(bag, bucket_id)}


class _Hydra(_Answers):
    def root(self) -> Fields:
        return {**super().root(), "storageBucketsConnection": self._storage_buckets_connection}

    def _link(self, name: str, bag: Bag, bucket_id: str) -> Fields:
        return self._ends(bag, bucket_id)[name](None)

    def _storage_buckets_connection(
        self,
        info: object,
        where: Where = None,
        orderBy: Sequence[str] | None = None,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Fields:
        if last is not None or before is not None:
            raise ValueError("the devnet pages forwards only")
        found = _ordered([each for each in self._network.storage_buckets if _matches(each, where or {})], orderBy)
        start = 0 if after is None else _position(after) + 1
        page = found[start : start + (_DEFAULT_PAGE if first is None else first)]
        cursors = [_cursor(start + index) for index in range(len(page))]
        return {
            "totalCount": len(found),
            "edges": [
                {"node": self._storage_bucket(bucket), "cursor": cursor}
                for bucket, cursor in zip(page, cursors, strict=True)
            ],
            "pageInfo": {
                "hasNextPage": start + len(page) < len(found),
                "hasPreviousPage": start > 0,
                "startCursor": cursors[0] if cursors else None,
                "endCursor": cursors[-1] if cursors else None,
            },
        }


def _type(item: DataObject) -> Fields:
    if item.type is not None and item.type.startswith("text/"):
        subtitle = {"id": f"subtitle-{item.id}", "mimeType": item.type}
        return {"__typename": "DataObjectTypeVideoSubtitle", "subtitle": subtitle}
    # The chain says of no other kind of object which media type it has.
    return {"__typename": "DataObjectTypeVideoMedia", "phantom": None}


def _status_type(status: BucketStatus) -> str:
    return f"StorageBucketOperatorStatus{status.value}"


def _page(items: Sequence[Any], offset: int | None, limit: int | None) -> Sequence[Any]:
    start = offset or 0
    return items[start:] if limit is None else items[start : start + limit]


def _ordered(items: list[Any], order_by: Sequence[str] | None) -> list[Any]:
    # There is one thing to order by, so what comes behind it decides nothing.
    if not order_by:
        return items
    return sorted(items, key=lambda item: item.id, reverse=order_by[0] == "id_DESC")


def _cursor(position: int) -> str:
    return b64encode(json.dumps(position).encode("ascii")).decode("ascii")


def _position(cursor: str) -> int:
    return int(b64decode(cursor, validate=True))


def _matches(item: _Identified, where: Mapping[str, Any]) -> bool:
    """
    Whether all conditions hold; one that is null is none.
    """
    return all(wanted is None or _CONDITIONS[name](item, wanted) for name, wanted in where.items())


def _has_status(item: Any, wanted: Mapping[str, Any]) -> bool:
    return set(wanted) <= {"isTypeOf_eq"} and wanted.get("isTypeOf_eq") in (None, _status_type(item.status))


def _has_operator(item: Any, wanted: Mapping[str, Any]) -> bool:
    def fits(operator: Operator) -> bool:
        status = "ACTIVE" if operator.active else "INVITED"
        return wanted.get("workerId_eq") in (None, operator.worker_id) and wanted.get("status_eq") in (None, status)

    return any(map(fits, item.operators))


_CONDITIONS: dict[str, Callable[[Any, Any], bool]] = {
    "id_eq": lambda item, wanted: item.id == wanted,
    "id_in": lambda item, wanted: item.id in wanted,
    "operatorStatus": _has_status,
    "operatorStatus_json": _has_status,
    "operators_some": _has_operator,
}
