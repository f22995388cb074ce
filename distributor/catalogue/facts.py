"""
What a query node can be asked, and what its answers come to, in whichever generation's words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Generic, TypeVar

from attrs import frozen

from distributor.model import DataObject, StorageNode

T_co = TypeVar("T_co", covariant=True)

#: A query node is asked for no more bags, or buckets, at once.
LARGEST_PAGE = 1000


class Generation(Enum):
    """
    Which of the two a query node is.
    """

    SQUID = "squid"
    HYDRA = "hydra"


@frozen
class Question(Generic[T_co]):
    """
    One GraphQL operation, and how to read its answer.

    @ivar read: what C{data} comes to; pure, and may be called in a thread. It raises L{WrongShape
        <distributor.catalogue.reading.WrongShape>}.
    """

    name: str
    text: str
    variables: Mapping[str, Any]
    read: Callable[[object], T_co]


@frozen
class DistributionBucket:
    """
    @ivar workers: its active operators.
    """

    id: str
    workers: tuple[int, ...]


@frozen
class ObjectFacts:
    """
    All that a query node says of an object.

    @ivar storage_nodes: of its active storage buckets; id is the bucket's.
    @ivar ignored: what was left out because it was no use, for people.
    """

    object: DataObject
    bag_id: str
    storage_nodes: tuple[StorageNode, ...]
    buckets: tuple[DistributionBucket, ...]
    ignored: tuple[str, ...] = ()


@frozen
class Unusable:
    """
    There is such an object, but what is said of it makes no sense: no bytes could ever be right.
    """

    reason: str


@frozen
class State:
    """
    How a query node is.

    @ivar height: the last block that it has taken in.
    """

    version: str | None
    height: int | None


@frozen
class StorageNodesPage:
    """
    Some of all storage nodes.

    @ivar next: where the next page begins; L{None} after the last.
    """

    nodes: tuple[StorageNode, ...]
    next: str | None
