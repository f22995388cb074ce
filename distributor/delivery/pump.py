"""
One run of a reader's bytes on its way into a transport.
"""

from __future__ import annotations

import errno
import os
from abc import ABC, abstractmethod
from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IConsumer, IPullProducer, IPushProducer
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure
from zope.interface import implementer

from distributor.delivery.direct import QUOTA, drained, hold, release, write_now
from distributor.delivery.page_cache import ColdRead, probe, warm
from distributor.model import FIRST_STEP, LARGEST_STEP, DiskFailed, InThread, IReader

#: What L{ConnectionError} leaves out of the ways in which a connection can fail.
_NETWORK = frozenset((errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN))


class Pump(ABC):
    """
    What all ways of sending a run of bytes have in common: waiting for bytes to arrive, and for a cold disk; one end.

    @ivar offset: the offset in the object of the next byte to send.
    """

    #: How many bytes are sent, or brought into the page cache, at once.
    window: int

    def __init__(self, reader: IReader, start: int, stop: int, in_thread: InThread) -> None:
        self._reader = reader
        self._stop = stop
        self._in_thread = in_thread
        self._flowing = True
        self._pending: Deferred[None] | None = None
        self._warm_stop = start
        self._done: Deferred[None] = Deferred(lambda _: self._end(Failure(CancelledError())))
        self._ended = False
        self.offset = start

    def run(self) -> Deferred[None]:
        """
        Send the whole run. Fires when all of it has been handed to the transport; fails when the transport or the
        reader does. Cancelling it stops it. Called once.
        """
        self._register()
        return self._done

    @abstractmethod
    def _register(self) -> None:
        """Become the transport's producer, and start."""

    @abstractmethod
    def _unregister(self) -> None:
        """The opposite, once."""

    @abstractmethod
    def _send(self, length: int) -> bool:
        """
        Send up to C{length} bytes from L{offset} on, all of which are in the file, and move L{offset}.

        @return: whether to go on at once.
        @raise ColdRead: they would have to come from the disk.
        @raise OSError: the disk or the socket refuses.
        """

    @abstractmethod
    def _pass_on(self, data: bytes) -> bool:
        """
        Send all of C{data}, and move L{offset}.

        @return: whether to go on at once.
        """

    def _go_on(self) -> None:
        while self._flowing and self._pending is None and not self._ended:
            if self.offset == self._stop:
                self._end(None)
                return
            length = min(self._reader.available(self.offset), self._stop - self.offset, self.window)
            if length == 0:
                early = self._reader.early(self.offset, min(FIRST_STEP, self._stop - self.offset))
                # What is behind them may have been in the file for long.
                self._warm_stop = self.offset + len(early)
                if not early:
                    self._wait_for(self._reader.wait(self.offset), self.offset)
                elif not self._pass_on(early):
                    return
                continue
            if self.offset < self._warm_stop:
                # A window is sent to its end before the next is looked at: else a slow reader would have most of it
                # read again for each bit that its socket takes.
                length = min(length, self._warm_stop - self.offset)
            try:
                if not self._send(length):
                    return
            except ColdRead:
                # The reader may be closed meanwhile: then nobody looks at what was read, from whatever file.
                self._wait_for(
                    self._in_thread(warm, self._reader.fd, self.offset, self.offset + length), self.offset + length
                )
            except OSError as error:
                self._end(Failure(_explained(error)))

    def _wait_for(self, pending: Deferred[None], warm_stop: int) -> None:
        if not pending.called:
            self._pending = pending
        pending.addCallbacks(self._waited, self._waited_in_vain, callbackArgs=(warm_stop,))

    def _waited(self, ignored: None, warm_stop: int) -> None:
        self._warm_stop = warm_stop
        if self._pending is not None:
            self._pending = None
            self._go_on()

    def _waited_in_vain(self, failure: Failure) -> None:
        self._pending = None
        error = failure.value
        self._end(Failure(_explained(error)) if isinstance(error, OSError) else failure)

    def pauseProducing(self) -> None:
        self._flowing = False

    def resumeProducing(self) -> None:
        self._flowing = True
        self._go_on()

    def stopProducing(self) -> None:
        self._end(Failure(ConnectionLost("the reader is gone")))

    def _end(self, failure: Failure | None) -> None:
        """
        The one end of a pump, whoever calls for it.
        """
        if self._ended:
            return
        self._ended = True
        self._unregister()
        if self._pending is not None:
            self._pending.cancel()
        if failure is None:
            self._done.callback(None)
        else:
            self._done.errback(failure)


def _explained(error: OSError) -> Exception:
    """
    Whose fault it is: the socket's, and then the reader is gone; or the disk's.
    """
    if isinstance(error, ConnectionError) or error.errno in _NETWORK:
        return ConnectionLost(str(error))
    failed = DiskFailed(f"reading: {error}")
    failed.__cause__ = error
    return failed


