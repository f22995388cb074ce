"""
Tests for L{distributor.operations.explain}.
"""

from __future__ import annotations

import json

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from distributor.model import BLAKE3_256, ContentHash, DataObject, Listing
from distributor.operations.explain import Coming, Facts, explanation
from distributor.operations.scrub import Bad
from distributor.transfer import Progress
from tests.operations.operated import Deletion, HeldObject

HASH = ContentHash(BLAKE3_256, bytes(32))
LISTING = Listing(DataObject("7", 100, HASH, "video/mp4"), ())
PROGRESS = Progress(
    id="7", state="filling", size=100, present=30, rate=1.0, readers=2, sources=("x",), seconds_left=70.0
)
BAD = Bad("7", str(HASH), "other", True, 1.0)
COMPLETE = HeldObject("7", 100, str(HASH), "video/mp4", "complete", ((0, 100),))
ABSENT = Facts(object_id="7", listing=LISTING)


class ExplanationTests(SynchronousTestCase):
    """
    All there is to say of one object.
    """

    def said(self, facts: Facts, *names: str) -> list[object]:
        told = explanation(facts)
        json.dumps(told)
        return [told[name] for name in names]

    def test_states(self) -> None:
        """
        What there is of it, and which bytes.
        """
        partial = evolve(COMPLETE, state="partial", extents=((0, 10), (20, 30)))
        unverified = evolve(COMPLETE, state="unverified")
        coming = Coming(PROGRESS, ((0, 30),))
        for facts, state, extents, verification in (
            (ABSENT, "absent", [], "none"),
            (evolve(ABSENT, held=unverified), "unverified", [[0, 100]], "pending"),
            (evolve(ABSENT, held=partial), "partial", [[0, 10], [20, 30]], "pending"),
            (evolve(ABSENT, coming=coming), "downloading", [[0, 30]], "in progress"),
            (evolve(ABSENT, held=partial, coming=coming), "downloading", [[0, 30]], "in progress"),
            (evolve(ABSENT, held=COMPLETE), "complete", [[0, 100]], "verified"),
            (evolve(ABSENT, held=evolve(COMPLETE, size=0, extents=())), "complete", [], "verified"),
        ):
            self.assertEqual(self.said(facts, "state", "extents", "verification"), [state, extents, verification])

    def test_complete_while_the_download_ends(self) -> None:
        """
        What the store has is complete, even while its download is being put away.
        """
        facts = evolve(ABSENT, held=COMPLETE, coming=Coming(PROGRESS, ((0, 100),)))
        self.assertEqual(self.said(facts, "state", "readers"), ["complete", 2])

    def test_catalogue(self) -> None:
        """
        What the catalogue says, in its own words, and whether and why that makes it ours.
        """
        said = {"ours": False, "why": "other buckets", "ageS": 3.5, "bag": "b", "object": {}, "storageNodes": []}
        facts = evolve(ABSENT, catalogue=said)
        self.assertEqual(self.said(facts, "distributedHere", "why"), [False, "other buckets"])
        self.assertEqual(
            self.said(facts, "catalogue"),
            [
                {
                    "size": 100,
                    "contentHash": str(HASH),
                    "type": "video/mp4",
                    "accepted": True,
                    "ageS": 3.5,
                    "bag": "b",
                }
            ],
        )

    def test_catalogue_of_few_words(self) -> None:
        """
        Where it does not say whose it is, its listing does.
        """
        facts = evolve(ABSENT, listing=evolve(LISTING, distributed_here=False))
        self.assertEqual(self.said(facts, "distributedHere", "why"), [False, None])
        said = {"ours": None, "why": "it is not known yet"}
        self.assertEqual(self.said(evolve(facts, catalogue=said), "distributedHere"), [False])

    def test_no_catalogue(self) -> None:
        """
        Where the catalogue cannot say anything, that is what is said; and what is here is told all the same.
        """
        facts = Facts(object_id="7", trouble="the catalogue cannot be reached", held=COMPLETE, readers=3)
        self.assertEqual(
            self.said(facts, "catalogue", "distributedHere", "size", "readers"),
            [{"error": "the catalogue cannot be reached"}, None, 100, 3],
        )
        self.assertEqual(self.said(Facts(object_id="7"), "size"), [None])

    def test_bad(self) -> None:
        """
        What the last verification found stands there, even when a right copy has come since.
        """
        self.assertEqual(self.said(evolve(ABSENT, bad=BAD), "verification", "foundBad"), ["none", BAD.shown()])
        self.assertEqual(self.said(evolve(ABSENT, held=COMPLETE, bad=BAD), "verification"), ["verified"])
        stays = evolve(ABSENT, held=COMPLETE, bad=evolve(BAD, removed=False))
        self.assertEqual(self.said(stays, "verification"), ["bad"])

    def test_the_rest(self) -> None:
        """
        Storage nodes and the last eviction come as they are.
        """
        facts = evolve(ABSENT, storage_nodes=({"endpoint": "x", "rank": 1},), last_eviction=Deletion("room", 12.5))
        self.assertEqual(
            self.said(facts, "storageNodes", "lastEviction"),
            [[{"endpoint": "x", "rank": 1}], {"at": 12.5, "reason": "room"}],
        )

    def test_readers(self) -> None:
        """
        Who reads a file is not always known; that nobody reads what is not here is.
        """
        for facts, readers in (
            (evolve(ABSENT, held=COMPLETE, readers=3), 3),
            (evolve(ABSENT, held=COMPLETE), None),
            (ABSENT, 0),
            (evolve(ABSENT, coming=Coming(PROGRESS, ())), 2),
        ):
            self.assertEqual(self.said(facts, "readers"), [readers])
