"""
What the operator's work needs of a node's parts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from distributor.cache import Entry, Row
from distributor.model import DataObject, Fault, IReader, Listing, StorageNode

Runs = Sequence[tuple[int, int]]


class Unfinished(Protocol):
    """
    What is kept of an object that nobody fills at present.
    """

    @property
    def size(self) -> int: ...

    @property
    def extents(self) -> Runs: ...

    @property
    def occupied(self) -> int: ...


class Store(Protocol):
    """
    Where the objects are.
    """

    @property
    def unverified(self) -> Mapping[str, int]: ...

    def get(self, object_id: str) -> Entry | None: ...

    def unfinished(self, object_id: str) -> Unfinished | None:
        """
        What there is of an unfinished object, unless it is being filled.
        """

    def reader_count(self, object_id: str) -> int:
        """
        How many answers read the file of a complete object.
        """

    def last_eviction(self, object_id: str) -> Any:
        """
        When it was deleted to make room, in seconds since 1970, as far as that is remembered; or what else can be said
        of that in JSON.
        """

    async def open(self, object_id: str) -> IReader: ...

    async def remove(self, object_id: str) -> bool: ...

    async def page(self, after_id: str | None, limit: int) -> Sequence[Row]:
        """
        Rows of the index in an order of its own, those behind C{after_id}.
        """

    async def faults(self, limit: int) -> Sequence[Fault]:
        """
        The newest first.
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
