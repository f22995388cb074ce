"""
What the tests of the store share: objects, a clock, threads whose jobs wait, and a store in a directory of its own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Coroutine
from hashlib import shake_128
from pathlib import Path
from typing import Any, cast

from blake3 import blake3
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from distributor.cache import Allocation, Index, Row, Store
from distributor.cache.database import RawRow
from distributor.cache.directories import PARTIAL
from distributor.model import BLAKE3_256, ContentHash, DataObject, InThread, P, T

#: Where jobs run at once, in the thread that is there.
IN_THREAD = cast(InThread, maybeDeferred)

#: Some day in 2023: the clock of these tests starts here.
NOW = 1_700_000_000.0


def payload(object_id: str, size: int) -> bytes:
    """
    The bytes of an object: they do not repeat, and no two objects have the same.
    """
    return shake_128(object_id.encode("ascii")).digest(size)


def hash_of(content: bytes) -> ContentHash:
    """
    The content hash of C{content}.
    """
    return ContentHash(BLAKE3_256, blake3(content).digest())


def data_object(object_id: str, size: int, type: str | None = None) -> DataObject:
    """
    What the catalogue says of the object with L{payload}.
    """
    return DataObject(object_id, size, hash_of(payload(object_id, size)), type)


def open_below(directory: Path) -> dict[int, str]:
    """
    The descriptors which this process has on files below C{directory}, the index and locks apart, and their paths.
    """
    found = {}
    for fd in os.listdir("/proc/self/fd"):
        try:
            path = os.readlink(f"/proc/self/fd/{fd}")
        except FileNotFoundError:
            continue
        if path.startswith(f"{directory.absolute()}/") and "/state/" not in path:
            found[int(fd)] = path
    return found


def raw(row: Row) -> RawRow:
    """
    A row as SQLite gives it.
    """
    extents = json.dumps(row.extents)
    return (row.id, row.size, row.content_hash, row.type, row.state, extents, row.added_at, row.last_access, row.hits)


async def all_rows(index: Index) -> list[Row]:
    """
    What an open index says, the least recently wanted first.
    """
    return [row async for batch in index.load(lambda rows: [Row.of(row) for row in rows]) for row in batch]


class Jobs:
    """
    Threads that do nothing until they are told to.
    """

    def __init__(self) -> None:
        self.waiting: list[tuple[str, Callable[[], None]]] = []

    def __call__(self, f: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        done: Deferred[T] = Deferred()

        def run() -> None:
            maybeDeferred(f, *args, **kwargs).chainDeferred(done)

        self.waiting.append((getattr(f, "__name__", str(f)), run))
        return done

    @property
    def names(self) -> list[str]:
        """
        The functions that wait for their turn.
        """
        return [name for name, _ in self.waiting]

    def run(self, name: str | None = None) -> None:
        """
        Let the first job go, or the first one of a function.
        """
        position = 0 if name is None else self.names.index(name)
        self.waiting.pop(position)[1]()

    def run_all(self) -> None:
        """
        Let all jobs go, and those that they bring.
        """
        while self.waiting:
            self.run()


class StoreCase(SynchronousTestCase):
    """
    A directory, and stores on it.
    """

    def setUp(self) -> None:
        self.base = Path(self.mktemp()).absolute()
        self.assets = self.base / "assets"
        self.partial = self.assets / PARTIAL
        self.database = self.base / "state" / "index.sqlite3"
        self.clock = Clock()
        self.clock.advance(NOW)
        # The sizes of what was deleted to make room.
        self.made_room: list[int] = []

    def done(self, coroutine: Coroutine[Deferred[Any], Any, T]) -> T:
        """
        What C{coroutine} returns, which must not have to wait.
        """
        return self.successResultOf(Deferred.fromCoroutine(coroutine))

    def failed(self, coroutine: Coroutine[Deferred[Any], Any, T], *kinds: type[BaseException]) -> BaseException:
        """
        What C{coroutine} raises, which must not have to wait.
        """
        error: BaseException = self.failureResultOf(Deferred.fromCoroutine(coroutine), *kinds).value
        return error

    def later(self, coroutine: Coroutine[Deferred[Any], Any, T]) -> Deferred[T]:
        """
        C{coroutine}, on its way.
        """
        return Deferred.fromCoroutine(coroutine)

    def ran(self, jobs: Jobs, coroutine: Coroutine[Deferred[Any], Any, T]) -> T:
        """
        What C{coroutine} returns once all jobs have been done.
        """
        result = self.later(coroutine)
        jobs.run_all()
        return self.successResultOf(result)

    def rows(self) -> list[Row]:
        """
        What the index says.
        """
        index = Index(self.database, IN_THREAD)
        self.done(index.open())
        rows = self.done(all_rows(index))
        self.done(index.close())
        return rows

    def make_store(
        self, capacity: int = 1000, in_thread: InThread = IN_THREAD, index_thread: InThread = IN_THREAD
    ) -> Store:
        """
        A store that has not been started.
        """
        index = Index(self.database, index_thread)
        return Store(self.assets, index, capacity, in_thread, self.clock.seconds, made_room=self.made_room.append)

    def started(self, capacity: int = 1000) -> Store:
        """
        A store that has been started.
        """
        store = self.make_store(capacity)
        self.done(store.start())
        return store

    def restarted(self, store: Store, capacity: int = 1000) -> Store:
        """
        The store after an orderly end and a new start.
        """
        self.done(store.stop())
        return self.started(capacity)

    def write(self, allocation: Allocation, start: int, stop: int) -> None:
        """
        Put the bytes of the object in their place.
        """
        content = payload(allocation.object.id, allocation.object.size)
        os.pwrite(allocation.fd, content[start:stop], start)

    def fill(self, store: Store, object_id: str, size: int, type: str | None = None) -> None:
        """
        Have a complete object in the store.
        """
        allocation = self.done(store.allocate(data_object(object_id, size, type)))
        self.write(allocation, 0, size)
        allocation.grew(size)
        self.done(allocation.commit(type))
        self.clock.advance(1)

    def read(self, store: Store, object_id: str) -> bytes:
        """
        All bytes of a complete object, as a reader sees them.
        """
        reader = self.done(store.open(object_id))
        try:
            data: bytes = os.pread(reader.fd, reader.size + 1, 0)
            self.assertEqual(reader.available(0), reader.size)
            return data
        finally:
            reader.close()

    def put_file(self, path: Path, content: bytes) -> None:
        """
        A file that the store did not write.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def files(self, directory: Path) -> dict[str, int]:
        """
        The files of a directory, and their sizes.
        """
        return {path.name: path.stat().st_size for path in directory.iterdir() if path.is_file()}

    async def fetch(self, store: Store, object: DataObject) -> None:
        """
        Do to an object what a download does: fill what is missing, verify all, and begin anew when it is wrong.
        """
        content = payload(object.id, object.size)
        for _ in range(2):
            allocation = await store.allocate(object)
            present = bytearray(os.pread(allocation.fd, object.size, 0).ljust(object.size, b"\0"))
            holes = [edge for run in allocation.extents for edge in run]
            for start, stop in zip([0, *holes[1::2]], [*holes[::2], object.size], strict=True):
                os.pwrite(allocation.fd, content[start:stop], start)
                present[start:stop] = content[start:stop]
            allocation.grew(object.size)
            if hash_of(bytes(present)) == object.content_hash:
                await allocation.commit(object.type)
                return
            await allocation.discard()
        raise AssertionError(f"object {object.id} cannot be had")

    def assert_nothing_open(self) -> None:
        """
        No descriptor has been forgotten.
        """
        self.assertEqual(open_below(self.base), {})
