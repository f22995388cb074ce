"""
Tests for L{distributor.transfer.patience}.
"""

from __future__ import annotations

from itertools import pairwise

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from distributor.model import BLAKE3_256, CatalogueUnavailable, ContentHash, DataObject, Listing, ObjectNotFound
from distributor.transfer.patience import FIRST_DELAY_S, LONGEST_DELAY_S, PatientLookup

LISTING = Listing(DataObject("7", 1, ContentHash(BLAKE3_256, bytes(32))), ())


class PatientLookupTests(SynchronousTestCase):
    """
    L{PatientLookup}.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.asked: list[float] = []
        self.answer: Listing | Exception = LISTING

    async def lookup(self, object_id: str) -> Listing:
        """
        The catalogue.
        """
        self.asked.append(self.clock.seconds())
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def ask(self) -> Deferred[Listing]:
        """
        Ask it patiently.
        """
        return Deferred.fromCoroutine(PatientLookup(self.lookup, self.clock)("7"))

    def test_at_once(self) -> None:
        """
        What it says is given on, whether it is a listing or that there is none.
        """
        self.assertIs(self.successResultOf(self.ask()), LISTING)
        self.answer = ObjectNotFound("7")
        self.failureResultOf(self.ask(), ObjectNotFound)
        self.assertEqual((self.asked, self.clock.getDelayedCalls()), ([0, 0], []))

    def test_waits_longer_each_time(self) -> None:
        """
        While it cannot answer, it is asked again and again, and not more than once a minute in the end.
        """
        self.answer = CatalogueUnavailable("away")
        asking = self.ask()
        self.clock.pump([1] * 300)
        gaps = [later - earlier for earlier, later in pairwise(self.asked)]
        self.assertEqual(gaps, [FIRST_DELAY_S, 10, 20, 40, LONGEST_DELAY_S, LONGEST_DELAY_S, LONGEST_DELAY_S])
        self.answer = LISTING
        self.clock.advance(LONGEST_DELAY_S)
        self.assertIs(self.successResultOf(asking), LISTING)

    def test_cancelled(self) -> None:
        """
        Who does not want to wait leaves nothing behind.
        """
        self.answer = CatalogueUnavailable("away")
        asking = self.ask()
        asking.cancel()
        self.failureResultOf(asking, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])
