"""
The owner's side of one worker.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from itertools import count, islice

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.protocols.amp import AMP, UNKNOWN_ERROR_CODE, AmpBox, RemoteAmpError
from twisted.python.failure import Failure

from distributor.cache import Entry, Store
from distributor.model import FIRST_STEP, LARGEST_STEP, Fault, IReader
from distributor.node import Node, Opened
from distributor.transfer import IDownloadReader
from distributor.workers.wire import (
    PIECE,
    Ask,
    Cancel,
    Close,
    Crowd,
    Entries,
    File,
    Find,
    Listed,
    Open,
    Report,
    Wait,
    dump_entries,
    dump_found,
    load_news,
    load_ranges,
)

#: How many entries are looked at before the reactor has its turn again.
_AT_ONCE = 2000


@frozen
class Shared:
    """
    What the owner has for all its workers.

    @ivar facts: what the API shows of the whole node, by what it is about; JSON-able.
    @ivar fault: takes the evidence that a worker has found.
    @ivar counted: takes what a worker has counted since it last said.
    """

    node: Node
    store: Store
    facts: Mapping[str, Callable[[], object | Awaitable[object]]]
    fault: Callable[[Fault], None]
    counted: Callable[[Mapping[str, int]], None]


class Owner(AMP):
    """
    Answers one worker, and tells it of the store.

    @ivar up: whether it is there.
    @ivar crowd: who is with it, as far as it has said.
    """

    _log = Logger()

    def __init__(self, shared: Shared, clock: IReactorTime, lost: Callable[[], None]) -> None:
        """
        @param lost: is told when the worker is gone.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self._shared = shared
        self._clock = clock
        self._lost = lost
        self._numbers = count()
        self._opened: dict[int, Opened] = {}
        self._waiting: dict[int, Deferred[None]] = {}
        self._held: dict[str, list[IReader]] = {}
        self._changes: dict[str, None] = {}
        self._telling = False
        self._answers: dict[str, bytes] = {}
        self.up = False
        self.crowd = Crowd()

    # Its life.

    def connectionMade(self) -> None:
        super().connectionMade()  # type: ignore[no-untyped-call]
        self.up = True
        self._shared.store.watch(self._changed)
        for object_id in self._shared.store.complete():
            self._changes[object_id] = None
        self._tell()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        self.up = False
        self.crowd = Crowd()
        self._shared.store.unwatch(self._changed)
        for number in list(self._opened):
            self._close(number)
        held, self._held = self._held, {}
        for readers in held.values():
            for reader in readers:
                reader.close()
        self._lost()

    # What the worker is told.

    def _changed(self, object_id: str) -> None:
        self._changes[object_id] = None
        self._tell()

    def moved(self, object_ids: Iterable[str]) -> None:
        """
        Whether these are to be answered from the disk has changed.
        """
        self._changes.update(dict.fromkeys(object_ids))
        self._tell()

    def _tell(self) -> None:
        """
        One message after another, each after the worker has taken the one before.
        """
        if self._telling or not self.up:
            return
        self._telling = True
        Deferred.fromCoroutine(self._tell_all()).addErrback(self._not_told)

    async def _tell_all(self) -> None:
        try:
            while self._changes and self.up:
                some = list(islice(self._changes, _AT_ONCE))
                for object_id in some:
                    del self._changes[object_id]
                # As it is now: it may have changed since.
                entries: list[tuple[str, Entry | None]] = [(each, self._shared.node.stored(each)) for each in some]
                for piece in dump_entries(entries):
                    await self.callRemote(Entries, entries=piece)  # type: ignore[no-untyped-call]
        finally:
            self._telling = False

    def _not_told(self, failure: Failure) -> None:
        if failure.check(ConnectionDone) is None and self.up:
            self._log.failure("telling a worker of the store", failure)

    # What it asks.

    def dispatchCommand(self, box: AmpBox) -> Deferred[AmpBox]:
        """
        What goes wrong unforeseen concerns who has asked; AMP would end the connection, and with it the worker.
        """
        answered: Deferred[AmpBox] = super().dispatchCommand(box)  # type: ignore[no-untyped-call]
        return answered.addErrback(self._unforeseen)

    def _unforeseen(self, failure: Failure) -> Failure:
        if failure.check(RemoteAmpError):
            return failure
        self._log.failure("answering a worker", failure)
        return Failure(RemoteAmpError(UNKNOWN_ERROR_CODE, b"unforeseen trouble"))

    @Find.responder
    async def find(self, object_id: str) -> dict[str, object]:
        return {"found": dump_found(await self._shared.node.find(object_id))}

    @Listed.responder
    async def listed(self, object_id: str) -> dict[str, object]:
        return {"found": dump_found(await self._shared.node.listed(object_id))}

    @Open.responder
    async def open(self, object_id: str, ranges: bytes) -> dict[str, object]:
        found = await self._shared.node.find(object_id)
        opened = await self._shared.node.open(found, load_ranges(ranges))
        if opened.reader is None or not self.up:
            opened.close()
            return {"reader": -1, "cache": opened.cache.value, "joined": opened.joined}
        number = next(self._numbers)
        self._opened[number] = opened
        return {"reader": number, "cache": opened.cache.value, "joined": opened.joined}

    def _reader(self, number: int) -> IReader | None:
        opened = self._opened.get(number)
        return None if opened is None else opened.reader

    @Wait.responder
    async def wait(self, reader: int, offset: int) -> dict[str, object]:
        nothing: dict[str, object] = {"granted": 0, "early": b"", "external": False, "type": ""}
        following = self._reader(reader)
        if following is None:
            return nothing
        waiting = self._waiting[reader] = following.wait(offset)
        try:
            await waiting
        except CancelledError:
            return nothing
        finally:
            self._waiting.pop(reader, None)
        granted = min(following.available(offset), LARGEST_STEP)
        early = b"" if granted else following.early(offset, FIRST_STEP)
        external = IDownloadReader.providedBy(following) and following.external
        return {"granted": granted, "early": early, "external": bool(external), "type": self._opened[reader].type}

    @File.responder
    def file(self, reader: int) -> dict[str, object]:
        following = self._reader(reader)
        assert following is not None, "the worker closes it after this"
        return {"file": following.fd}

    @Cancel.responder
    def cancel(self, reader: int) -> dict[str, object]:
        waiting = self._waiting.get(reader)
        if waiting is not None:
            waiting.cancel()
        return {}

    @Close.responder
    def close(self, reader: int) -> dict[str, object]:
        self._close(reader)
        return {}

    def _close(self, number: int) -> None:
        opened = self._opened.pop(number, None)
        if opened is not None:
            opened.close()

    @Ask.responder
    async def ask(self, about: str, offset: int) -> dict[str, object]:
        if offset == 0:
            fact = self._shared.facts[about]()
            if isinstance(fact, Awaitable):
                fact = await fact
            self._answers[about] = json.dumps(fact).encode("utf-8")
        whole = self._answers[about]
        return {"piece": whole[offset : offset + PIECE], "length": len(whole)}

    @Report.responder
    async def report(self, report: bytes) -> dict[str, object]:
        news = load_news(report)
        for object_id, times in news.touched.items():
            self._shared.store.touch(object_id, times)
        for fault in news.faults:
            self._shared.fault(fault)
        self._shared.counted(news.counts)
        if news.crowd is not None:
            self.crowd = news.crowd
        for object_id, held in news.held:
            await self._hold(object_id, held)
        return {}

    async def _hold(self, object_id: str, held: bool) -> None:
        """
        The space of a file that is evicted counts until no worker reads it.
        """
        if not held:
            readers = self._held.get(object_id)
            if readers:
                readers.pop().close()
                if not readers:
                    del self._held[object_id]
            return
        try:
            reader = await self._shared.store.open(object_id)
        except Exception as error:
            # Gone already, or the disk has it no more: the worker's answer will see for itself.
            self._log.debug("a worker reads object {id}: {error}", id=object_id, error=error)
            return
        if self.up:
            self._held.setdefault(object_id, []).append(reader)
        else:
            reader.close()
