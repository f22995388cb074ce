"""
A node for the operator's work, without threads or sockets: a real store, real downloads, storage nodes in memory.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from attrs import evolve, frozen
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from distributor.cache import ArgusState, Entry, Index, Row
from distributor.cache import Store as RealStore
from distributor.model import ByteRange, DataObject, Fault, IReader, Listing, ObjectNotFound
from distributor.observe import Sparse
from distributor.operations.parts import HeldState, Runs
from distributor.transfer import DownloadReader, Downloads
from distributor.transfer.filling import UNATTENDED_RATE
from tests.cache.stores import all_rows
from tests.stored import in_thread
from tests.upstream import Upstream, payload

CONTENT = payload(300_000)

#: Storage nodes are not tried again.
NO_PATIENCE_S = 0.0


@frozen
class HeldObject:
    """
    What there is of an object.
    """

    object_id: str
    size: int
    content_hash: str | None
    type: str | None
    state: HeldState
    extents: Runs
    added_at: float | None = None
    last_access: float = 0.0
    hits: int = 0

    @property
    def present(self) -> int:
        return sum(stop - start for start, stop in self.extents)


@frozen
class Deletion:
    """
    That something was deleted.
    """

    reason: str
    at: float


@implementer(IReader)
class OpenObject:
    """
    A real reader, of which it is known whether it has been closed.
    """

    def __init__(self, object_id: str, reader: IReader, read: list[str]) -> None:
        self._object_id = object_id
        self._reader = reader
        self._read = read
        self.size = reader.size
        self.fd = reader.fd
        self.had_early = reader.had_early
        read.append(object_id)

    def available(self, offset: int) -> int:
        return self._reader.available(offset)

    def early(self, offset: int, length: int) -> bytes:
        return self._reader.early(offset, length)

    def wait(self, offset: int) -> Deferred[None]:
        return self._reader.wait(offset)

    def close(self) -> None:
        self._reader.close()
        self._read.remove(self._object_id)


class OperatedStore:
    """
    A real store, and what else an operator asks of one.

    @ivar trouble: what the index raises, if it refuses.
    @ivar more: what there is besides.
    @ivar reasons: for what objects were removed.
    @ivar read: which objects somebody has open.
    """

    def __init__(self, store: RealStore, index: Index) -> None:
        self.real = store
        self._index = index
        self.given_faults: list[Fault] = []
        self.evictions: dict[str, Deletion] = {}
        self.trouble: Exception | None = None
        self.more: dict[str, HeldObject] = {}
        self.reasons: list[tuple[str, str]] = []
        self.read: list[str] = []

    def get(self, object_id: str) -> Entry | None:
        return self.real.get(object_id)

    def last_eviction(self, object_id: str) -> Deletion | None:
        return self.evictions.get(object_id)

    async def open(self, object_id: str) -> IReader:
        return OpenObject(object_id, await self.real.open(object_id), self.read)

    async def remove(self, object_id: str, reason: str, /) -> bool:
        self.reasons.append((object_id, reason))
        return self.more.pop(object_id, None) is not None or await self.real.remove(object_id)

    async def facts(self, object_id: str) -> HeldObject | None:
        return next((held for held in await self.page(None, 10**9) if held.object_id == object_id), None)

    async def page(
        self,
        after: str | None,
        limit: int,
        states: Collection[HeldState] = ("complete", "partial", "unverified"),
        /,
    ) -> Sequence[HeldObject]:
        if self.trouble is not None:
            raise self.trouble
        there = [*map(_held, await all_rows(self._index)), *self.more.values()]
        found = sorted((held for held in there if held.state in states), key=lambda held: int(held.object_id))
        return [held for held in found if after is None or int(held.object_id) > int(after)][:limit]

    async def faults(self, limit: int) -> Sequence[Fault]:
        return self.given_faults[:limit]

    def surveyed(self) -> Deferred[None]:
        return self.real.surveyed()

    async def save_for_argus(self) -> bool:
        if self.trouble is not None:
            raise self.trouble
        return await self.real.save_for_argus()


def _held(row: Row) -> HeldObject:
    extents: Runs = ((0, row.size),) if row.state == "complete" else row.extents
    return HeldObject(
        row.id, row.size, row.content_hash, row.type, row.state, extents, row.added_at, row.last_access, row.hits
    )


class Operated:
    """
    A node whose storage node has the objects 1 to 9, each with the same bytes.

    @ivar troubles: by object id, what the catalogue says instead.
    @ivar looked_up: which ids it was asked for.
    @ivar largest: the size of the largest object that is kept.
    """

    def __init__(self, case: SynchronousTestCase, *, queue_length: int = 10, at_once: int = 10) -> None:
        self.case = case
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.directory = Path(case.mktemp())
        (self.directory / "state").mkdir(parents=True)
        (self.directory / "assets").mkdir()
        self.upstream = Upstream(case, self.clock, CONTENT)
        [node] = self.upstream.nodes
        for object_id in "123456789":
            node.files[object_id] = node.files["7"]
        self.troubles: dict[str, Exception] = {}
        self.looked_up: list[str] = []
        self.largest = 10**9
        index = Index(self.directory / "state" / "index.sqlite3", in_thread)
        argus = ArgusState(self.directory / "state" / "cache.json", in_thread)
        real = RealStore(self.directory / "assets", index, 10**9, in_thread, self.clock.seconds, argus)
        self.store = OperatedStore(real, index)
        self.downloads = Downloads(
            real,
            self.upstream.client,
            self.clock,
            in_thread,
            Sparse(self.clock, Logger()),
            at_once=at_once,
            queue_length=queue_length,
            patience_s=NO_PATIENCE_S,
        )
        case.addCleanup(self._end)

    def start(self) -> None:
        """
        Open the store.
        """
        self.case.successResultOf(Deferred.fromCoroutine(self.store.real.start()))

    def _end(self) -> None:
        stopped = Deferred.fromCoroutine(self.downloads.stop())
        self.settle()
        self.case.successResultOf(stopped)
        self.case.successResultOf(Deferred.fromCoroutine(self.store.real.stop()))
        self.case.assertEqual(self.clock.getDelayedCalls(), [])

    def listing(self, object_id: str) -> Listing:
        """
        What the catalogue says of an object.
        """
        return evolve(self.upstream.listing, object=evolve(self.upstream.listing.object, id=object_id))

    async def lookup(self, object_id: str) -> Listing:
        """
        As a node's and a catalogue's.
        """
        self.looked_up.append(object_id)
        if object_id in self.troubles:
            raise self.troubles[object_id]
        if object_id not in tuple("123456789"):
            raise ObjectNotFound(object_id)
        return self.listing(object_id)

    def keeps(self, object: DataObject) -> bool:
        """
        As a node's.
        """
        return object.size <= self.largest

    def read(self, object_id: str) -> DownloadReader:
        """
        Somebody asks for an object that is not here.
        """
        return self.downloads.start(self.listing(object_id), (ByteRange(0, len(CONTENT)),))

    def settle(self) -> None:
        """
        Let everything happen that takes next to no time.
        """
        for _ in range(10):
            self.upstream.flush(20)
            self.clock.advance(len(CONTENT) / UNATTENDED_RATE)

    def have(self, *object_ids: str) -> None:
        """
        Have some objects complete.
        """
        for object_id in object_ids:
            reader = self.read(object_id)
            self.settle()
            reader.close()
            self.case.assertIsNotNone(self.store.get(object_id))

    def path(self, object_id: str) -> Path:
        """
        Where a complete object is.
        """
        return self.directory / "assets" / object_id
