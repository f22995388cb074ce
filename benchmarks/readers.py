"""
Readers: clients that compare every byte, cheap enough to stand a thousand of them beside what is measured.
"""

from __future__ import annotations

import multiprocessing
import random
import selectors
import socket
from collections.abc import Sequence
from heapq import heappop, heappush
from multiprocessing.connection import Connection
from pathlib import Path
from time import monotonic, sleep

from attrs import define, field, frozen

#: What one turn of a reader takes: large enough for few system calls, small enough to stay in a processor's cache.
_PIECE = 256 * 1024

_LONGEST_TRY_S = 60.0

_HEAD_END = b"\r\n\r\n"
_MOST_HEAD = 16 * 1024


@define(eq=False)
class Reader:
    """
    One GET on a connection of its own, from the moment it connects.

    @ivar expected: the whole object.
    @ivar first_byte_s: from the start of connecting to the first byte of the body.
    @ivar whole_s: the same, to the last.
    @ivar error: what went wrong, if something did.
    @ivar timed_out: whether that is the time it took.
    @ivar position: the offset in the object of the next byte to come.
    """

    address: tuple[str, int]
    target: str
    expected: bytes
    start: int = 0
    stop: int = -1
    receive_buffer: int | None = None
    first_byte_s: float | None = field(init=False, default=None)
    whole_s: float | None = field(init=False, default=None)
    error: str | None = field(init=False, default=None)
    timed_out: bool = field(init=False, default=False)
    position: int = field(init=False)
    socket: socket.socket = field(init=False)
    _began: float = field(init=False)
    _head: bytes | None = field(init=False, default=b"")

    def __attrs_post_init__(self) -> None:
        if self.stop < 0:
            self.stop = len(self.expected)
        self.position = self.start
        self._began = monotonic()
        self.socket = socket.socket()
        self.socket.setblocking(False)
        if self.receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer)
        self.socket.connect_ex(self.address)

    @property
    def received(self) -> int:
        """
        How many bytes of the body have come, all of them right.
        """
        return self.position - self.start

    @property
    def over(self) -> bool:
        """
        Whether nothing more is to come.
        """
        return self.error is not None or self.whole_s is not None

    @property
    def _ranged(self) -> bool:
        return (self.start, self.stop) != (0, len(self.expected))

    def ask(self) -> None:
        """
        Send the request: the connection has been made, or has failed.
        """
        lines = [f"GET {self.target} HTTP/1.1", f"Host: {self.address[0]}"]
        if self._ranged:
            lines.append(f"Range: bytes={self.start}-{self.stop - 1}")
        try:
            self.socket.sendall("\r\n".join([*lines, "", ""]).encode("ascii"))
        except OSError as error:
            self._end(f"cannot ask: {error}")

    def receive(self, buffer: memoryview) -> bool:
        """
        Take what is there, as much as fits into C{buffer}.

        @return: whether there was something, be it the end.
        """
        try:
            length = self.socket.recv_into(buffer)
        except BlockingIOError:
            return False
        except OSError as error:
            self._end(f"{error} at {self.position}")
            return True
        if length == 0:
            self._end(f"ends at {self.position} of {self.stop}")
        elif self._head is None:
            self._take(buffer[:length])
        else:
            self._take_head(self._head + bytes(buffer[:length]))
        return True

    def _take_head(self, so_far: bytes) -> None:
        head, end, body = so_far.partition(_HEAD_END)
        self._head = None if end else so_far
        if not end:
            if len(so_far) > _MOST_HEAD:
                self._end("the head of the answer has no end")
            return
        status_line, *fields = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in fields)}
        status, length = status_line.split(" ")[1], headers.get("content-length")
        # An answer that does not say its length must still have it: the bytes are counted.
        if status != ("206" if self._ranged else "200") or length not in (None, str(self.stop - self.start)):
            self._end(f"status {status}, {length} bytes")
        elif body:
            self._take(memoryview(body))

    def _take(self, data: memoryview) -> None:
        if self.first_byte_s is None:
            self.first_byte_s = monotonic() - self._began
        # A memcmp in place; slices would be copies, and memoryviews are compared byte by byte.
        if not self.expected.startswith(data, self.position):
            self._end(f"wrong bytes from {self.position} on")
            return
        self.position += len(data)
        if self.position >= self.stop:
            self.whole_s = monotonic() - self._began
            self.close()

    def _end(self, error: str) -> None:
        self.error = error
        self.close()

    def time_out(self) -> None:
        """
        Go away, as it has taken too long.
        """
        self.timed_out = True
        self._end(f"timed out at {self.position} of {self.stop}")

    def close(self) -> None:
        """
        Go away.
        """
        self.socket.close()


