"""
Tests for L{distributor.web.fast.coming}: whose answer is decided, and what is remembered of it.
"""

from __future__ import annotations

from typing import Any, cast

from attrs import evolve
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from distributor.cache import StoredReader
from distributor.model import ByteRange, CacheState, ContentHash, DataObject
from distributor.node import Found, Shelf
from distributor.transfer import DownloadReader
from distributor.web.fast.coming import Coming
from distributor.web.fast.prepared import Decided
from tests.web.fast.cold import head

OBJECT = DataObject("7", 1000, ContentHash(0x1E, bytes(32)), None)
FOUND = Found(OBJECT, CacheState.PENDING, "video/mp4")


class Downloading:
    """
    As much of a node as is asked.

    @ivar found: what is on its way, if something is.
    @ivar there: whether what is wanted has come.
    @ivar reader: who reads that, whether it has come or not.
    @ivar wanted: what was joined for.
    """

    downloads_here = True

    def __init__(self) -> None:
        self.found: Found | None = FOUND
        self.there = True
        self.media_type = "video/mp4"
        self.size = 0
        self.reader: DownloadReader | None = DownloadReader(cast(Any, self), ())
        self.wanted: list[ByteRange] = []

    def coming(self, object_id: str) -> Found | None:
        """
        What is being downloaded.
        """
        return self.found if object_id == "7" else None

    def join_now(self, object_id: str, wanted: ByteRange) -> StoredReader | None:
        """
        A reader.
        """
        self.wanted.append(wanted)
        return cast(Any, object()) if self.there else None

    def join(self, object_id: str, wanted: ByteRange) -> DownloadReader | None:
        """
        The same, whether it has come or not.
        """
        self.wanted.append(wanted)
        return self.reader


class ComingTests(SynchronousTestCase):
    """
    One object that is on its way.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.node = Downloading()
        self.coming = Coming(cast(Shelf, self.node), self.clock)

    def decided(self, *fields: str) -> Decided:
        """
        What is decided for a head.
        """
        joined = self.coming.join(head("/api/v1/asset/7", *fields))
        assert joined is not None
        return joined[0]

    def test_decided(self) -> None:
        """
        One range, or the whole, is answered as pending; the same head, with what was decided before.
        """
        plain = head()
        whole = self.coming.join(plain)
        again = self.coming.join(plain)
        assert whole is not None and again is not None
        self.assertIs(again[0], whole[0])
        self.assertIn(b"X-Cache: pending\r\n", b"".join(whole[0].head))
        part = self.decided("Range: bytes=100-199")
        self.assertEqual((part.status, part.length), (206, 100))
        self.assertEqual(self.node.wanted, [ByteRange(0, 1000), ByteRange(0, 1000), ByteRange(100, 200)])

    def test_what_is_known_by_now(self) -> None:
        """
        What is remembered of one object is not said of another, nor what was thought of its type before its first bytes
        had come.
        """
        self.decided()
        self.node.found = evolve(FOUND, type="image/png")
        self.assertIn(b"Content-Type: image/png\r\n", b"".join(self.decided().head))
        self.node.found = evolve(FOUND, object=evolve(OBJECT, size=500))
        self.assertEqual(self.decided().length, 500)

    def test_others(self) -> None:
        """
        All that is not so simple is not answered here: what is not there, or verified by now; the head alone; an answer
        without a body, or with several parts.
        """
        etag = f'"{OBJECT.content_hash}"'
        for plain in (
            head(method="HEAD"),
            head("/api/v1/asset/8"),
            head("/api/v1/asset/7", "Range: bytes=0-1,5-6"),
            head("/api/v1/asset/7", "Range: bytes=1000-"),
            head("/api/v1/asset/7", f"If-None-Match: {etag}"),
        ):
            self.assertIsNone(self.coming.join(plain), plain)
        self.node.there = False
        self.assertIsNone(self.coming.join(head()))
        self.node.there = True
        for found in None, evolve(FOUND, cache=CacheState.HIT):
            self.node.found = found
            self.assertIsNone(self.coming.join(head()))

    def test_waiting(self) -> None:
        """
        What has not come is answered in the same way as what has, but where a storage node has been asked for it.
        """
        plain = head("/api/v1/asset/7", "Range: bytes=100-199")
        joined, waiting = self.coming.join(plain), self.coming.wait(plain)
        assert joined is not None and waiting is not None and self.node.reader is not None
        self.assertIs(waiting[1], self.node.reader)
        self.assertEqual(waiting[0].head, joined[0].head)
        self.node.reader.external = True
        seeking = self.coming.wait(plain)
        assert seeking is not None
        said = b"".join(joined[0].head)
        self.assertIn(b"X-Data-Source: local", said)
        self.assertEqual(b"".join(seeking[0].head), said.replace(b"Source: local", b"Source: external"))
        self.assertEqual(self.coming.wait(plain)[0].head, seeking[0].head)  # type: ignore[index]
        self.assertEqual(self.coming.join(plain)[0].head, joined[0].head)  # type: ignore[index]
        self.assertEqual(set(self.node.wanted), {ByteRange(100, 200)})
        for other in head(method="HEAD"), head("/api/v1/asset/7", "Range: bytes=0-1,5-6"):
            self.assertIsNone(self.coming.wait(other))
        self.node.reader = None
        self.assertIsNone(self.coming.wait(plain))

    def test_settled(self) -> None:
        """
        What is said of the type is what the first bytes have told in the end.
        """
        waiting = self.coming.wait(head("/api/v1/asset/7", "Range: bytes=100-"))
        assert waiting is not None
        decided, reader = waiting
        self.assertIs(self.coming.settled(decided, reader), decided)
        self.node.media_type = "image/png"
        settled = self.coming.settled(decided, reader)
        self.assertIn(b"Content-Type: image/png\r\n", b"".join(settled.head))
        self.assertEqual((settled.wanted, settled.length, settled.plain), (ByteRange(100, 1000), 900, decided.plain))

    def test_follow(self) -> None:
        """
        One follows where an object is being downloaded, and where somebody leads.
        """
        self.assertIsNone(self.coming.follow(head()))
        self.coming.crowds.lead(head())
        self.assertIsNotNone(self.coming.follow(head()))
        self.node.found = None
        self.assertIsNone(self.coming.follow(head()))
        self.coming.crowds.let_go(head())

    def test_lead(self) -> None:
        """
        Who asks for the head alone leads nobody; nor does anybody in a process that knows of no downloads.
        """
        self.coming.lead(head(method="HEAD"))
        self.node.downloads_here = False
        self.coming.lead(head())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.node.downloads_here = True
        self.coming.lead(head())
        self.assertIsNotNone(self.coming.follow(head()))
        self.coming.crowds.let_go(head())

    def test_next_turn(self) -> None:
        """
        All who come in one turn go on in the next, in that order, but for those who have gone; nobody is lost who comes
        then.
        """
        went: list[str] = []
        first, gone, third = (self.coming.next_turn() for _ in range(3))

        def go(_: None, name: str) -> None:
            went.append(name)
            self.coming.next_turn().addCallback(lambda _: went.append(f"{name} again"))

        gone.addErrback(lambda _: went.append("gone"))
        gone.cancel()
        first.addCallback(go, "first")
        third.addCallback(go, "third")
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(0)
        self.assertEqual(went, ["gone", "first", "third", "first again", "third again"])
