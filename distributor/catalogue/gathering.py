"""
Asks a query node for all objects that a node distributes, page by page.
"""

from __future__ import annotations

from array import array
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from distributor.catalogue.facts import LARGEST_PAGE, State, StorageNodesPage
from distributor.catalogue.graphql import Bounds, QueryFailed, Trouble
from distributor.catalogue.interface import Selection
from distributor.catalogue.object_ids import ObjectIds
from distributor.catalogue.query_node import QueryNode
from distributor.model import InThread, StorageNode

T = TypeVar("T")

#: Between two pages, so that a query node has time for others; in seconds.
PAUSE_S = 0.2

#: A page of a thousand bags is a megabyte. Parsing holds up the reactor, even from a thread, so no more at once.
_PAGE = Bounds(8 * 1024 * 1024, 30.0)

#: One bag, or bucket, cannot be asked for in parts.
_SINGLE = Bounds(64 * 1024 * 1024, 60.0)

_STATE = Bounds(64 * 1024, 30.0)

#: How often in a row a page is asked for again as a quarter of it, when it was too much.
_SMALLER = 3

#: More pages of storage nodes than any network has.
_MOST_PAGES = 20


@frozen
class Gathered:
    """
    What a node distributes.

    @ivar buckets: those that there are.
    @ivar bags: how many.
    """

    buckets: tuple[str, ...]
    bags: int
    ids: ObjectIds


class Gatherer:
    """
    Asks, with pauses.
    """

    def __init__(self, query_node: QueryNode, clock: IReactorTime, in_thread: InThread) -> None:
        self._query_node = query_node
        self._clock = clock
        self._in_thread = in_thread

    async def gather(self, selection: Selection) -> Gathered:
        """
        All objects of the buckets of a selection that is not all there is.

        @raise QueryFailed: a question was not answered, so that the whole is not known.
        """
        bucket_ids = await self._bucket_ids(selection)
        buckets: dict[str, list[str]] = {}
        for found in await self._in_pages(bucket_ids, self._bags_of):
            buckets.update(found)
        bags = list(dict.fromkeys(bag for found in buckets.values() for bag in found))
        pages = await self._in_pages(bags, self._objects_of)
        ids = await self._in_thread(ObjectIds.of_numbers, *pages)
        return Gathered(tuple(buckets), len(bags), ids)

    async def state(self) -> State | None:
        """
        How the query node is, if it says.

        @raise QueryFailed: it does not answer at all.
        """
        question = (await self._query_node.speak()).state
        if question is None:
            return None
        try:
            return await self._query_node.ask(lambda _: question, _STATE)
        except QueryFailed as error:
            if error.general:
                raise
            return None

    async def storage_nodes(self) -> tuple[StorageNode, ...]:
        """
        All storage nodes of active storage buckets.

        @raise QueryFailed: there was no answer.
        """
        found: dict[str, StorageNode] = {}
        after: str | None = None
        for _ in range(_MOST_PAGES):
            page = await self._page_of_storage_nodes(after)
            found.update((node.id, node) for node in page.nodes)
            if page.next is None or page.next == after:
                break
            after = page.next
            await self._pause()
        return tuple(found.values())

    async def _page_of_storage_nodes(self, after: str | None) -> StorageNodesPage:
        return await self._query_node.ask(lambda dialect: dialect.active_storage_nodes(after), _PAGE)

    async def _bucket_ids(self, selection: Selection) -> list[str]:
        if selection.buckets is not None:
            return list(dict.fromkeys(map(str, selection.buckets)))
        worker_id = selection.worker_id
        assert worker_id is not None
        return list(await self._query_node.ask(lambda dialect: dialect.buckets_of_worker(worker_id), _PAGE))

    async def _bags_of(self, page: Sequence[str], bounds: Bounds) -> dict[str, list[str]]:
        return await self._query_node.ask(lambda dialect: dialect.bags(page), bounds)

    async def _objects_of(self, page: Sequence[str], bounds: Bounds) -> array[int]:
        return await self._query_node.ask(lambda dialect: dialect.objects(page), bounds)

    async def _in_pages(self, ids: Sequence[str], ask: Callable[[Sequence[str], Bounds], Awaitable[T]]) -> list[T]:
        """
        The answers to a question about many things, which is put about some at a time; about fewer, when that turns out
        to be too much.
        """
        answers: list[T] = []
        position, size, too_much = 0, LARGEST_PAGE, 0
        while position < len(ids):
            page = ids[position : position + size]
            try:
                answers.append(await ask(page, _PAGE if len(page) > 1 else _SINGLE))
            except QueryFailed as error:
                too_much += 1
                if error.trouble not in (Trouble.TOO_LARGE, Trouble.TIMED_OUT) or len(page) == 1 or too_much > _SMALLER:
                    raise
                size = max(1, len(page) // 4)
            else:
                too_much = 0
                position += len(page)
            if position < len(ids):
                await self._pause()
        return answers

    def _pause(self) -> Deferred[None]:
        return deferLater(self._clock, PAUSE_S, lambda: None)
