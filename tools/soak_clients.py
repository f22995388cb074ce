"""
The clients of a soak, in one process: C{python -m tools.soak_clients PLAN.json} asks, compares every byte, and prints
what has come of it as JSON. C{tools.soak} writes the plan.
"""

from __future__ import annotations

import asyncio
import json
import mmap
import random
import socket
import struct
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import asdict, frozen

from tools.soak_wishes import REFUSALS, Chooser, Outcome, Tally, Target, Wish, fault_in_head, increase, unverifiable

_PIECE = 128 * 1024

#: A client that hears nothing for so long would be left waiting for ever: longer than the node's own patience (60 s).
_STUCK_S = 100.0

#: What is in progress at the end may go on for so long.
_GRACE_S = 15.0

#: The mean of how long a client thinks before it asks again, in seconds.
_THOUGHT_S = 0.3

_KEEP = 0.7


@frozen
class Plan:
    """
    What C{tools.soak} wants.

    @ivar bytes_per_s: of all clients together; what it takes to compare is the soak's own load on the machine.
    """

    targets: tuple[Target, ...]
    sizes: Mapping[str, int]
    media: Path
    clients: int
    rude: int
    seconds: float
    bytes_per_s: int
    seed: int

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Plan:
        """
        The plan as JSON has it.
        """
        targets = tuple(Target(each["port"], frozenset(each["ids"])) for each in document["targets"])
        return cls(**{**document, "targets": targets, "media": Path(document["media"])})


class Pace:
    """
    Lets so many bytes through in a second.
    """

    def __init__(self, bytes_per_s: int) -> None:
        self._bytes_per_s = bytes_per_s
        self._free_at = 0.0

    async def take(self, length: int) -> None:
        """
        Return when C{length} bytes, which have come, may have come.
        """
        now = asyncio.get_running_loop().time()
        self._free_at = max(self._free_at, now) + length / self._bytes_per_s
        if self._free_at - now > 0.005:
            await asyncio.sleep(self._free_at - now)


class Wrong(Exception):
    """An answer that should not be."""


class Media:
    """
    The source of every byte.
    """

    def __init__(self, plan: Plan) -> None:
        self._maps = {}
        for object_id in plan.sizes:
            with (plan.media / f"{object_id}.bin").open("rb") as file:
                self._maps[object_id] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def first_difference(self, object_id: str, position: int, data: bytes) -> int | None:
        """
        Where C{data}, which came for this position of an object, is wrong; L{None}: nowhere.
        """
        expected = self._maps[object_id][position : position + len(data)]
        if expected == data:
            return None
        pairs = enumerate(zip(expected, data, strict=False))
        return position + next((index for index, (right, came) in pairs if right != came), len(expected))


