"""
What the operator's work needs of a node's parts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Iterable, Mapping, Sequence
from typing import Literal, Protocol

from twisted.internet.defer import Deferred

from distributor.cache import Entry
from distributor.model import DataObject, Fault, IReader, Listing, StorageNode

Runs = Sequence[tuple[int, int]]
HeldState = Literal["complete", "partial", "unverified"]


class Held(Protocol):
    """
    What there is of an object on this node, whole or not: L{distributor.cache.Facts}.
    """

    @property
    def object_id(self) -> str: ...

    @property
    def size(self) -> int: ...

    @property
    def content_hash(self) -> str | None: ...

    @property
    def type(self) -> str | None: ...

    @property
    def state(self) -> HeldState: ...

    @property
    def extents(self) -> Runs: ...

    @property
    def present(self) -> int: ...

    @property
    def added_at(self) -> float | None: ...

    @property
    def last_access(self) -> float: ...

    @property
    def hits(self) -> int: ...


class Eviction(Protocol):
    """
    That an object was deleted.
    """

    @property
    def reason(self) -> str: ...

    @property
    def at(self) -> float: ...


class Store(Protocol):
    """
    Where the objects are.
    """

    def get(self, object_id: str) -> Entry | None: ...

    def last_eviction(self, object_id: str) -> Eviction | None: ...

    async def open(self, object_id: str) -> IReader: ...

    async def remove(self, object_id: str, reason: str, /) -> bool: ...

    async def facts(self, object_id: str) -> Held | None:
        """
        @raise DiskFailed: the index refuses.
        """

    async def page(self, after: str | None, limit: int, states: Collection[HeldState] = ..., /) -> Sequence[Held]:
        """
        In an order of its own, those behind C{after}; fewer than C{limit} are the last.

        @raise DiskFailed: the index refuses.
        """

    async def faults(self, limit: int) -> Sequence[Fault]:
        """
        The newest first.

        @raise DiskFailed: the index refuses.
        """

    def surveyed(self) -> Deferred[None]:
        """
        Fires when all files are known.
        """

    async def save_for_argus(self) -> bool:
        """
        @return: whether it was written; not so where nothing has changed.
        @raise DiskFailed: it cannot be.
        """


class Node(Protocol):
    """
    Which objects are to be here.
    """

    def lookup(self, object_id: str) -> Awaitable[Listing]:
        """
        @raise DistributorError: it is not there, not ours, or not known.
        """

    def keeps(self, object: DataObject) -> bool: ...


class Catalogue(Protocol):
    """
    What knows of objects.
    """

    def lookup(self, object_id: str) -> Awaitable[Listing]: ...

    def explain(self, object_id: str) -> Mapping[str, object]:
        """
        What is known of an object, and since when; C{ours}: whether it is, and C{why}. An object of JSON.
        """

    def status(self) -> Mapping[str, object]:
        """
        How the query node does; an object of JSON.
        """


class Scope(Protocol):
    """
    What can change what a node distributes; it then takes its time.
    """

    def set_worker(self, worker_id: int) -> None: ...

    def set_buckets(self, buckets: Sequence[str] | None) -> None: ...


class StorageNodes(Protocol):
    """
    What is known of the storage nodes.
    """

    def ranking(self) -> Sequence[Mapping[str, object]]:
        """
        An object of JSON for each, the one that would be asked first first.
        """

    def explain(self, nodes: Iterable[StorageNode]) -> Sequence[Mapping[str, object]]:
        """
        The same of some.
        """


class Setting(Protocol):
    """
    A row of the configuration in force.
    """

    @property
    def key(self) -> str: ...

    @property
    def value(self) -> object: ...

    @property
    def origin(self) -> str: ...
