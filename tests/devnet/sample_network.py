"""
A network with one of each kind of thing in it.
"""

from __future__ import annotations

from blake3 import blake3

from distributor.devnet.network import Bag, BucketStatus, DistributionBucket, Network, Operator, StorageBucket
from distributor.model import BLAKE3_256, ContentHash, DataObject


def data_object(id: str, type: str | None = None, accepted: bool = True) -> DataObject:
    """
    An object of as many bytes as its id says.
    """
    return DataObject(id, int(id), ContentHash(BLAKE3_256, blake3(id.encode("ascii")).digest()), type, accepted)


NETWORK = Network(
    bags=(
        Bag("dynamic:channel:1", (data_object("1"), data_object("2", "text/vtt")), ("0", "1"), ("0:0",)),
        Bag("dynamic:channel:2", (data_object("3"), data_object("4", accepted=False)), ("1", "2", "3"), ("0:0", "0:1")),
        Bag("dynamic:channel:3", (), (), ()),
    ),
    storage_buckets=(
        StorageBucket("0", "http://127.0.0.1:1/", worker_id=10),
        StorageBucket("1", "http://127.0.0.1:2", worker_id=11),
        StorageBucket("2", None),
        StorageBucket("3", "http://127.0.0.1:3/", BucketStatus.INVITED),
        StorageBucket("4", None, BucketStatus.MISSING),
    ),
    distribution_buckets=(
        DistributionBucket("0:0", (Operator(7), Operator(8, active=False))),
        DistributionBucket("0:1", (Operator(8),)),
    ),
    height=100,
    since={"3": 90},
)
