"""
The values that every room shares: data objects, content hashes, byte ranges, errors, and what a reader is.

Nothing here does I/O, and nothing here imports another room.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from enum import Enum
from typing import ParamSpec, Protocol, TypeVar

import base58
from attrs import field, frozen
from blake3 import blake3
from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

P = ParamSpec("P")
T = TypeVar("T")

#: Up to 20 digits hold every unsigned 64-bit id of the chain; no sign, no leading zero, ASCII only.
_OBJECT_ID = re.compile(r"(?:0|[1-9][0-9]{0,19})\Z", re.ASCII)


def is_object_id(text: str) -> bool:
    """
    Whether C{text} is a canonical decimal id, and so safe as a file name too.
    """
    return _OBJECT_ID.match(text) is not None


class InThread(Protocol):
    """
    How blocking work leaves the reactor: C{deferToThreadPool} with its first two arguments bound; in tests,
    C{maybeDeferred}.
    """

    def __call__(self, f: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Deferred[T]: ...


class Hasher(Protocol):
    """
    An incremental hash, as C{hashlib} and C{blake3} have it.
    """

    def update(self, data: bytes | memoryview, /) -> object: ...

    def digest(self) -> bytes: ...

    def copy(self) -> Hasher: ...


# Multihash codes; the digests of both are 32 bytes long.
BLAKE3_256 = 0x1E
SHA2_256 = 0x12
_DIGEST_LENGTH = 32
_HASHERS: dict[int, Callable[[], Hasher]] = {BLAKE3_256: blake3, SHA2_256: hashlib.sha256}


def _known_code(instance: object, attribute: object, code: int) -> None:
    if code not in _HASHERS:
        raise ValueError(f"multihash code {code:#x} is neither BLAKE3-256 nor SHA2-256")


def _whole_digest(instance: object, attribute: object, digest: bytes) -> None:
    if len(digest) != _DIGEST_LENGTH:
        raise ValueError(f"digest of {len(digest)} bytes, expected {_DIGEST_LENGTH}")


@frozen
class ContentHash:
    """
    A multihash: what the bytes of an object must hash to.
    """

    code: int = field(validator=_known_code)
    digest: bytes = field(validator=_whole_digest)

    @classmethod
    def parse(cls, text: str) -> ContentHash:
        """
        Read a base58 (bitcoin alphabet) multihash without multibase prefix.

        @raise ValueError: it is not one, or of a kind that this node cannot compute.
        """
        # 34 bytes are at most 47 characters; base58 takes quadratic time, so bound it first.
        if len(text) > 64 or not text.isascii():
            raise ValueError("not a base58 multihash")
        try:
            raw = base58.b58decode(text)
        except ValueError:
            raise ValueError("not a base58 multihash") from None
        if len(raw) != 2 + _DIGEST_LENGTH or raw[1] != _DIGEST_LENGTH:
            raise ValueError("not a multihash with a digest of 32 bytes")
        return cls(raw[0], raw[2:])

    def __str__(self) -> str:
        return base58.b58encode(bytes((self.code, _DIGEST_LENGTH)) + self.digest).decode("ascii")

    def hasher(self) -> Hasher:
        """
        A fresh hash of this kind.
        """
        return _HASHERS[self.code]()


@frozen
class ByteRange:
    """
    The bytes from C{start} up to, and not including, C{stop}; never empty.
    """

    start: int
    stop: int

    def __attrs_post_init__(self) -> None:
        if not 0 <= self.start < self.stop:
            raise ValueError(f"no bytes in [{self.start}, {self.stop})")

    def __len__(self) -> int:
        return self.stop - self.start


@frozen
class DataObject:
    """
    What the catalogue knows of an object.

    @ivar size: bytes.
    @ivar type: the media type that the catalogue gives, if any.
    """

    id: str
    size: int
    content_hash: ContentHash
    type: str | None = None
    accepted: bool = True


@frozen
class StorageNode:
    """
    Where a storage node is.

    @ivar endpoint: a base URL; objects are at C{{endpoint}/api/v1/files/{id}}.
    @ivar trusted: the operator named it, so private addresses are allowed.
    """

    id: str
    endpoint: str
    trusted: bool = False


@frozen
class Listing:
    """
    The catalogue's whole answer about one object.
    """

    object: DataObject
    storage_nodes: tuple[StorageNode, ...]
    distributed_here: bool = True


class FaultKind(Enum):
    """
    What a storage node did wrong with the bytes themselves.
    """

    WRONG_HASH = "wrong_hash"
    WRONG_LENGTH = "wrong_length"
    EARLY_END = "early_end"


@frozen
class Fault:
    """
    Evidence against a storage node.

    @ivar bucket: the id of the storage bucket, or of the node in a manifest.
    @ivar expected: a content hash, or a number of bytes, as text.
    @ivar got: the same of what came.
    @ivar bytes: how many bytes the node had given.
    @ivar at: seconds since 1970.
    """

    object_id: str
    endpoint: str
    bucket: str
    kind: FaultKind
    expected: str
    got: str
    bytes: int
    at: float


class CacheState(Enum):
    """
    What C{X-Cache} says; see C{docs/http-api.rst}.
    """

    HIT = "hit"
    PENDING = "pending"
    MISS = "miss"

    # As there is one of each. Enum's own, of the name, is in Python, and each answer is counted by its state.
    __hash__ = object.__hash__


#: What is read from a reader's file after one call of C{available} and before the next, at most; in bytes.
LARGEST_STEP = 1024 * 1024

#: What a reader who has waited is sent at once, in bytes: of many who waited for the same, all are to begin soon.
FIRST_STEP = 16 * 1024


class IReader(Interface):
    """
    One answer's view of an object: a file, some of whose bytes may still be on their way. Who reads it asks for what is
    available before each step of at most L{LARGEST_STEP} bytes.
    """

    size = Attribute("The size of the object in bytes.")
    fd = Attribute("The open file that holds the object; only for reading, at explicit offsets.")
    had_early = Attribute("The offset and the bytes of what L{early} has given, as long as the file may not have them.")

    def available(offset: int) -> int:
        """
        How many bytes can be read from C{fd} at C{offset} now, without a gap.
        """

    def early(offset: int, length: int) -> bytes:
        """
        Up to C{length} bytes at C{offset} that are on their way to the file: for an answer that has had nothing yet,
        and only once. Empty where there are none, and not asked for where C{available(offset)} is not zero.
        """

    def wait(offset: int) -> Deferred[None]:
        """
        Fires when C{available(offset)} is not zero, or something is there L{early}, with L{None}; or fails, with the
        reason why it never will be. Cancelling it concerns this reader alone.
        """

    def close() -> None:
        """
        The answer is over. Closing twice is harmless; a wait that is pending is cancelled.
        """


class DistributorError(Exception):
    """
    The root of what this program raises on purpose.
    """


class ObjectNotFound(DistributorError):
    """The catalogue does not know the object."""


class ObjectNotAccepted(DistributorError):
    """The object is known, but has not been uploaded yet."""


class ObjectNotDistributed(DistributorError):
    """The object exists, and is other nodes' to distribute."""


class CatalogueUnavailable(DistributorError):
    """The catalogue cannot answer now."""


class SourcesFailed(DistributorError):
    """A whole round of storage nodes has failed to give a byte."""


class SourcesTimedOut(SourcesFailed):
    """The same, and each of them by time-out."""


class ContentMismatch(DistributorError):
    """What the storage nodes sent does not hash to the object's content hash."""


class Overloaded(DistributorError):
    """There is more to do than the limits allow; trying again later may work."""


class NoRoom(DistributorError):
    """The store has no space for the object, even after eviction."""


class DiskFailed(DistributorError):
    """The disk refused a read or a write (ENOSPC, EIO, EACCES)."""
