"""
Tests for L{distributor.devnet.library}, and of the media that it holds.
"""

from __future__ import annotations

import re
import struct

from twisted.trial.unittest import SynchronousTestCase

from distributor.devnet.library import MEDIA, Exhibit, exhibits, library_files, library_manifest
from distributor.devnet.media_file import DEFAULT_TYPE

#: The least that the film, and its captions, are to last; and the most that all files together may take.
FILM_S, LIBRARY_BYTES = 20, 3 * 1000 * 1000


def _boxes(data: bytes) -> dict[bytes, bytes]:
    """
    The boxes at the top of an MP4 file or of a box, in their order (ISO 14496-12 §4.2, the short form).
    """
    found, at = {}, 0
    while at < len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        found[name] = data[at + 8 : at + size]
        at += size
    return found


class LibraryTests(SynchronousTestCase):
    """
    The built-in library.
    """

    def one(self, type: str) -> Exhibit:
        [found] = [exhibit for exhibit in exhibits() if exhibit.type == type]
        return found

    def test_film_is_shown_first(self) -> None:
        """
        The first thing that a newcomer sees is a video with captions and a poster that are there.
        """
        first, *_ = exhibits()
        ids = {exhibit.id: exhibit.type for exhibit in exhibits()}
        self.assertEqual(first.type, "video/mp4")
        self.assertEqual((ids[str(first.captions)], ids[str(first.poster)]), ("text/vtt", "image/jpeg"))

    def test_library_is_small(self) -> None:
        """
        It travels with the package; and every file in its folder is shown.
        """
        self.assertLess(sum(exhibit.size for exhibit in exhibits()), LIBRARY_BYTES)
        self.assertEqual({exhibit.file_name for exhibit in exhibits()}, {path.name for path in MEDIA.iterdir()})

    def test_content_is_of_the_type_that_the_catalogue_gives(self) -> None:
        """
        Wherever the content can tell; the others are a text and nothing.
        """
        files = library_files()
        silent = set()
        for exhibit in exhibits():
            if files[exhibit.id].type == DEFAULT_TYPE:
                silent.add(exhibit.file_name)
            else:
                self.assertEqual(files[exhibit.id].type, exhibit.type)
        self.assertEqual(silent, {"day.vtt", "empty.bin"})

    def test_film_can_start_before_it_has_arrived(self) -> None:
        """
        Its index comes before its frames, and it is long enough to seek in.
        """
        top = _boxes(self.one("video/mp4").path.read_bytes())
        order = list(top)
        self.assertLess(order.index(b"moov"), order.index(b"mdat"))
        header = _boxes(top[b"moov"])[b"mvhd"]
        self.assertEqual(header[0], 0)
        ticks_per_s, ticks = struct.unpack_from(">II", header, 12)
        self.assertGreaterEqual(ticks / ticks_per_s, FILM_S)

    def test_captions_follow_the_film(self) -> None:
        """
        Cue after cue, none over another, to near its end.
        """
        text = self.one("text/vtt").path.read_text(encoding="utf-8")
        self.assertTrue(text.startswith("WEBVTT\n\n"))
        times = [int(m) * 60 + float(s) for m, s in re.findall(r"(\d\d):(\d\d\.\d{3})", text)]
        self.assertEqual(times, sorted(times))
        self.assertGreaterEqual(times[-1], FILM_S)

    def test_pdf_has_its_table_where_it_says(self) -> None:
        """
        The sheet was written by hand: its cross-references must be right to the byte.
        """
        data = self.one("application/pdf").path.read_bytes()
        [start] = re.findall(rb"startxref\n(\d+)\n%%EOF\n\Z", data)
        self.assertTrue(data[int(start) :].startswith(b"xref\n"))
        places = [int(place) for place in re.findall(rb"(\d{10}) 00000 n", data)]
        for number, place in enumerate(places, 1):
            self.assertTrue(data[place:].startswith(b"%d 0 obj" % number))

    def test_one_object_is_empty(self) -> None:
        """
        An object of no bytes is an object all the same.
        """
        self.assertEqual([exhibit.size for exhibit in exhibits() if exhibit.size == 0], [0])

    def test_manifest_lists_every_exhibit(self) -> None:
        """
        With the size, hash and type of what the storage node will send.
        """
        files = library_files()
        written = library_manifest("http://127.0.0.1:1/")
        self.assertEqual(
            written["objects"],
            {
                exhibit.id: {
                    "size": exhibit.size,
                    "hash": str(files[exhibit.id].content_hash()),
                    "type": exhibit.type,
                }
                for exhibit in exhibits()
            },
        )
