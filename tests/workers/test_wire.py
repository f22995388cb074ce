"""
Tests for L{distributor.workers.wire}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail
from twisted.protocols.amp import AMP
from twisted.python.failure import Failure
from twisted.test.iosim import connectedServerAndClient
from twisted.trial.unittest import SynchronousTestCase

from distributor.cache import Entry
from distributor.model import (
    BLAKE3_256,
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
from distributor.workers.wire import (
    ERRORS,
    PIECE,
    Crowd,
    Find,
    News,
    dump_entries,
    dump_found,
    dump_news,
    dump_ranges,
    load_entries,
    load_found,
    load_news,
    load_ranges,
)

ids = st.integers(0, 10**20 - 1).map(str)
sizes = st.integers(0, 2**63 - 1)
texts = st.text(max_size=100)
hashes = st.binary(min_size=32, max_size=32).map(lambda digest: ContentHash(BLAKE3_256, digest))
objects = st.builds(DataObject, ids, sizes, hashes, st.none() | texts, st.booleans())
nodes = st.lists(st.builds(StorageNode, texts, texts, st.booleans()), max_size=5).map(tuple)
entries = st.tuples(ids, st.none() | st.builds(Entry, sizes, hashes.map(str), st.none() | texts))


@st.composite
def found_objects(draw: st.DrawFn) -> Found:
    """
    What is found, with its storage nodes or without.
    """
    object = draw(objects)
    listing = Listing(object, draw(nodes)) if draw(st.booleans()) else None
    took = draw(st.none() | st.floats(0, 1e6))
    return Found(object, draw(st.sampled_from(CacheState)), draw(st.none() | texts), listing, took)


def fault_at(endpoint: str) -> Fault:
    return Fault("7", endpoint, "0", FaultKind.WRONG_HASH, "gWx", "gWy", 3, 1.5)


class ValuesTests(SynchronousTestCase):
    """
    What is written is read again.
    """

    @given(found_objects())
    def test_found(self, found: Found) -> None:
        """
        An object, and all that is known of it.
        """
        self.assertEqual(load_found(dump_found(found)), found)

    @given(st.lists(entries))
    def test_entries(self, told: list[tuple[str, Entry | None]]) -> None:
        """
        Complete objects, and those that are no more.
        """
        self.assertEqual([each for piece in dump_entries(told) for each in load_entries(piece)], told)

    def test_many_entries_go_in_pieces(self) -> None:
        """
        Each of them is small enough for AMP.
        """
        told: list[tuple[str, Entry | None]] = [(str(n), Entry(n, "g" * 46, "video/mp4")) for n in range(5000)]
        pieces = list(dump_entries(told))
        self.assertGreater(len(pieces), 5)
        self.assertLess(max(map(len, pieces)), PIECE + 100)

    @given(st.lists(st.tuples(st.integers(0, 1000), st.integers(1, 1000))))
    def test_ranges(self, runs: list[tuple[int, int]]) -> None:
        """
        What is going to be read.
        """
        ranges = tuple(ByteRange(start, start + length) for start, length in runs)
        self.assertEqual(load_ranges(dump_ranges(ranges)), ranges)

    @given(st.builds(Fault, ids, texts, texts, st.sampled_from(FaultKind), texts, texts, sizes, st.floats(0, 1e12)))
    def test_news(self, fault: Fault) -> None:
        """
        What a worker has to say; among it evidence against a storage node.
        """
        news = News(
            touched={"7": 2},
            held=[("7", True), ("7", False)],
            faults=[fault],
            counts={"bytes sent": 5},
            crowd=Crowd(2, 3),
        )
        [piece] = dump_news(news)
        self.assertEqual(load_news(piece), news)

    def test_no_news(self) -> None:
        """
        Nothing to say is not said.
        """
        self.assertEqual(list(dump_news(News())), [])

    def test_much_news_goes_in_pieces(self) -> None:
        """
        Each of them is small enough for AMP, whatever the name of a storage node is; all come in their order. What no
        message could hold is left out.
        """
        long = [fault_at("http://node.example/" + "a" * length) for length in (20_000, 70_000, 20_001, 20_002)]
        ids = [str(10**19 + number) for number in range(3000)]
        news = News(
            touched=dict.fromkeys(ids, 1),
            held=[(each, True) for each in ids],
            faults=long,
            counts={"bytes sent": 5},
            crowd=Crowd(2, 3),
        )
        pieces = list(dump_news(news))
        self.assertLess(max(map(len, pieces)), PIECE + 100)
        loaded = [load_news(piece) for piece in pieces]
        self.assertEqual([each for some in loaded for each in some.touched], ids)
        self.assertEqual([each for some in loaded for each in some.held], news.held)
        self.assertEqual([each for some in loaded for each in some.faults], [long[0], *long[2:]])
        self.assertEqual([some.counts for some in loaded if some.counts], [news.counts])
        self.assertEqual([some.crowd for some in loaded if some.crowd is not None], [news.crowd])


class Failing(AMP):
    """
    Answers with an error.
    """

    error: Exception

    @Find.responder
    def find(self, object_id: str) -> Deferred[object]:
        return fail(self.error)


class ErrorsTests(SynchronousTestCase):
    """
    What goes wrong at the other end.
    """

    def test_each_is_itself(self) -> None:
        """
        Every error of ours arrives as what it is, with its words.
        """
        self.assertIn(DistributorError, ERRORS)
        self.assertGreater(len(ERRORS), 8)
        for kind in ERRORS:
            client, server, pump = connectedServerAndClient(Failing, AMP)
            server.error = kind("the words")
            failures: list[Failure] = []
            # AMP drops the connection where nobody waits for a failure.
            client.callRemote(Find, object_id="7").addErrback(failures.append)
            pump.flush()
            [failure] = failures
            self.assertIs(failure.type, kind)
            self.assertEqual(str(failure.value), "the words")
