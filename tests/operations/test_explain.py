"""
Tests for L{distributor.operations.explain}.
"""

from __future__ import annotations

import json

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from distributor.cache import Entry
from distributor.cache.inventory import Partial
from distributor.model import BLAKE3_256, ContentHash, DataObject, Listing
from distributor.operations.explain import Coming, Facts, explanation
from distributor.operations.scrub import Bad
from distributor.transfer import Progress

HASH = ContentHash(BLAKE3_256, bytes(32))
LISTING = Listing(DataObject("7", 100, HASH, "video/mp4"), ())
PROGRESS = Progress(
    id="7", state="filling", size=100, present=30, rate=1.0, readers=2, sources=("x",), seconds_left=70.0
)
BAD = Bad("7", str(HASH), "other", True, 1.0)
ENTRY = Entry(100, str(HASH), "video/mp4")
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
        partial = Partial(100, str(HASH), None, ((0, 10), (20, 30)), 0.0)
        for facts, state, extents, verification in (
            (ABSENT, "absent", [], "none"),
            (evolve(ABSENT, unverified=100), "unverified", [[0, 100]], "pending"),
            (evolve(ABSENT, unfinished=partial), "partial", [[0, 10], [20, 30]], "pending"),
            (evolve(ABSENT, coming=Coming(PROGRESS, ((0, 30),))), "downloading", [[0, 30]], "in progress"),
            (evolve(ABSENT, entry=ENTRY), "complete", [[0, 100]], "verified"),
            (evolve(ABSENT, entry=evolve(ENTRY, size=0)), "complete", [], "verified"),
        ):
            self.assertEqual(self.said(facts, "state", "extents", "verification"), [state, extents, verification])

    def test_complete_while_the_download_ends(self) -> None:
        """
        What the store has is complete, even while its download is being put away.
        """
        facts = evolve(ABSENT, entry=ENTRY, coming=Coming(PROGRESS, ((0, 100),)))
        self.assertEqual(self.said(facts, "state", "readers"), ["complete", 2])

    def test_catalogue(self) -> None:
        """
        What the catalogue says, in its own words, and whether and why that makes it ours.
        """
        facts = evolve(ABSENT, catalogue={"ours": False, "why": "other buckets", "ageS": 3.5, "bag": "b"})
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

    def test_no_catalogue(self) -> None:
        """
        Where the catalogue cannot say anything, that is what is said; and what is here is told all the same.
        """
        facts = Facts(object_id="7", trouble="the catalogue cannot be reached", entry=ENTRY, readers=3)
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
        self.assertEqual(self.said(evolve(ABSENT, entry=ENTRY, bad=BAD), "verification"), ["verified"])
        stays = evolve(ABSENT, entry=ENTRY, bad=evolve(BAD, removed=False))
        self.assertEqual(self.said(stays, "verification"), ["bad"])

    def test_the_rest(self) -> None:
        """
        Storage nodes and the last eviction come as they are.
        """
        facts = evolve(ABSENT, storage_nodes=({"endpoint": "x", "rank": 1},), last_eviction=12.5)
        self.assertEqual(self.said(facts, "storageNodes", "lastEviction"), [[{"endpoint": "x", "rank": 1}], 12.5])