def read_all(readers: Sequence[Reader], timeout_s: float) -> None:
    """
    Let each reader read as fast as it can, until all are over or C{timeout_s} has passed.
    """
    buffer = memoryview(bytearray(_PIECE))
    deadline = monotonic() + timeout_s
    with selectors.DefaultSelector() as selector:
        for reader in readers:
            selector.register(reader.socket, selectors.EVENT_WRITE, reader)
        while selector.get_map() and (left := deadline - monotonic()) > 0:
            for key, events in selector.select(left):
                reader = key.data
                # A closed socket has no number by which to unregister it.
                if events & selectors.EVENT_WRITE:
                    reader.ask()
                    if not reader.over:
                        selector.modify(key.fd, selectors.EVENT_READ, reader)
                else:
                    reader.receive(buffer)
                if reader.over:
                    selector.unregister(key.fd)
    for reader in readers:
        if not reader.over:
            reader.time_out()


class SlowCrowd:
    """
    Readers that take a little at a time, each at the same rate, their turns spread evenly over time.

    @ivar late_s: how far this process itself was behind at worst; what it measures is worth nothing where that is much.
    """

    def __init__(self, readers: Sequence[Reader], bytes_per_s: int, pieces_per_s: int) -> None:
        self.readers = readers
        self.late_s = 0.0
        self._interval_s = 1 / pieces_per_s
        self._buffer = memoryview(bytearray(bytes_per_s // pieces_per_s))
        began = monotonic()
        self._turns = [
            (began + self._interval_s * number / len(readers), number, False) for number in range(len(readers))
        ]

    @property
    def reading(self) -> int:
        """
        How many have had their first byte.
        """
        return sum(reader.first_byte_s is not None for reader in self.readers)

    @property
    def received(self) -> int:
        """
        How many bytes they have, all together.
        """
        return sum(reader.received for reader in self.readers)

    def close(self) -> None:
        """
        All of them go away.
        """
        for reader in self.readers:
            reader.close()

    def read_until(self, deadline: float) -> None:
        """
        Go on until then.

        @param deadline: on the clock of C{time.monotonic}.
        """
        while self._turns and (now := monotonic()) < deadline:
            due, number, asked = self._turns[0]
            if due > now:
                sleep(min(due, deadline) - now)
                continue
            heappop(self._turns)
            self.late_s = max(self.late_s, now - due)
            reader = self.readers[number]
            if asked:
                reader.receive(self._buffer)
            else:
                asked = self._ask(reader)
            if not reader.over:
                heappush(self._turns, (due + self._interval_s, number, asked))

    def _ask(self, reader: Reader) -> bool:
        try:
            reader.socket.getpeername()
        except OSError:
            # Still connecting.
            return False
        reader.ask()
        return True


@frozen
class Try:
    """
    @ivar began: on the clock of C{time.monotonic}, which all processes of a machine share.
    """

    began: float
    first_byte_s: float


class FastReader:
    """
    Again and again, on a new connection each time, asks for a piece from somewhere in an object; in a process of its
    own, so that no other client holds it up.
    """

    def __init__(self, address: tuple[str, int], target: str, object_path: Path, length: int) -> None:
        """
        @param length: of the piece, in bytes.
        """
        spawn = multiprocessing.get_context("spawn")
        self._pipe, theirs = spawn.Pipe()
        self._process = spawn.Process(
            target=_read_pieces, args=(theirs, address, target, object_path, length), daemon=True
        )
        self._process.start()
        theirs.close()

    def stop(self) -> list[Try]:
        """
        End it.

        @return: what it has tried so far.
        @raise EOFError: an answer was wrong, or took a minute; its process has said more.
        """
        self._pipe.send(None)
        tries: list[Try] = self._pipe.recv()
        self._process.join()
        return tries


def _read_pieces(pipe: Connection, address: tuple[str, int], target: str, object_path: Path, length: int) -> None:
    expected = object_path.read_bytes()
    places = random.Random(0)
    tries = []
    # The pauses are uneven, so as never to be in step with anything else.
    while not pipe.poll(places.uniform(0.01, 0.05)):
        start = places.randrange(len(expected) - length)
        began = monotonic()
        reader = Reader(address, target, expected, start, start + length)
        read_all([reader], _LONGEST_TRY_S)
        if reader.first_byte_s is None or reader.error is not None:
            raise RuntimeError(f"the fast reader: {reader.error}")
        tries.append(Try(began, reader.first_byte_s))
    pipe.send(tries)
