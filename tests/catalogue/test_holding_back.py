"""
Tests for L{distributor.catalogue.holding_back}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from distributor.catalogue.holding_back import Ours, chosen, refreshed
from distributor.catalogue.object_ids import ObjectIds

NUMBERS = st.sets(st.integers(0, 30))


def of(numbers: set[int] | range) -> ObjectIds:
    """
    A set of ids.
    """
    return ObjectIds.of(map(str, numbers))


def numbers(ours: Ours) -> set[int]:
    """
    What is ours.
    """
    return set(map(int, ours.ids))


class RefreshedTests(SynchronousTestCase):
    """
    What one refresh after another makes of what is ours.
    """

    def after(self, *refreshes: set[int] | range, start: set[int] | range = range(100)) -> set[int]:
        """
        What is ours after some refreshes.
        """
        ours = Ours(of(start))
        for found in refreshes:
            ours = refreshed(ours, of(found))
        return numbers(ours)

    def test_small_losses_and_gains(self) -> None:
        """
        A loss of up to a tenth takes effect at once, as do gains.
        """
        self.assertEqual(self.after(range(10, 100)), set(range(10, 100)))
        self.assertEqual(self.after(range(200)), set(range(200)))
        self.assertEqual(self.after(range(10, 110)), set(range(10, 110)))

    def test_large_losses(self) -> None:
        """
        A loss of more than a tenth takes effect when the next two refreshes agree, and no sooner.
        """
        less = range(11, 100)
        self.assertEqual(self.after(less), set(range(100)))
        self.assertEqual(self.after(less, less), set(range(100)))
        self.assertEqual(self.after(less, less, less), set(less))

    def test_empty(self) -> None:
        """
        One empty refresh, or two, change nothing; three in a row mean it.
        """
        self.assertEqual(self.after(set(), set()), set(range(100)))
        self.assertEqual(self.after(set(), set(), range(100), set(), set()), set(range(100)))
        self.assertEqual(self.after(set(), set(), set()), set())

    def test_gains_meanwhile(self) -> None:
        """
        What is new is ours at once, also in a refresh that is held back, and stays so.
        """
        self.assertEqual(self.after({200}), {*range(100), 200})
        self.assertEqual(self.after({200}, {200, 201}, {200, 201}), {200, 201})

    def test_disagreement(self) -> None:
        """
        Refreshes that lack different things do not agree; and what one of the three had remains.
        """
        low, high = range(50), range(50, 100)
        self.assertEqual(self.after(low, high, low, high, low), set(range(100)))
        self.assertEqual(self.after(low, low, range(40)), set(low))
        self.assertEqual(self.after(low, low, range(60)), set(range(60)))

    def test_few(self) -> None:
        """
        Of few objects, one is more than a tenth.
        """
        self.assertEqual(self.after({1}, start={1, 2}), {1, 2})
        self.assertEqual(self.after({1}, {1}, {1}, start={1, 2}), {1})

    def test_behind(self) -> None:
        """
        A query node that has fallen behind makes nobody lose anything, as often as it says so; what it has, counts.
        """
        ours = Ours(of(range(100)))
        for _ in range(5):
            ours = refreshed(ours, of({*range(95), 200}), behind=True)
        self.assertEqual(numbers(ours), {*range(100), 200})
        self.assertEqual(numbers(refreshed(ours, of(range(95)))), set(range(95)))

    @given(NUMBERS, st.lists(NUMBERS, max_size=8))
    def test_losses(self, start: set[int], refreshes: list[set[int]]) -> None:
        """
        Whatever comes: what was found is ours; what is lost was missing from the last refresh, and if that was more
        than a tenth, from the last three.
        """
        ours = Ours(of(start))
        for count, found in enumerate(refreshes):
            before, ours = ours, refreshed(ours, of(found))
            self.assertLessEqual(found, numbers(ours))
            self.assertLessEqual(numbers(ours), numbers(before) | found)
            lost = numbers(before) - numbers(ours)
            self.assertFalse(lost & found)
            if 10 * len(lost) > len(before.ids):
                last = refreshes[max(0, count - 2) : count + 1]
                self.assertEqual(len(last), 3)
                self.assertFalse(lost & set().union(*last))
            self.assertLessEqual(set(map(int, ours.doubted)), numbers(ours))

    @given(NUMBERS, NUMBERS)
    def test_three_alike(self, start: set[int], found: set[int]) -> None:
        """
        Three refreshes alike are the truth, whatever it was before; and another one changes nothing.
        """
        self.assertEqual(self.after(found, found, found, start=start), found)
        self.assertEqual(self.after(found, found, found, found, start=start), found)


class ChosenTests(SynchronousTestCase):
    """
    The first refresh for other buckets.
    """

    def test_at_once(self) -> None:
        """
        The operator wants other objects, and gets them at once.
        """
        self.assertEqual(numbers(chosen(Ours(of(range(100))), of({7}))), {7})

    def test_nothing(self) -> None:
        """
        Buckets with nothing in them may be a slip of the pen, and are held back.
        """
        ours = chosen(Ours(of(range(100))), of(set()))
        self.assertEqual(numbers(ours), set(range(100)))
        self.assertEqual(numbers(refreshed(refreshed(ours, of(set())), of(set()))), set())
