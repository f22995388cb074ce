"""
What the owner and its workers say to each other: AMP commands, and values as JSON. Pure.

AMP bounds a value to 64 KiB; what may be longer goes in several pieces.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import asdict, astuple, field, frozen
from twisted.protocols.amp import Boolean, Command, Descriptor, Float, Integer, String, Unicode

from distributor import model
from distributor.cache import Entry
from distributor.model import (
    ByteRange,
    CacheState,
    ContentHash,
    DataObject,
    DistributorError,
    Fault,
    FaultKind,
    Listing,
    StorageNode,
)
from distributor.node import Found

#: Of one value, in bytes; AMP takes twice as much.
PIECE = 32 * 1024

_KINDS = [kind for kind in vars(model).values() if isinstance(kind, type) and issubclass(kind, DistributorError)]

#: Every error that an answer may meet crosses the wire under its name. AMP takes the first that fits, so what others
#: are derived from comes after them.
ERRORS: dict[type[Exception], bytes] = {
    kind: kind.__name__.encode("ascii") for kind in sorted(_KINDS, key=lambda kind: -len(kind.__mro__))
}


@frozen
class Crowd:
    """
    Who is with a process.

    @ivar answering: how many assets are being answered.
    @ivar connections: how many clients are connected.
    """

    answering: int = 0
    connections: int = 0

    def __add__(self, other: Crowd) -> Crowd:
        return Crowd(self.answering + other.answering, self.connections + other.connections)


@frozen(kw_only=True)
class News:
    """
    What a worker has seen since it last said.

    @ivar touched: how often objects were read.
    @ivar held: which files have come into use, or are no longer; in this order.
    @ivar faults: the evidence that it has found.
    @ivar counts: what it has counted.
    @ivar crowd: who is there now; L{None}: as before.
    """

    touched: Mapping[str, int] = field(factory=dict)
    held: Sequence[tuple[str, bool]] = ()
    faults: Sequence[Fault] = ()
    counts: Mapping[str, int] = field(factory=dict)
    crowd: Crowd | None = None


class Find(Command):
    """What there is to know of an object that the worker does not have. The owner answers, as to all down to Ask."""

    arguments = [(b"object_id", Unicode())]  # noqa: RUF012
    response = [(b"found", String())]  # noqa: RUF012
    errors = ERRORS


class Listed(Command):
    """What the catalogue says of an object that is to be passed through."""

    arguments = [(b"object_id", Unicode())]  # noqa: RUF012
    response = [(b"found", String())]  # noqa: RUF012
    errors = ERRORS


class Open(Command):
    """Whatever gives the bytes of an object that is not complete: the number of a reader, or -1 to pass it through."""

    arguments = [(b"object_id", Unicode()), (b"ranges", String())]  # noqa: RUF012
    response = [  # noqa: RUF012
        (b"reader", Integer()),
        (b"cache", Unicode()),
        (b"joined", Boolean()),
    ]
    errors = ERRORS


class Wait(Command):
    """Fires when a reader may read at an offset: so many bytes, until it asks again; or is given what comes early."""

    arguments = [(b"reader", Integer()), (b"offset", Integer())]  # noqa: RUF012
    response = [  # noqa: RUF012
        (b"granted", Integer()),
        (b"early", String()),
        (b"external", Boolean()),
        (b"type", Unicode()),
    ]
    errors = ERRORS


class File(Command):
    """The file of a reader, once there is something to read."""

    arguments = [(b"reader", Integer())]  # noqa: RUF012
    response = [(b"file", Descriptor())]  # noqa: RUF012
    errors = ERRORS


class Close(Command):
    """The answer of a reader is over."""

    arguments = [(b"reader", Integer())]  # noqa: RUF012
    response = []  # noqa: RUF012


class Cancel(Command):
    """A reader does not wait any more."""

    arguments = [(b"reader", Integer())]  # noqa: RUF012
    response = []  # noqa: RUF012


class Report(Command):
    """L{News} of a worker, or a piece of it."""

    arguments = [(b"report", String())]  # noqa: RUF012
    response = []  # noqa: RUF012


class Ask(Command):
    """A piece of what the API shows of the whole node."""

    arguments = [(b"about", Unicode()), (b"offset", Integer())]  # noqa: RUF012
    response = [(b"piece", String()), (b"length", Integer())]  # noqa: RUF012


class Entries(Command):
    """Complete objects that are there, or, without an entry, no longer. Answered by the worker, as all that follow."""

    arguments = [(b"entries", String())]  # noqa: RUF012
    response = []  # noqa: RUF012


class Admit(Command):
    """Who may come in: everybody, or nobody, for the reason of this type of error."""

    arguments = [(b"refusal", Unicode())]  # noqa: RUF012
    response = []  # noqa: RUF012


class Finish(Command):
    """Let nobody in, let those inside finish for so many seconds, and end."""

    arguments = [(b"patience_s", Float())]  # noqa: RUF012
    response = []  # noqa: RUF012


# Values.


def _dump(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("utf-8")


def dump_ranges(ranges: Iterable[ByteRange]) -> bytes:
    return _dump([[each.start, each.stop] for each in ranges])


def load_ranges(written: bytes) -> tuple[ByteRange, ...]:
    return tuple(ByteRange(start, stop) for start, stop in json.loads(written))


def _pieces(items: Iterable[bytes]) -> Iterator[bytes]:
    """
    Lists of some items each. One that is too long for a piece is left out.
    """
    piece: list[bytes] = []
    length = 0
    for item in items:
        if len(item) >= PIECE:
            continue
        if length + len(item) >= PIECE:
            yield b"[" + b",".join(piece) + b"]"
            piece, length = [], 0
        piece.append(item)
        length += len(item) + 1
    if piece:
        yield b"[" + b",".join(piece) + b"]"


def dump_entries(entries: Iterable[tuple[str, Entry | None]]) -> Iterator[bytes]:
    """
    In pieces.
    """
    return _pieces(
        _dump([object_id] if entry is None else [object_id, entry.size, entry.content_hash, entry.type])
        for object_id, entry in entries
    )


def load_entries(written: bytes) -> list[tuple[str, Entry | None]]:
    return [(item[0], Entry(*item[1:]) if len(item) > 1 else None) for item in json.loads(written)]


def dump_found(found: Found) -> bytes:
    listing = found.listing
    return _dump(
        {
            "object": _object(found.object),
            "cache": found.cache.value,
            "type": found.type,
            "catalogue_s": found.catalogue_s,
            "storage_nodes": None if listing is None else [asdict(node) for node in listing.storage_nodes],
        }
    )


def load_found(written: bytes) -> Found:
    value = json.loads(written)
    known = value["object"]
    described = DataObject(
        known["id"], known["size"], ContentHash.parse(known["content_hash"]), known["type"], known["accepted"]
    )
    nodes: Sequence[dict[str, object]] | None = value["storage_nodes"]
    listing = None
    if nodes is not None:
        listing = Listing(described, tuple(StorageNode(**node) for node in nodes))  # type: ignore[arg-type]
    return Found(described, CacheState(value["cache"]), value["type"], listing, value["catalogue_s"])


def _object(object: DataObject) -> dict[str, object]:
    return {
        "id": object.id,
        "size": object.size,
        "content_hash": str(object.content_hash),
        "type": object.type,
        "accepted": object.accepted,
    }


def dump_news(news: News) -> Iterator[bytes]:
    """
    In pieces, each of which is news. A fault that nobody could send is left out.
    """
    return _pieces(_items(news))


def _items(news: News) -> Iterator[bytes]:
    if news.crowd is not None:
        yield _dump(["crowd", *astuple(news.crowd)])
    for name, count in news.counts.items():
        yield _dump(["count", name, count])
    for object_id, times in news.touched.items():
        yield _dump(["touched", object_id, times])
    for fault in news.faults:
        yield _dump(["fault", {**asdict(fault), "kind": fault.kind.value}])
    for object_id, held in news.held:
        yield _dump(["held", object_id, held])


def load_news(written: bytes) -> News:
    of: dict[str, list[Any]] = {"crowd": [], "count": [], "touched": [], "fault": [], "held": []}
    for kind, *values in json.loads(written):
        of[kind].append(values)
    return News(
        touched=dict(of["touched"]),
        held=[(object_id, held) for object_id, held in of["held"]],
        faults=[Fault(**{**value, "kind": FaultKind(value["kind"])}) for [value] in of["fault"]],
        counts=dict(of["count"]),
        crowd=Crowd(*of["crowd"][0]) if of["crowd"] else None,
    )
