"""
Media that a seed determines: files of mixed sizes whose bytes never repeat.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

from blake3 import blake3

from distributor.model import BLAKE3_256, ContentHash, DataObject

KIB, MIB = 1024, 1024 * 1024

#: A long video, a short one, and what is between; in bytes.
_LARGE = (64 * MIB, 24 * MIB, 8 * MIB)

#: Between a thumbnail and a song; in bytes.
_SMALL = (KIB, 4 * MIB)

_PIECE = MIB


def sizes(seed: int, count: int, large: tuple[int, ...] = _LARGE) -> dict[str, int]:
    """
    The sizes of C{count} objects by id: C{large}, the smallest and the largest of the small, and others between
    them, evenly on a logarithmic scale; in bytes.
    """
    chance = random.Random(seed)
    least, most = _SMALL
    chosen = [*large, least, most]
    while len(chosen) < count:
        chosen.append(round(least * (most / least) ** chance.random()))
    chosen = chosen[:count]
    chance.shuffle(chosen)
    return {str(number): size for number, size in enumerate(chosen, 1)}


def content(seed: int, object_id: str, size: int) -> Iterator[bytes]:
    """
    The bytes of an object, in pieces.
    """
    # As an extendable output, BLAKE3 gives a GiB and more in a second, and any part of it at once.
    source = blake3(f"devnet {seed} {object_id}".encode("ascii"))
    for start in range(0, size, _PIECE):
        yield source.digest(length=min(_PIECE, size - start), seek=start)


def write_media(folder: Path, seed: int, wanted: dict[str, int]) -> list[DataObject]:
    """
    Make the files of objects in C{folder}, each named by its id, and say what a catalogue has to know of them. Files
    of these names are replaced.

    @param wanted: sizes by id.
    @raise OSError: one cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for object_id, size in wanted.items():
        hasher = blake3()
        draft, path = folder / f".{object_id}", media_path(folder, object_id)
        with draft.open("wb") as file:
            for piece in content(seed, object_id, size):
                hasher.update(piece)
                file.write(piece)
        # A node of an earlier devnet may have the old one open.
        os.replace(draft, path)
        made.append(DataObject(object_id, size, ContentHash(BLAKE3_256, hasher.digest())))
    return made


def media_path(folder: Path, object_id: str) -> Path:
    """
    Where the file of an object is.
    """
    return folder / f"{object_id}.bin"