@implementer(IPushProducer)
class ReadingPump(Pump):
    """
    Reads the file and writes to any consumer: for TLS, and whatever else is not a plain socket.
    """

    # A transport takes this, and pauses its producer: a thousand slow TLS readers hold 128 MiB, and no more. Half of it
    # costs a fifth of the throughput, in turns of the reactor.
    window = 128 * 1024

    def __init__(self, reader: IReader, start: int, stop: int, in_thread: InThread, consumer: IConsumer) -> None:
        super().__init__(reader, start, stop, in_thread)
        self._consumer = consumer

    def _register(self) -> None:
        self._consumer.registerProducer(self, True)
        self._go_on()

    def _unregister(self) -> None:
        self._consumer.unregisterProducer()

    def _send(self, length: int) -> bool:
        if self.offset + length > self._warm_stop:
            probe(self._reader.fd, self.offset, self.offset + length)
        data = os.pread(self._reader.fd, length, self.offset)
        if not data:
            raise OSError(f"file ends at {self.offset}, before {self._stop}")
        return self._pass_on(data)

    def _pass_on(self, data: bytes) -> bool:
        self.offset += len(data)
        # May pause, or end, this very producer.
        self._consumer.write(data)
        return True


@implementer(IPullProducer)
class SendfilePump(Pump):
    """
    Lets the kernel copy from the file to a plain socket: a slow reader costs no memory here.

    What the socket takes at once is sent at once. For the rest it takes the place of the HTTP channel as the producer
    of the channel's transport, and is asked for more whenever that has nothing left to send.
    """

    window = LARGEST_STEP

    #: What one reader may send before the others have their turn.
    quota = QUOTA

    def __init__(
        self,
        reader: IReader,
        start: int,
        stop: int,
        in_thread: InThread,
        channel: IPushProducer,
        transport: Connection,
        sent: Callable[[int], None],
        first: int = FIRST_STEP,
    ) -> None:
        """
        @param channel: the producer of C{transport} before and after.
        @param sent: is told how many bytes went out.
        @param first: how many may go out at once, before the others have their turn.
        """
        super().__init__(reader, start, stop, in_thread)
        self._channel = channel
        self._transport = transport
        self._socket = transport.getHandle().fileno()
        self._sent = sent
        self._producing = False
        self._asked = False
        # How much more may be sent in this turn.
        self._left = min(first, self.quota)
        self._stale = False

    def _register(self) -> None:
        if self._transport.connected:
            if drained(self._transport):
                self._go_on()
            else:
                # For the head of the answer, most likely.
                hold(self._transport)
        if not self._ended:
            self._producing = True
            self._transport.unregisterProducer()
            self._transport.registerProducer(self, False)

    def _unregister(self) -> None:
        if not self._producing:
            return
        self._transport.unregisterProducer()
        if self._transport.connected:
            release(self._transport)
            self._transport.registerProducer(self._channel, True)
            # Nothing is left to send, whatever the channel was told last.
            self._channel.resumeProducing()

    def _wait_for(self, pending: Deferred[None], warm_stop: int) -> None:
        super()._wait_for(pending, warm_stop)
        if self._pending is not None:
            # It goes on in another turn.
            self._left = self.quota
            if self._transport.connected:
                release(self._transport)

    def resumeProducing(self) -> None:
        if self._asked:
            self._left = self.quota
            # The cache may have lost meanwhile what it had.
            self._stale = True
            self._go_on()
        else:
            # registerProducer asks at once, but what was written before may still be in the transport's buffer.
            self._asked = True
            if self._pending is None:
                self._transport.startWriting()

    def _send(self, length: int) -> bool:
        if self._stale or self.offset == self._warm_stop:
            self._probe(length)
        try:
            sent = os.sendfile(self._socket, self._reader.fd, self.offset, min(length, self._left))
        except BlockingIOError:
            self._transport.startWriting()
            return False
        if sent == 0:
            raise OSError(f"file ends at {self.offset}, before {self._stop}")
        return self._count(sent)

    def _pass_on(self, data: bytes) -> bool:
        write_now(self._transport, data)
        # What the socket did not take goes before all that follows.
        return self._count(len(data)) and drained(self._transport)

    def _count(self, sent: int) -> bool:
        self.offset += sent
        self._sent(sent)
        self._left -= sent
        if self._left > 0:
            return True
        self._transport.startWriting()
        return False

    def _probe(self, length: int) -> None:
        """
        @raise ColdRead: sending would wait for the disk.
        """
        # If it is cold, a thread will just have read it when this is sent.
        self._stale = False
        probe(self._reader.fd, self.offset, self.offset + length)
        self._warm_stop = self.offset + length
