"""
Tests for L{distributor.node.node}: where an answer comes from.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from unittest import mock

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from distributor.devnet import Cut, Ending, Fault
from distributor.model import (
    ByteRange,
    CacheState,
    CatalogueUnavailable,
    DiskFailed,
    Listing,
    NoRoom,
    ObjectNotAccepted,
    ObjectNotDistributed,
    ObjectNotFound,
    Overloaded,
    SourcesFailed,
)
from distributor.node import Found, Node, Opened
from distributor.observe import Sparse
from distributor.sources import StorageNodes
from distributor.transfer import Downloads
from tests.stored import in_thread, started_store
from tests.upstream import Upstream, payload

CONTENT = payload(300_000)
WHOLE = ByteRange(0, len(CONTENT))
PATIENCE_S = 60.0


class Listed:
    """
    A catalogue of one object, which can be out of order.
    """

    negative_ttl_s = 12

    def __init__(self, listing: Listing) -> None:
        self.listing = listing
        self.lookups = 0
        self.works = True

    async def lookup(self, object_id: str) -> Listing:
        """
        As catalogues do.
        """
        self.lookups += 1
        if not self.works:
            raise CatalogueUnavailable
        if object_id != self.listing.object.id:
            raise ObjectNotFound(object_id)
        return self.listing


class NodeTests(SynchronousTestCase):
    """
    The store first, then a download in progress, then the catalogue.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))
        self.build()

    def build(self, capacity: int = 10**9, largest_cached: int | None = None) -> None:
        """
        Make a node.
        """
        self.directory = Path(self.mktemp())
        self.store = started_store(self, self.clock, capacity, self.directory)
        self.upstream = Upstream(self, self.clock, CONTENT)
        self.catalogue = Listed(self.upstream.listing)
        trouble = Sparse(self.clock, Logger())
        self.downloads = Downloads(
            self.store,
            self.upstream.client,
            self.clock,
            in_thread,
            trouble,
            at_once=2,
            queue_length=2,
            patience_s=PATIENCE_S,
        )
        downloads = self.downloads
        self.addCleanup(lambda: self.successResultOf(Deferred.fromCoroutine(downloads.stop())))
        self.node = Node(
            self.store,
            self.downloads,
            self.catalogue,
            self.upstream.client,
            self.clock,
            in_thread,
            trouble,
            largest_cached=largest_cached,
            patience_s=PATIENCE_S,
            most_passages=2,
        )

    def find(self, object_id: str = "7") -> Deferred[Found]:
        """
        Look for an object.
        """
        return Deferred.fromCoroutine(self.node.find(object_id))

    def open(self) -> Opened:
        """
        Find and open the object.
        """
        found = self.successResultOf(self.find())
        opened = self.successResultOf(Deferred.fromCoroutine(self.node.open(found, (WHOLE,))))
        self.addCleanup(opened.close)
        return opened

    def begin(self, opened: Opened, wanted: ByteRange | None = WHOLE) -> Deferred[None]:
        """
        Wait for the first byte.
        """
        begun = Deferred.fromCoroutine(opened.begin(wanted))
        self.upstream.flush()
        return begun

    def passed(self, opened: Opened, wanted: ByteRange = WHOLE) -> bytes:
        """
        What is passed through.
        """
        transport = StringTransport()
        passage = self.successResultOf(Deferred.fromCoroutine(opened.passage(wanted)))
        self.successResultOf(passage.send_to(transport))
        sent: bytes = transport.value()
        return sent

    def stored(self) -> None:
        """
        Bring the object into the store.
        """
        opened = self.open()
        self.successResultOf(self.begin(opened))
        opened.close()
        self.assertIsNotNone(self.store.get("7"))

    # Finding.

    def test_miss_pending_hit(self) -> None:
        """
        An object is a miss, then pending, then a hit; the catalogue is asked for the first alone.
        """
        self.upstream.nodes[0].faults.always = Fault(cut=Cut(100_000, Ending.STALL))
        self.assertEqual(self.successResultOf(self.find()).cache, CacheState.MISS)
        opened = self.open()
        self.successResultOf(self.begin(opened))
        self.assertEqual((opened.cache, opened.joined, opened.external), (CacheState.MISS, False, False))
        self.assertEqual(self.successResultOf(self.find()).cache, CacheState.PENDING)
        second = self.open()
        self.assertEqual((second.cache, second.joined), (CacheState.PENDING, True))
        self.upstream.nodes[0].faults.always = Fault()
        self.clock.advance(5)
        self.upstream.flush()
        lookups = self.catalogue.lookups
        self.catalogue.works = False
        found = self.successResultOf(self.find())
        self.assertEqual((found.cache, found.object.size, found.listing), (CacheState.HIT, len(CONTENT), None))
        third = self.open()
        self.successResultOf(self.begin(third))
        self.assertEqual((third.cache, third.type, self.catalogue.lookups), (CacheState.HIT, found.type, lookups))

    def test_joining_at_once(self) -> None:
        """
        A download is joined without waiting where it has what is wanted first: not before anything has come, not where
        nothing has, and not once it is over.
        """
        self.upstream.nodes[0].faults.always = Fault(cut=Cut(100_000, Ending.STALL), delay_s=1)
        self.assertIsNone(self.node.coming("7"))
        self.assertIsNone(self.node.join_now("7", WHOLE))
        opened = self.open()
        begun = Deferred.fromCoroutine(opened.begin(WHOLE))
        self.assertIsNone(self.node.join_now("7", WHOLE))
        self.clock.advance(1)
        self.upstream.flush()
        self.successResultOf(begun)
        found = self.node.coming("7")
        assert found is not None
        self.assertEqual((found.cache, found.listing), (CacheState.PENDING, self.upstream.listing))
        self.assertIsNone(self.node.join_now("7", ByteRange(200_000, 200_001)))
        reader = self.node.join_now("7", ByteRange(50_000, len(CONTENT)))
        assert reader is not None
        self.assertEqual((reader.available(50_000), reader.external), (50_000, False))
        reader.close()
        self.upstream.nodes[0].faults.always = Fault()
        self.clock.advance(5)
        self.upstream.flush()
        self.assertIsNone(self.node.coming("7"))
        self.assertIsNone(self.node.join_now("7", WHOLE))

    def test_joining_to_wait(self) -> None:
        """
        A download is joined, too, where what is wanted has not come; who seeks has had a storage node asked by then.
        """
        self.assertIsNone(self.node.join("7", WHOLE))
        self.upstream.nodes[0].faults.always = Fault(cut=Cut(10_000, Ending.STALL))
        self.successResultOf(self.begin(self.open()))
        # By now it is known to be slow.
        self.clock.advance(3)
        near, far = (self.node.join("7", ByteRange(start, len(CONTENT))) for start in (10_000, 290_000))
        assert near is not None and far is not None
        self.assertEqual((near.external, far.external), (False, True))
        self.upstream.flush(1)
        self.assertEqual(self.upstream.ranges[-1], f"bytes=290000-{len(CONTENT) - 1}")
        near.close()
        far.close()

    def test_waited_for_in_vain(self) -> None:
        """
        Where the disk has failed, storage nodes are what is left; of other trouble, one is told.
        """
        found = self.successResultOf(self.find())
        for error in NoRoom("full"), DiskFailed("worn out"):
            opened = self.node.without(found, error)
            self.assertEqual((opened.cache, opened.reader, opened.joined), (CacheState.MISS, None, False))
            opened.close()
        self.assertRaises(SourcesFailed, self.node.without, found, SourcesFailed("gone"))

    def test_looking(self) -> None:
        """
        What storage nodes have answered is taken when somebody looks.
        """
        looked: list[str] = []
        nodes = StorageNodes(
            evolve(self.upstream.agents, look=lambda: looked.append("once")), self.clock, "test", 1.0, 1
        )
        self.patch(self.node, "_storage_nodes", nodes)
        self.node.look()
        self.assertEqual(looked, ["once"])

    def test_a_download_that_has_failed_is_not_joined(self) -> None:
        """
        Nobody gets bytes from a download that puts its file away.
        """
        self.upstream.nodes[0].faults.always = Fault(cut=Cut(100_000, Ending.STALL))
        self.successResultOf(self.begin(self.open()))
        download = self.downloads.get("7")
        assert download is not None
        self.assertIsNotNone(self.node.coming("7"))
        download.error = NoRoom("full")
        self.assertTrue(download.ready(0))
        self.assertIsNone(self.node.coming("7"))
        self.assertIsNone(self.node.join_now("7", WHOLE))

    def test_finding_starts_nothing(self) -> None:
        """
        Who only wants to know does not make a storage node work.
        """
        self.successResultOf(self.find())
        self.upstream.flush()
        self.assertEqual(self.upstream.requests, [])

    def test_not_there(self) -> None:
        """
        What the catalogue says against an object is raised, and "not ours" comes before "not accepted".
        """
        self.failureResultOf(self.find("8"), ObjectNotFound)
        listing = self.catalogue.listing
        self.catalogue.listing = evolve(listing, object=evolve(listing.object, accepted=False))
        self.failureResultOf(self.find(), ObjectNotAccepted)
        self.catalogue.listing = evolve(self.catalogue.listing, distributed_here=False)
        self.failureResultOf(self.find(), ObjectNotDistributed)
        self.catalogue.works = False
        self.failureResultOf(self.find(), CatalogueUnavailable)

    # Opening.

    def test_a_failed_download_is_gone_on_from(self) -> None:
        """
        After a download that has failed, the next reader starts another one.
        """
        self.upstream.nodes[0].faults.next.append(Fault(status=500))
        self.failureResultOf(self.begin(self.open()), SourcesFailed)
        again = self.open()
        self.assertEqual(again.cache, CacheState.MISS)
        self.successResultOf(self.begin(again))

    def test_patience(self) -> None:
        """
        A reader who has waited too long without a byte is told to come back, and the download goes on without it.
        """
        self.upstream.nodes[0].faults.next.append(Fault(hang=True))
        self.upstream.client.timeout_s = 10 * PATIENCE_S
        opened = self.open()
        begun = self.begin(opened)
        self.clock.advance(PATIENCE_S - 1)
        self.assertNoResult(begun)
        self.clock.advance(2)
        self.failureResultOf(begun, Overloaded)

    def test_the_file_has_vanished(self) -> None:
        """
        An object whose file somebody has deleted is fetched again.
        """
        self.stored()
        (self.directory / "assets" / "7").unlink()
        opened = self.open()
        self.assertEqual(opened.cache, CacheState.MISS)
        self.successResultOf(self.begin(opened))
        self.assertEqual(len(self.upstream.requests), 2)

    def test_a_disk_that_does_not_open(self) -> None:
        """
        An object whose file cannot be opened is passed through, and stays where it is.
        """
        self.stored()
        with mock.patch.object(os, "open", side_effect=OSError(errno.EIO, "Input/output error")):
            opened = self.open()
        self.assertTrue(opened.external)
        self.successResultOf(self.begin(opened))
        self.assertTrue(self.passed(opened) == CONTENT)
        self.assertIsNotNone(self.store.get("7"))

    # Passing through.

    def test_too_large(self) -> None:
        """
        An object above the largest that is kept is passed through to each, and nothing of it stays.
        """
        self.build(largest_cached=len(CONTENT) - 1)
        for _ in range(2):
            opened = self.open()
            self.assertEqual((opened.cache, opened.external), (CacheState.MISS, True))
            self.successResultOf(self.begin(opened))
            self.assertTrue(self.passed(opened) == CONTENT)
        self.assertEqual((self.upstream.ranges, self.store.used), ([None, None], 0))

    def test_a_range_of_what_is_too_large(self) -> None:
        """
        A range of it is asked for as a range; each of several ranges is.
        """
        self.build(largest_cached=len(CONTENT) - 1)
        opened = self.open()
        first, second = ByteRange(10, 20), ByteRange(100, 200)
        self.successResultOf(self.begin(opened, first))
        self.assertEqual(self.passed(opened, first), CONTENT[10:20])
        self.upstream.flush()
        waiting = Deferred.fromCoroutine(opened.passage(second))
        self.upstream.flush()
        transport = StringTransport()
        self.successResultOf(self.successResultOf(waiting).send_to(transport))
        self.assertEqual(transport.value(), CONTENT[100:200])
        self.assertEqual(self.upstream.ranges, ["bytes=10-19", "bytes=100-199"])

    def test_no_room(self) -> None:
        """
        When the store is too small, the answer passes through, and does not hang.
        """
        self.build(capacity=len(CONTENT) - 1)
        opened = self.open()
        self.successResultOf(self.begin(opened))
        self.assertTrue(opened.external)
        self.assertTrue(self.passed(opened) == CONTENT)

    def test_nothing_of_an_empty_object_is_passed(self) -> None:
        """
        An empty object needs neither room nor a storage node.
        """
        self.build(capacity=0)
        self.upstream = Upstream(self, self.clock, b"")
        self.catalogue.listing = self.upstream.listing
        opened = self.open()
        self.successResultOf(self.begin(opened, None))
        self.assertEqual((opened.type, self.upstream.requests), ("application/octet-stream", []))