class Connection:
    """
    A connection to a node, for one request after the other.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
        self.reader = reader
        self.writer = writer
        self.port = port

    @classmethod
    async def open(cls, port: int, receive_buffer: int | None = None, limit: int = _PIECE) -> Connection:
        """
        @param receive_buffer: of the socket, and C{limit} of what this process holds; in bytes.
        """
        connected = socket.socket()
        connected.setblocking(False)
        if receive_buffer is not None:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        await asyncio.get_running_loop().sock_connect(connected, ("127.0.0.1", port))
        reader, writer = await asyncio.open_connection(sock=connected, limit=limit)
        return cls(reader, writer, port)

    def reset(self) -> None:
        """
        End it with RST.
        """
        raw = self.writer.get_extra_info("socket")
        if raw is not None and raw.fileno() >= 0:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def close(self) -> None:
        """
        End it as usual.
        """
        self.writer.close()

    async def head(self) -> tuple[int, dict[str, str]]:
        """
        The status and the header fields of the next answer.

        @raise asyncio.IncompleteReadError: there is none.
        @raise Wrong: it is none.
        """
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        parts = lines[0].split(" ")
        if len(parts) < 2 or parts[0] != "HTTP/1.1" or not parts[1].isdecimal():
            raise Wrong(f"an answer that begins with {lines[0]!r}")
        fields = (line.partition(":") for line in lines[1:] if line)
        return int(parts[1]), {name.lower(): value.strip() for name, _, value in fields}


class Clients:
    """
    All of them.
    """

    def __init__(self, plan: Plan) -> None:
        self.tally = Tally()
        self._plan = plan
        self._media = Media(plan)
        self._pace = Pace(plan.bytes_per_s)
        self._until = 0.0

    async def run(self) -> None:
        """
        Until the time is over.
        """
        loop = asyncio.get_running_loop()
        self._until = loop.time() + self._plan.seconds
        lives = []
        for number in range(self._plan.clients):
            chance = random.Random(self._plan.seed * 1000 + number)
            chooser = Chooser(self._plan.targets, self._plan.sizes, chance)
            life = self._be_rude(chooser, chance) if number < self._plan.rude else self._ask(chooser, chance)
            lives.append(asyncio.create_task(life))
        done, late = await asyncio.wait(lives, timeout=self._plan.seconds + _GRACE_S)
        for each in late:
            each.cancel()
            self.tally.count(Outcome.LEFT)
        await asyncio.gather(*late, return_exceptions=True)
        for each in done:
            # A client must not end by an error of its own.
            each.result()

    def _time_left(self) -> bool:
        return asyncio.get_running_loop().time() < self._until

    async def _ask(self, chooser: Chooser, chance: random.Random) -> None:
        """
        The life of a client that behaves.
        """
        kept: Connection | None = None
        try:
            while self._time_left():
                await asyncio.sleep(chance.expovariate(1 / _THOUGHT_S))
                wish = chooser.choose()
                keep = chance.random() < _KEEP
                if kept is not None and kept.port != wish.port:
                    kept.close()
                    kept = None
                kept = await self._try(wish, kept, keep)
        finally:
            if kept is not None:
                kept.close()

    async def _try(self, wish: Wish, connection: Connection | None, keep: bool) -> Connection | None:
        """
        One request of a client that behaves.

        @return: the connection, if it can be used again.
        """
        used = connection is not None
        outcome = None
        try:
            if connection is None:
                connection = await Connection.open(wish.port)
            connection.writer.write(wish.request(keep))
            outcome = await self._take_answer(connection, wish, used)
            if outcome is not None:
                self.tally.count(outcome, str(wish))
        except Wrong as error:
            self.tally.count(Outcome.WRONG, f"{wish}: {error}")
        except TimeoutError:
            self.tally.count(Outcome.STUCK, str(wish))
        except OSError as error:
            if connection is None:
                self.tally.count(Outcome.WRONG, f"cannot connect: {error}")
            elif not used:
                self.tally.count(Outcome.CUT)
        if outcome in (Outcome.RIGHT, Outcome.REFUSED) and keep:
            return connection
        if connection is not None:
            connection.close()
        return None

    async def _take_answer(self, connection: Connection, wish: Wish, used: bool) -> Outcome | None:
        """
        @param used: whether the connection has served before: the node may just have closed it, which is nobody's
            fault, and no outcome.
        """
        try:
            status, headers = await asyncio.wait_for(connection.head(), _STUCK_S)
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise Wrong("half a head") from None
            return None if used else Outcome.CUT
        increase(self.tally.statuses, status)
        if (wrong := fault_in_head(wish, status, headers)) is not None:
            raise Wrong(wrong)
        length = 0 if wish.method == "HEAD" else int(headers["content-length"])
        if status not in (200, 206):
            return await self._take_error(connection, status, length)
        increase(self.tally.caches, headers.get("x-cache"))
        if not self.tally.same_etag(wish.object_id, headers.get("etag")):
            raise Wrong(f"ETag {headers.get('etag')} instead of {self.tally.etags.get(wish.object_id)}")
        return await self._take_bytes(connection, wish, length, headers)

    async def _take_error(self, connection: Connection, status: int, length: int) -> Outcome:
        try:
            body = await asyncio.wait_for(connection.reader.readexactly(length), _STUCK_S)
        except asyncio.IncompleteReadError:
            return Outcome.CUT
        try:
            # To a HEAD it has no body, and an error in one neither.
            if length and not isinstance(json.loads(body)["type"], str):
                raise ValueError
        except (ValueError, LookupError, TypeError):
            raise Wrong(f"{status} with the body {body[:100]!r}") from None
        return Outcome.REFUSED if status in REFUSALS else Outcome.RIGHT

    async def _take_bytes(
        self, connection: Connection, wish: Wish, length: int, headers: Mapping[str, str], piece: int = _PIECE
    ) -> Outcome:
        position, stop = wish.start, wish.start + length
        while position < stop:
            data = await asyncio.wait_for(connection.reader.read(min(piece, stop - position)), _STUCK_S)
            if not data:
                return Outcome.CUT
            self.tally.bytes += len(data)
            difference = self._media.first_difference(wish.object_id, position, data)
            if difference is not None:
                if unverifiable(wish, difference, headers):
                    return Outcome.UNVERIFIABLE
                raise Wrong(f"wrong bytes from {difference} on, X-Cache: {headers.get('x-cache')}")
            position += len(data)
            await self._pace.take(len(data))
        return Outcome.RIGHT

    # Those that do not behave.

    async def _be_rude(self, chooser: Chooser, chance: random.Random) -> None:
        kinds = {
            "slow": self._read_slowly,
            "reset": self._reset,
            "half-close": self._half_close,
            "no read": self._never_read,
            "half a request": self._half_a_request,
            "garbage": self._send_garbage,
        }
        while self._time_left():
            await asyncio.sleep(chance.expovariate(1 / _THOUGHT_S))
            name = chance.choice(list(kinds))
            increase(self.tally.rude, name)
            wish = chooser.choose()
            connection: Connection | None = None
            try:
                small = name in ("slow", "no read")
                connection = await Connection.open(wish.port, 4096 if small else None, 4096 if small else _PIECE)
                await kinds[name](connection, wish, chance)
                self.tally.count(Outcome.LEFT)
            except Wrong as error:
                self.tally.count(Outcome.WRONG, f"{name}, {wish}: {error}")
            except TimeoutError:
                self.tally.count(Outcome.STUCK, f"{name}, {wish}")
            except (OSError, asyncio.IncompleteReadError):
                self.tally.count(Outcome.CUT)
            finally:
                if connection is not None:
                    connection.reset()

    async def _read_slowly(self, connection: Connection, wish: Wish, chance: random.Random) -> None:
        connection.writer.write(wish.request(keep=False))
        status, headers = await asyncio.wait_for(connection.head(), _STUCK_S)
        if status not in (200, 206) or wish.method == "HEAD":
            return
        position = wish.start
        for _ in range(chance.randrange(10, 60)):
            data = await asyncio.wait_for(connection.reader.read(4096), _STUCK_S)
            if not data:
                return
            difference = self._media.first_difference(wish.object_id, position, data)
            if difference is not None and not unverifiable(wish, difference, headers):
                raise Wrong(f"wrong bytes from {difference} on")
            position += len(data)
            await asyncio.sleep(0.2)

    async def _reset(self, connection: Connection, wish: Wish, chance: random.Random) -> None:
        connection.writer.write(wish.request(keep=True))
        await asyncio.wait_for(connection.head(), _STUCK_S)
        await asyncio.wait_for(connection.reader.read(chance.randrange(1, _PIECE)), _STUCK_S)

    async def _half_close(self, connection: Connection, wish: Wish, chance: random.Random) -> None:
        connection.writer.write(wish.request(keep=True))
        connection.writer.write_eof()
        await self._take_answer(connection, wish, used=True)

    async def _never_read(self, connection: Connection, wish: Wish, chance: random.Random) -> None:
        # A pipeline, too: what is asked first is never taken.
        connection.writer.write(wish.request(keep=True) * chance.randrange(1, 5))
        await asyncio.sleep(chance.uniform(2, 12))

    async def _half_a_request(self, connection: Connection, wish: Wish, chance: random.Random) -> None:
        request = wish.request(keep=True)
        connection.writer.write(request[: chance.randrange(1, len(request) - 1)])
        await asyncio.sleep(chance.uniform(0, 5))

    async def _send_garbage(self, connection: Connection, wish: Wish, chance: random.Random) -> None:
        connection.writer.write(chance.randbytes(chance.randrange(1, 20_000)) + b"\r\n\r\n")
        connection.writer.write_eof()
        while await asyncio.wait_for(connection.reader.read(_PIECE), _STUCK_S):
            pass


def main(arguments: list[str]) -> None:
    """
    Do what the plan says.
    """
    plan = Plan.from_document(json.loads(Path(arguments[0]).read_text(encoding="utf-8")))
    clients = Clients(plan)
    asyncio.run(clients.run())
    found = asdict(clients.tally)
    del found["etags"]
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
