"""
What the clients of a soak ask for, and what they may get. Pure.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from enum import Enum
from itertools import accumulate

from attrs import define, field, frozen

#: How much more the first object is asked for than the second: the exponent of Zipf's law.
_EXPONENT = 0.9

#: A range of an object is at most so long, in bytes.
_LONGEST_RANGE = 4 * 1024 * 1024

#: For these a client tries again later; they are answers of a node in trouble.
REFUSALS = (502, 503, 504)


@frozen
class Target:
    """
    A distributor.

    @ivar ids: of the objects that it distributes.
    """

    port: int
    ids: frozenset[str]


@frozen
class Wish:
    """
    One request, and what it is to get where all is well.

    @ivar start: of the bytes that are wanted, and C{stop} is after their end.
    """

    port: int
    object_id: str
    status: int
    method: str = "GET"
    range_header: str | None = None
    size: int = 0
    start: int = 0
    stop: int = 0

    def request(self, keep: bool) -> bytes:
        """
        As it goes over the wire.
        """
        lines = [f"{self.method} /api/v1/asset/{self.object_id} HTTP/1.1", "Host: localhost"]
        if self.range_header is not None:
            lines.append(f"Range: {self.range_header}")
        if not keep:
            lines.append("Connection: close")
        return "\r\n".join([*lines, "", ""]).encode("ascii")


class Chooser:
    """
    Chooses objects by Zipf's law, and what to ask of them.
    """

    def __init__(self, targets: Sequence[Target], sizes: Mapping[str, int], chance: random.Random) -> None:
        self._targets = targets
        self._sizes = sizes
        self._chance = chance
        # Which ones are popular is a matter of chance, too: or the largest would always be, or never.
        self._ids = sorted(sizes)
        random.Random(len(sizes)).shuffle(self._ids)
        self._weights = list(accumulate(1 / rank**_EXPONENT for rank in range(1, len(self._ids) + 1)))

    def choose(self) -> Wish:
        """
        The next wish.
        """
        chance = self._chance
        [object_id] = chance.choices(self._ids, cum_weights=self._weights)
        target = chance.choice(self._targets)
        if chance.random() < 0.01:
            return Wish(target.port, str(chance.randrange(10**6, 10**7)), 404)
        if object_id not in target.ids and chance.random() < 0.9:
            # Mostly go where it is to be had.
            target = next(each for each in self._targets if object_id in each.ids)
        if object_id not in target.ids:
            return Wish(target.port, object_id, 421)
        return self._of(target.port, object_id, self._sizes[object_id])

    def _of(self, port: int, object_id: str, size: int) -> Wish:
        chance = self._chance
        kind = chance.random()
        if kind < 0.5:
            return Wish(port, object_id, 200, size=size, stop=size)
        if kind < 0.55:
            return Wish(port, object_id, 200, method="HEAD", size=size, stop=size)
        if kind < 0.57:
            return Wish(port, object_id, 416, range_header=f"bytes={size + chance.randrange(10)}-", size=size)
        start = chance.randrange(size)
        stop = min(size, start + 1 + chance.randrange(_LONGEST_RANGE))
        header = f"bytes={start}-{stop - 1}"
        if kind < 0.65:
            stop, header = size, f"bytes={start}-"
        elif kind < 0.75:
            start, stop, header = max(0, size - (stop - start)), size, f"bytes=-{stop - start}"
        return Wish(port, object_id, 206, range_header=header, size=size, start=start, stop=stop)


def fault_in_head(wish: Wish, status: int, headers: Mapping[str, str]) -> str | None:
    """
    What is wrong with the head of an answer, if something is; the names of C{headers} are in lower case.
    """
    length = headers.get("content-length")
    if length is None or not length.isdecimal():
        return f"{status} with Content-Length {length}"
    if status in REFUSALS:
        return None if headers.get("content-type") == "application/json" else f"{status} that is no JSON"
    if status != wish.status:
        return f"status {status} instead of {wish.status}"
    if status == 416:
        expected: str | None = f"bytes */{wish.size}"
    elif status == 206:
        expected = f"bytes {wish.start}-{wish.stop - 1}/{wish.size}"
    else:
        expected = None
    if headers.get("content-range") != expected:
        return f"Content-Range {headers.get('content-range')} instead of {expected}"
    if status in (200, 206) and int(length) != wish.stop - wish.start:
        return f"Content-Length {length} instead of {wish.stop - wish.start}"
    return None


def unverifiable(wish: Wish, difference: int, headers: Mapping[str, str]) -> bool:
    """
    Whether a byte may be wrong: the last one of an object, in a range that does not begin at its start and that is
    passed through. docs/http-api.rst makes no promise of that.

    @param difference: where the byte is.
    """
    passed_through = "stored" not in headers.get("cache-status", "") and headers.get("x-cache") == "miss"
    return wish.start > 0 and difference == wish.size - 1 and passed_through


class Outcome(Enum):
    """
    How a request went.
    """

    #: All of the answer came, and all of it is right.
    RIGHT = "right"
    #: The node said that it cannot now.
    REFUSED = "refused"
    #: The connection ended before the answer did, which anybody can see.
    CUT = "cut"
    #: The client went away by itself, and what it had was right.
    LEFT = "left"
    #: The last byte of a range that was passed through, and that nothing could verify: docs/http-api.rst.
    UNVERIFIABLE = "unverifiable"
    #: Nothing came for too long.
    STUCK = "stuck"
    #: Wrong bytes, or an answer that should not be.
    WRONG = "wrong"


@define
class Tally:
    """
    What has come of all requests.

    @ivar statuses: of answers, by number.
    @ivar caches: what C{X-Cache} said.
    @ivar bytes: that were compared.
    @ivar complaints: what was wrong, or stuck; the first ones.
    """

    outcomes: dict[str, int] = field(factory=lambda: {each.value: 0 for each in Outcome})
    statuses: dict[str, int] = field(factory=dict)
    caches: dict[str, int] = field(factory=dict)
    rude: dict[str, int] = field(factory=dict)
    bytes: int = 0
    complaints: list[str] = field(factory=list)
    etags: dict[str, str] = field(factory=dict)

    def count(self, outcome: Outcome, complaint: str = "") -> None:
        """
        A request is over.
        """
        self.outcomes[outcome.value] += 1
        if outcome in (Outcome.WRONG, Outcome.STUCK, Outcome.UNVERIFIABLE) and len(self.complaints) < 50:
            self.complaints.append(f"{outcome.value}: {complaint}")

    def same_etag(self, object_id: str, etag: str | None) -> bool:
        """
        Whether an entity tag is the one that the object has always had, on every node.
        """
        return etag is not None and self.etags.setdefault(object_id, etag) == etag


def increase(counts: dict[str, int], name: object) -> None:
    """
    Count one more of a kind.
    """
    counts[str(name)] = counts.get(str(name), 0) + 1
