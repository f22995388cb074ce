"""
Bytes that are passed through: from a storage node to one reader, under that reader's own back-pressure.

For objects that are too large to keep, for a full store, and for a disk that fails.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IConsumer, IDelayedCall, IPushProducer, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from distributor.model import (
    ByteRange,
    ContentMismatch,
    DistributorError,
    Hasher,
    InThread,
    Listing,
    SourcesFailed,
    StorageNode,
)
from distributor.sources import Body, Round, SourceError, StorageNodes
from distributor.transfer.fetch import FIRST_DELAY_S, LONGEST_DELAY_S
from distributor.transfer.media_type import SNIFFED, media_type
from distributor.transfer.segment import Segment


class HashLine:
    """
    A hash that is fed in order, in a thread, one piece at a time.
    """

    def __init__(self, hasher: Hasher, in_thread: InThread) -> None:
        self._hasher = hasher
        self._in_thread = in_thread
        self._pieces: deque[bytes] = deque()
        self._busy = False
        self._done: Deferred[bytes] = Deferred()
        self._closing = False

    def feed(self, data: bytes) -> None:
        """
        Take in C{data}.
        """
        self._pieces.append(data)
        self._next()

    def digest(self) -> Deferred[bytes]:
        """
        Fires with the hash once all has been taken in; nothing may be fed after this.
        """
        self._closing = True
        self._next()
        return self._done

    def _next(self) -> None:
        if self._busy:
            return
        if self._pieces:
            self._busy = True
            data = b"".join(self._pieces)
            self._pieces.clear()
            self._in_thread(self._hasher.update, data).addCallbacks(self._fed, self._done.errback)
        elif self._closing:
            self._done.callback(self._hasher.digest())

    def _fed(self, ignored: object) -> None:
        self._busy = False
        self._next()


_READ_SIZE = 1024 * 1024


def feed(hasher: Hasher, fd: int, stop: int) -> None:
    """
    Blocks: take in the first C{stop} bytes of a file, so that what follows them from elsewhere can be verified.

    @raise OSError: they cannot be read.
    """
    offset = 0
    while offset < stop:
        data = os.pread(fd, min(_READ_SIZE, stop - offset), offset)
        if not data:
            raise OSError(f"file ends at {offset}, before {stop}")
        hasher.update(data)
        offset += len(data)


@implementer(IPushProducer)
class Passage:
    """
    Owns one run of bytes on its way through: the segments that bring it, one after another, and its consumer.

    @ivar media_type: known once C{ready()} has fired.
    """

    _log = Logger()

    def __init__(
        self,
        listing: Listing,
        wanted: ByteRange,
        nodes: StorageNodes,
        clock: IReactorTime,
        hash_line: HashLine | None,
        patience_s: float = 0.0,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        """
        @param patience_s: for how long to try again once bytes have come.
        @param ended: is told once, when it is over in whatever way.
        @param hash_line: has taken in all that stands before C{wanted}; or L{None}, where that is not known or the run
            does not reach the end of the object: then the bytes cannot be verified.
        """
        self._listing = listing
        self._object = listing.object
        self._nodes = nodes
        self._standings = nodes.standings
        self._clock = clock
        self._hash_line = hash_line if wanted.stop == listing.object.size else None
        self._patience_s = patience_s
        self._on_ended = ended
        self._round = Round(listing.storage_nodes)
        self._contributors: set[StorageNode] = set()
        self._progressed_at: float | None = None
        self._retry: IDelayedCall | None = None
        self._delay_s = FIRST_DELAY_S
        self._position = wanted.start
        self._wanted = wanted
        self._segment: Segment | None = None
        self._held: deque[bytes] = deque()
        self._consumer: IConsumer | None = None
        self._paused = True
        self._all_came = False
        self._error: Exception | None = None
        self._closed = False
        self._first: Deferred[None] = Deferred()
        self._sent: Deferred[None] = Deferred()
        self.media_type = media_type(b"", self._object.type, None)

    def ready(self) -> Deferred[None]:
        """
        Ask the storage nodes. Fires when the first byte can be sent; fails with a L{DistributorError} when none will
        be. Called once.
        """
        self._ask()
        return self._first

    def send_to(self, consumer: IConsumer) -> Deferred[None]:
        """
        Let the bytes flow. Fires when the last has been written; fails when it cannot go on.
        """
        if self._closed:
            return fail(self._error or CancelledError())
        self._consumer = consumer
        self._paused = False
        consumer.registerProducer(self, True)
        self._flow()
        return self._sent

    def close(self) -> None:
        """
        The answer is over, whatever state this is in.
        """
        self._end(None)

    # The storage node's side.

    def _ask(self) -> None:
        try:
            first = not self._contributors
            node = self._round.choose(lambda left: self._standings.best(left, first=first, ranged=self._position > 0))
        except SourcesFailed as error:
            self._none_left(error)
            return
        wanted = ByteRange(self._position, self._wanted.stop)
        self._segment = Segment(self._nodes, node, self._object.id, self._object.size, wanted, self, self._clock)
        self._segment.start()

    def _none_left(self, error: SourcesFailed) -> None:
        now = self._clock.seconds()
        if self._progressed_at is None or now - self._progressed_at >= self._patience_s:
            self._fail(error)
            return
        self._retry = self._clock.callLater(self._delay_s, self._try_again)
        self._delay_s = min(2 * self._delay_s, LONGEST_DELAY_S)

    def _try_again(self) -> None:
        self._retry = None
        self._round.restart()
        self._ask()

    def segment_alternative(self, segment: Segment) -> StorageNode | None:
        others = [node for node in self._round.left() if node != segment.node]
        return self._standings.second(others, ranged=self._position > 0)

    def segment_dropped(self, segment: Segment, node: StorageNode, error: SourceError) -> None:
        self._node_failed(node, error)

    def segment_answered(self, segment: Segment, body: Body) -> None:
        if body.start != segment.wanted.start:
            self._standings.remember_ignoring_ranges(segment.node)
        self.media_type = media_type(b"", self._object.type, body.type)

    def segment_received(self, segment: Segment, offset: int, data: bytes) -> None:
        # Where Range was ignored, what came before is skipped, and what comes behind is not waited for.
        piece = data[max(0, self._position - offset) : max(0, self._wanted.stop - offset)]
        if not piece:
            return
        if self._position == 0:
            self.media_type = media_type(piece[:SNIFFED], self._object.type, self.media_type)
        self._position += len(piece)
        self._round.progressed()
        self._progressed_at = self._clock.seconds()
        self._delay_s = FIRST_DELAY_S
        self._contributors.add(segment.node)
        self._held.append(piece)
        if self._hash_line is not None:
            self._hash_line.feed(piece)
        if self._position == self._wanted.stop:
            self._all_bytes_came(segment)
        self._flow()

    def _all_bytes_came(self, segment: Segment) -> None:
        if segment.position < segment.stop_offset:
            segment.stop()
            self._segment = None
        if self._hash_line is None:
            self._all_came = True
            return
        self._hash_line.digest().addCallbacks(self._verify, self._unexpected)

    def _verify(self, digest: bytes) -> None:
        if digest == self._object.content_hash.digest:
            self._all_came = True
            self._flow()
        else:
            nodes = ", ".join(sorted(node.endpoint for node in self._contributors))
            self._log.error("object {id}, passed through from {nodes}, is wrong", id=self._object.id, nodes=nodes)
            if self._wanted.start == 0 and len(self._contributors) == 1:
                # All of it is this one's.
                [node] = self._contributors
                self._standings.lied(node)
                self._nodes.report_hash(node, self._object, digest, self._object.size)
            self._fail(ContentMismatch(f"object {self._object.id} does not have its hash"))

    def segment_ended(self, segment: Segment, error: SourceError | None) -> None:
        self._segment = None
        if error is not None and self._position < self._wanted.stop:
            self._node_failed(segment.node, error)
            self._ask()

    def _node_failed(self, node: StorageNode, error: SourceError) -> None:
        self._log.warn(
            "storage node {node} failed for object {id}: {error}", node=node.endpoint, id=self._object.id, error=error
        )
        self._round.failed(node, str(error), timed_out=error.timed_out)

    # The reader's side.

    def _withholds(self) -> bool:
        """
        Whether the last byte is here, and has to stay until the hash has been found right.
        """
        return self._position == self._wanted.stop and not self._all_came

    def _sendable(self) -> bool:
        return bool(self._held) and (len(self._held) > 1 or len(self._held[0]) > 1 or not self._withholds())

    def _take(self) -> bytes:
        piece = self._held.popleft()
        if not self._held and self._withholds():
            self._held.append(piece[-1:])
            piece = piece[:-1]
        return piece

    def _flow(self) -> None:
        if self._sendable() and not self._first.called:
            self._first.callback(None)
        while not self._paused and self._sendable():
            assert self._consumer is not None
            # May pause, or end, this very producer.
            self._consumer.write(self._take())
        if self._closed:
            return
        if self._segment is not None:
            if self._paused or self._held:
                self._segment.pause()
            else:
                self._segment.resume()
        if self._all_came and not self._held and self._consumer is not None:
            self._end(None)

    def pauseProducing(self) -> None:
        self._paused = True
        if self._segment is not None:
            self._segment.pause()

    def resumeProducing(self) -> None:
        self._paused = False
        self._flow()

    def stopProducing(self) -> None:
        self._end(ConnectionLost("the reader is gone"))

    def _unexpected(self, failure: Failure) -> None:
        self._log.failure("hashing object {id}", failure, id=self._object.id)
        self._fail(DistributorError(failure.getErrorMessage()))

    def _fail(self, error: DistributorError) -> None:
        self._end(error)

    def _end(self, error: Exception | None) -> None:
        """
        The one place where a passage gives back what it holds, and tells of its end.
        """
        if self._closed:
            return
        self._closed = True
        if self._retry is not None:
            self._retry.cancel()
        segment, self._segment = self._segment, None
        if segment is not None:
            segment.stop()
        self._held.clear()
        self._on_ended()
        if self._consumer is not None:
            self._consumer.unregisterProducer()
            waiting = self._sent
        else:
            # Only where somebody may still ask: its frames know this, the reader, and what is in the reader's buffers.
            self._error = error
            waiting = self._first
        if not waiting.called:
            if error is None:
                waiting.callback(None)
            else:
                waiting.errback(error)
