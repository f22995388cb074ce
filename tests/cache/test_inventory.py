"""
Tests for L{distributor.cache.inventory}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from distributor.cache.inventory import Inventory
from distributor.cache.items import Batch, Entry, Item, Partial, Unverified
from tests.cache.stores import NOW

PARTIAL = Partial(10, "gW", None, ((0, 2), (5, 6)), NOW)

items = st.one_of(
    st.builds(Entry, st.integers(0, 9), st.just("gW"), st.none()),
    st.integers(0, 9).map(lambda size: Partial(9, "gW", None, ((0, size),), NOW)),
    st.builds(Unverified, st.integers(0, 9)),
)


def entry(last_access: float = NOW) -> Entry:
    """
    A complete object of ten bytes.
    """
    return Entry(10, "gW", None, last_access)


class InventoryTests(SynchronousTestCase):
    """
    L{Inventory}.
    """

    def setUp(self) -> None:
        self.inventory = Inventory(100)

    def test_empty(self) -> None:
        """
        An empty store has room for all that it may hold.
        """
        self.assertEqual((self.inventory.used, self.inventory.reserved, self.inventory.room), (0, 0, 100))
        self.assertIsNone(self.inventory.get("7"))
        self.assertIsNone(self.inventory.take("7"))

    def test_only_complete_objects_are_served(self) -> None:
        """
        Unfinished and unverified ones are counted, and not to be had.
        """
        self.inventory.keep("7", entry())
        self.inventory.keep("8", PARTIAL)
        self.inventory.keep("9", Unverified(4))
        self.assertEqual([self.inventory.get(each) for each in "789"], [entry(), None, None])
        self.assertEqual((self.inventory.entry_count, self.inventory.partial_count), (1, 1))
        self.assertEqual(self.inventory.unverified, {"9": 4})
        self.assertEqual(self.inventory.used, 10 + 3 + 4)
        self.assertEqual(self.inventory.complete(), ["7"])
        self.assertEqual(self.inventory.complete_files(), ["7", "9"])
        self.assertEqual(self.inventory.occupied(["9", "7", "10"]), 4 + 10)

    def test_order(self) -> None:
        """
        The least recently wanted can be spared first, verified or not.
        """
        for object_id, item in (("1", entry()), ("2", PARTIAL), ("3", Unverified(4)), ("4", entry())):
            self.inventory.keep(object_id, item)
        self.assertTrue(self.inventory.touch("1", NOW))
        self.assertEqual(list(self.inventory.candidates()), [("2", 3), ("3", 4), ("4", 10), ("1", 10)])

    def test_touch_what_is_not_served(self) -> None:
        """
        Only a complete object can be touched.
        """
        self.inventory.keep("8", PARTIAL)
        self.assertFalse(self.inventory.touch("8", NOW))
        self.assertFalse(self.inventory.touch("9", NOW))

    @given(st.dictionaries(st.integers(0, 9).map(str), items))
    def test_many_at_once(self, kept: dict[str, Item]) -> None:
        """
        Taking in many at once comes to the same as one after another.
        """
        together, one_by_one = Inventory(100), Inventory(100)
        partials = {object_id: item for object_id, item in kept.items() if isinstance(item, Partial)}
        unverified = {object_id: item for object_id, item in kept.items() if isinstance(item, Unverified)}
        together.keep_all(Batch(kept, partials, unverified, sum(item.occupied for item in kept.values())))
        for object_id, item in kept.items():
            one_by_one.keep(object_id, item)
        for inventory in (together, one_by_one):
            self.assertEqual(list(inventory.items.items()), list(kept.items()))
        self.assertEqual(together.used, one_by_one.used)
        self.assertEqual(together.unverified, one_by_one.unverified)
        self.assertEqual(together.interrupted(), one_by_one.interrupted())
        self.assertEqual(together.entry_count, one_by_one.entry_count)

    def test_disowned(self) -> None:
        """
        What other nodes distribute can be spared before all else, until it is this node's again.
        """
        for object_id in "123":
            self.inventory.keep(object_id, entry())
        self.inventory.disown(["3", "9"])
        self.assertEqual([object_id for object_id, _ in self.inventory.candidates()], ["3", "1", "2"])
        self.inventory.touch("3", NOW)
        self.assertEqual([object_id for object_id, _ in self.inventory.candidates()], ["3", "1", "2"])
        self.inventory.own(["3", "8"])
        self.assertEqual([object_id for object_id, _ in self.inventory.candidates()], ["1", "2", "3"])

    def test_what_another_program_tells(self) -> None:
        """
        Of an unverified file it is all that is known; of a complete object it counts if it is newer.
        """
        self.inventory.keep("7", entry(NOW))
        self.inventory.keep("8", PARTIAL)
        self.inventory.keep("9", Unverified(4, NOW))
        for object_id, at in (("7", NOW - 1), ("8", NOW + 1), ("9", NOW - 1), ("10", NOW)):
            self.inventory.tell(object_id, at, 5)
            self.inventory.tell_type(object_id, "video/mp4")
        self.assertEqual([self.inventory.items[each].last_access for each in "789"], [NOW, 0.0, NOW - 1])
        self.assertEqual(self.inventory.items["9"], Unverified(4, type="video/mp4", hits=5))
        self.assertEqual(self.inventory.unverified_item("9"), self.inventory.items["9"])
        self.assertIsNone(self.inventory.unverified_item("7"))
        self.assertEqual(self.inventory.items["7"].type, None)
        self.inventory.tell("7", NOW + 1, 5)
        self.assertEqual(self.inventory.items["7"].last_access, NOW + 1)

    def test_put_in_order(self) -> None:
        """
        What is touched meanwhile, or comes, is last, though it may have had its turn before, or have it later.
        """
        for object_id in "4321":
            self.inventory.keep(object_id, entry())
        self.assertEqual(self.inventory.begin_order(), ["4", "3", "2", "1"])
        self.inventory.touch("3", NOW)
        self.inventory.order(["1", "2"])
        self.inventory.keep("5", entry())
        self.inventory.touch("1", NOW)
        self.inventory.order(["3", "4", "6"])
        self.inventory.touch("3", NOW)
        self.inventory.end_order()
        self.assertEqual(list(self.inventory.items), ["2", "4", "5", "1", "3"])

    def test_watched(self) -> None:
        """
        Who watches is told of complete objects that come and go, and of nothing else.
        """
        told: list[str] = []
        self.inventory.watch(told.append)
        self.inventory.keep("7", entry())
        self.inventory.keep("8", PARTIAL)
        self.inventory.keep("9", Unverified(4))
        self.inventory.touch("7", NOW)
        for object_id in "789":
            self.inventory.take(object_id)
        self.assertEqual(told, ["7", "7"])
        self.inventory.unwatch(told.append)
        self.inventory.keep("7", entry())
        self.assertEqual((told, self.inventory.complete()), (["7", "7"], ["7"]))

    @given(st.dictionaries(st.integers(0, 9).map(str), items), st.sets(st.integers(0, 9).map(str)))
    def test_taking_is_the_opposite_of_keeping(self, kept: dict[str, Item], taken: set[str]) -> None:
        """
        What is left counts, and nothing else.
        """
        inventory = Inventory(100)
        for object_id, item in kept.items():
            inventory.keep(object_id, item)
        for object_id in taken:
            self.assertEqual(inventory.take(object_id), kept.pop(object_id, None))
        self.assertEqual(inventory.used, sum(item.occupied for item in kept.values()))
        self.assertEqual(inventory.kept, inventory.used)
        self.assertEqual(dict(inventory.candidates()), {key: item.occupied for key, item in kept.items()})
        self.assertEqual(inventory.entry_count, sum(isinstance(item, Entry) for item in kept.values()))
        self.assertEqual(inventory.partial_count, sum(isinstance(item, Partial) for item in kept.values()))

    @given(st.integers(0, 50), st.data())
    def test_writing_changes_no_room(self, size: int, data: st.DataObject) -> None:
        """
        An allocation takes its whole size, however much of it has been written, until it ends.
        """
        inventory = Inventory(100)
        written = data.draw(st.integers(0, size))
        inventory.reserve(size, written)
        self.assertEqual((inventory.used, inventory.reserved, inventory.room), (written, size - written, 100 - size))
        later = data.draw(st.integers(0, size))
        inventory.grew(later - written)
        self.assertEqual((inventory.used, inventory.reserved, inventory.room), (later, size - later, 100 - size))
        inventory.release(size, later)
        self.assertEqual((inventory.used, inventory.reserved, inventory.room), (0, 0, 100))

    def test_what_leaves_makes_room_and_what_is_held_does_not(self) -> None:
        """
        Both are still on disk; one will soon be gone, of the other nobody knows.
        """
        self.inventory.leave(10)
        self.inventory.hold(20)
        self.assertEqual((self.inventory.used, self.inventory.room), (30, 80))
