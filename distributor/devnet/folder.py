"""
A folder of media as the objects of a storage node.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Mapping
from itertools import count
from pathlib import Path

from distributor.devnet.media_file import DEFAULT_TYPE, MediaFile
from distributor.model import DataObject, is_object_id

# What a name tells where the first bytes do not: a text has no signature.
_TEXT_TYPES = {".vtt": "text/vtt", ".srt": "application/x-subrip", ".txt": "text/plain", ".html": "text/html"}


def assign_ids(names: Iterable[str]) -> dict[str, str]:
    """
    Object ids for file names, as a mapping from id to name.

    A name whose stem is a canonical decimal gives the id (C{7.mp4} is C{"7"}; of two such, the first in order of name).
    The others, in order of name, get the smallest ids from 1 that are left. So a folder of the same names has the same
    ids each time.
    """
    ordered = sorted(set(names))
    ids: dict[str, str] = {}
    rest = []
    for name in ordered:
        stem = Path(name).stem
        if is_object_id(stem) and stem not in ids:
            ids[stem] = name
        else:
            rest.append(name)
    free = (str(number) for number in count(1) if str(number) not in ids)
    numbered = dict(zip(free, rest, strict=False))
    return ids | numbered


def media_in(folder: Path) -> dict[str, MediaFile]:
    """
    The files right in C{folder}, by object id. Left out are hidden files, folders, whatever is no regular file, links
    that lead out of the folder, and files that may not be read.

    @raise OSError: the folder cannot be listed.
    """
    home = folder.resolve(strict=True)
    found: dict[str, MediaFile] = {}
    for path in home.iterdir():
        file = None if path.name.startswith(".") else _media_file(path, home)
        if file is not None:
            found[path.name] = file
    ids = assign_ids(found)
    return {object_id: found[ids[object_id]] for object_id in sorted(ids, key=int)}


def data_objects(files: Mapping[str, MediaFile]) -> list[DataObject]:
    """
    What a catalogue would say of C{files}. Reads, and hashes, each of them.

    @raise OSError: one cannot be read.
    """
    return [
        DataObject(object_id, file.size, file.content_hash(), _catalogue_type(file))
        for object_id, file in files.items()
    ]


def _catalogue_type(file: MediaFile) -> str | None:
    return _TEXT_TYPES.get(file.path.suffix.lower()) if file.type == DEFAULT_TYPE else file.type


def _media_file(path: Path, home: Path) -> MediaFile | None:
    try:
        target = path.resolve(strict=True)
        if not target.is_relative_to(home) or not stat.S_ISREG(target.stat().st_mode):
            return None
        return MediaFile.at(target)
    except OSError:
        # A dangling or circular link, a file that vanished or that is not ours to read.
        return None
