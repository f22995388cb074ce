"""
How one generation of query nodes wants our questions put.

Pure; what the two differ in is in L{distributor.catalogue.squid} and L{distributor.catalogue.hydra}.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence

from attrs import frozen

from distributor.catalogue.facts import (
    LARGEST_PAGE,
    Generation,
    ObjectFacts,
    Question,
    State,
    StorageNodesPage,
    Unusable,
)
from distributor.catalogue.reading import (
    bags_asked_for,
    bags_by_bucket,
    member,
    members,
    object_facts,
    object_ids,
    worker_buckets,
)

_BUCKETS_OF_WORKER = """
query BucketsOfWorker($worker: Int!, $limit: Int!) {
  distributionBuckets(where: {operators_some: {workerId_eq: $worker, status_eq: ACTIVE}}, limit: $limit) {
    id
    operators { workerId status }
  }
}
"""

#: Takes a list out of what stands around it.
Listed = Callable[[object], list[object]]


@frozen
class Dialect:
    """
    The questions, in one generation's words. Its fields are what differs; its methods, what can be asked.

    @ivar active_storage_nodes: asks for the storage nodes of all active storage buckets, from a page's C{next} on.
    @ivar state: asks how the query node is; L{None}: this generation does not say.
    @ivar storage_buckets_of: those of a bag.
    @ivar distribution_buckets_of: those of a bag.
    @ivar bags_of: those of a distribution bucket.
    """

    generation: Generation
    active_storage_nodes: Callable[[str | None], Question[StorageNodesPage]]
    state: Question[State] | None
    object_text: str
    bags_text: str
    objects_text: str
    storage_buckets_of: Listed
    distribution_buckets_of: Listed
    bags_of: Listed

    def object(self, object_id: str) -> Question[ObjectFacts | Unusable | None]:
        """
        All about one object; L{None}: there is none.
        """

        def read(data: object) -> ObjectFacts | Unusable | None:
            found = member(data, "storageDataObjectByUniqueInput")
            return object_facts(found, object_id, self.storage_buckets_of, self.distribution_buckets_of)

        return Question("DataObject", self.object_text, {"id": object_id}, read)

    def buckets_of_worker(self, worker_id: int) -> Question[tuple[str, ...]]:
        """
        The ids of the buckets of which a worker is an active operator.
        """

        def read(data: object) -> tuple[str, ...]:
            return worker_buckets(members(data, "distributionBuckets"), worker_id)

        return Question("BucketsOfWorker", _BUCKETS_OF_WORKER, {"worker": worker_id, "limit": LARGEST_PAGE}, read)

    def bags(self, bucket_ids: Sequence[str]) -> Question[dict[str, list[str]]]:
        """
        The ids of the bags of some buckets, by bucket.
        """
        asked = frozenset(bucket_ids)

        def read(data: object) -> dict[str, list[str]]:
            return bags_by_bucket(members(data, "distributionBuckets"), asked, self.bags_of)

        return Question("Bags", self.bags_text, {"buckets": list(bucket_ids), "limit": len(bucket_ids)}, read)

    def objects(self, bag_ids: Sequence[str]) -> Question[array[int]]:
        """
        The ids of the objects of some bags, in ascending order.
        """
        asked = frozenset(bag_ids)

        def read(data: object) -> array[int]:
            return object_ids(bags_asked_for(members(data, "storageBags"), asked))

        return Question("Objects", self.objects_text, {"bags": list(bag_ids), "limit": len(bag_ids)}, read)
