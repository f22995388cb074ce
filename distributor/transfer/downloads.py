"""
The downloads in progress: one for an object, so many at once, the rest in a queue.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from distributor.cache import Store
from distributor.model import ByteRange, DistributorError, InThread, Listing, Overloaded
from distributor.observe import Sparse
from distributor.sources import StorageNodes
from distributor.transfer.download import Download
from distributor.transfer.reader import DownloadReader


class Downloads:
    """
    Owns every download from its start until the store has it, or it has failed and left its file.
    """

    _log = Logger()

    def __init__(
        self,
        store: Store,
        nodes: StorageNodes,
        clock: IReactorTime,
        in_thread: InThread,
        trouble: Sparse,
        at_once: int,
        queue_length: int,
        patience_s: float,
    ) -> None:
        """
        @param patience_s: for how long storage nodes are tried again in the middle of an object.
        @param trouble: where a failing disk or a full store is told of.
        @param at_once: how many downloads fetch at the same time.
        @param queue_length: how many more may wait for their turn.
        """
        self._store = store
        self._nodes = nodes
        self._clock = clock
        self._in_thread = in_thread
        self._trouble = trouble
        self._patience_s = patience_s
        self._at_once = at_once
        self._most = at_once + queue_length
        # The oldest first.
        self._downloads: dict[str, Download] = {}
        self._queue: list[Download] = []
        self._waiting_for_end: dict[Download, list[Deferred[None]]] = {}
        self._choosing = False
        self._stopping = False

    def __len__(self) -> int:
        return len(self._downloads)

    def __iter__(self) -> Iterator[Download]:
        return iter(list(self._downloads.values()))

    def get(self, object_id: str) -> Download | None:
        """
        The download of an object, if there is one.
        """
        return self._downloads.get(object_id)

    def start(self, listing: Listing, ranges: Sequence[ByteRange]) -> DownloadReader:
        """
        Begin to fetch an object which nobody fetches yet.

        @param ranges: what its first reader is going to read.

        @return: its first reader.
        @raise Overloaded: the queue is full, or the node is shutting down.
        """
        object_id = listing.object.id
        assert object_id not in self._downloads, object_id
        if self._stopping:
            raise Overloaded("shutting down")
        if len(self._downloads) >= self._most:
            raise Overloaded(f"{len(self._downloads)} downloads are waiting or running")
        download = Download(
            listing, self._store, self._nodes, self._clock, self._in_thread, self._trouble, self._patience_s
        )
        self._downloads[object_id] = download
        # Before it runs, since what is there already may be all of it.
        reader = download.reader(ranges)
        self._queue.append(download)
        self._next()
        return reader

    def _next(self) -> None:
        """
        Let those run whose turn it is: the oldest that somebody waits for, else the oldest.
        """
        if self._choosing:
            # One that is over at once comes here again: the loop below goes on by itself.
            return
        self._choosing = True
        while self._queue and len(self._downloads) - len(self._queue) < self._at_once:
            download = min(self._queue, key=lambda each: each.reader_count == 0)
            self._queue.remove(download)
            Deferred.fromCoroutine(download.run()).addBoth(self._ended, download)
        self._choosing = False

    def _ended(self, result: object, download: Download) -> None:
        if isinstance(result, Failure):
            self._log.failure("download of object {id}", result, id=download.object.id)
            download.abandon(DistributorError("unexpected trouble"))
        if download.error is None:
            self._nodes.tally.downloads_finished += 1
        else:
            self._nodes.tally.downloads_failed += 1
        del self._downloads[download.object.id]
        self._next()
        for waiting in self._waiting_for_end.pop(download, ()):
            waiting.callback(None)

    def over(self, download: Download) -> Deferred[None]:
        """
        Fires when C{download} has let go of its file and its place.
        """
        if self._downloads.get(download.object.id) is not download:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._waiting_for_end.setdefault(download, []).append(waiting)
        return waiting

    def note_readers(self) -> None:
        """
        The readers of all of them are about to be cut; to be followed by L{stop}.
        """
        for download in self:
            download.note_readers()

    async def stop(self) -> None:
        """
        Leave off all downloads, keeping what has arrived.
        """
        self._stopping = True
        downloads = list(self)
        for download in downloads:
            download.stop()
        for download in downloads:
            await self.over(download)
