"""
What the rest of the program asks of a catalogue, wherever it comes from.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from typing import Any

from attrs import frozen
from zope.interface import Attribute, Interface

from distributor.model import DataObject, Listing, StorageNode


@frozen
class Selection:
    """
    Which distribution buckets a node distributes: those that are named; else those of which a worker is an active
    operator; else all.

    @ivar buckets: ids as they are written, such as C{"0:1"}; older files have plain integers.
    """

    buckets: tuple[str | int, ...] | None = None
    worker_id: int | None = None

    @property
    def everything(self) -> bool:
        """
        Whether nothing restricts what is distributed.
        """
        return self.buckets is None and self.worker_id is None

    def takes(self, bucket_id: str, workers: Iterable[int]) -> bool:
        """
        Whether a bucket is one of these.

        @param workers: its active operators.
        """
        if self.buckets is not None:
            return any(str(bucket) == bucket_id for bucket in self.buckets)
        return self.worker_id is None or self.worker_id in workers


class ICatalogue(Interface):
    """
    Answers "what is object 7, who stores it, is it ours?".
    """

    bucket_ids = Attribute("The distribution buckets that this node is known to serve; text, or integers.")
    selection = Attribute("The L{Selection} in force.")
    storage_nodes = Attribute("All storage nodes that the catalogue is known to have; a tuple of L{StorageNode}.")
    negative_ttl_s = Attribute("For how long it may be remembered that an object is not here; whole seconds.")

    def lookup(object_id: str) -> Coroutine[Any, Any, Listing]:
        """
        What is known of an object. Whether it is accepted, and distributed here, is for the caller to judge.

        @raise ObjectNotFound: there is no such object.
        @raise CatalogueUnavailable: the catalogue cannot say.
        """

    def serves(object_id: str) -> bool | None:
        """
        Whether an object is one that this node distributes, from memory; L{None} where that is not known.
        """

    def explain(object_id: str) -> dict[str, object]:
        """
        What is in memory about an object, how old it is, whether the object is ours and why; can be written as JSON.
        """

    def status() -> dict[str, object]:
        """
        How the catalogue is, from memory; can be written as JSON.
        """

    def set_buckets(buckets: Iterable[str | int] | None) -> None:
        """
        Distribute these buckets from now on; L{None}: those of the worker.
        """

    def set_worker(worker_id: int | None) -> None:
        """
        Be this worker from now on.
        """


def explained_listing(known: DataObject, storage_nodes: Iterable[StorageNode]) -> dict[str, object]:
    """
    An object and where it is stored, as L{ICatalogue.explain} shows them.
    """
    return {
        "object": {
            "size": known.size,
            "contentHash": str(known.content_hash),
            "type": known.type,
            "accepted": known.accepted,
        },
        "storageNodes": [{"bucket": node.id, "endpoint": node.endpoint} for node in storage_nodes],
    }
