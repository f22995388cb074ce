"""
The built-in library, from which a node without configuration serves.

C{tools/make-demo-media} makes its files.
"""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

from distributor.devnet.manifest import manifest
from distributor.devnet.media_file import MediaFile
from distributor.model import DataObject

MEDIA = Path(__file__).parent / "media"


@frozen
class Exhibit:
    """
    An object of the library.

    @ivar type: the media type that the catalogue gives.
    @ivar description: one line.
    @ivar captions: the id of the exhibit that holds the captions of this one.
    @ivar poster: the id of the exhibit that is a picture of this one.
    """

    id: str
    title: str
    type: str
    file_name: str
    description: str
    captions: str | None = None
    poster: str | None = None

    @property
    def path(self) -> Path:
        return MEDIA / self.file_name

    @property
    def size(self) -> int:
        """
        Bytes.
        """
        return self.path.stat().st_size


_EXHIBITS = (
    Exhibit(
        "1",
        "A day by the lake",
        "video/mp4",
        "day.mp4",
        "Twenty-four seconds, one for each hour of the day. H.264 and AAC, with captions: drag the playhead.",
        captions="5",
        poster="3",
    ),
    Exhibit(
        "2", "Rain on a pond", "video/webm", "pond.webm", "Each note of the tune is a ring on the water. VP9 and Opus."
    ),
    Exhibit("3", "Dusk", "image/jpeg", "dusk.jpg", "The lake at a quarter past six in the evening."),
    Exhibit("4", "The tune", "audio/mpeg", "tune.mp3", "Nine seconds of MP3."),
    Exhibit("5", "Captions of the day", "text/vtt", "day.vtt", "WebVTT; the film above shows them."),
    Exhibit("6", "A sheet of paper", "application/pdf", "sheet.pdf", "One page."),
    Exhibit(
        "7", "Nothing", "text/plain", "empty.bin", "An object of no bytes at all, which is an object all the same."
    ),
)


def exhibits() -> tuple[Exhibit, ...]:
    """
    The library, in the order in which to show it.
    """
    return _EXHIBITS


def library_files() -> dict[str, MediaFile]:
    """
    The library's files, by object id, for a L{distributor.devnet.StorageNode}.
    """
    return {exhibit.id: MediaFile.at(exhibit.path) for exhibit in _EXHIBITS}


def library_manifest(endpoint: str) -> dict[str, object]:
    """
    The manifest of the library at a storage node. The files are hashed on the spot: a millisecond for each MB.
    """
    return manifest(
        endpoint,
        [
            DataObject(exhibit.id, exhibit.size, MediaFile.at(exhibit.path).content_hash(), exhibit.type)
            for exhibit in _EXHIBITS
        ],
    )
