"""
Tests for L{distributor.cache.reconcile}.
"""

from __future__ import annotations

from attrs import evolve, frozen
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from distributor.cache import Entry, Row
from distributor.cache.items import Batch, Item, Partial, Unverified
from distributor.cache.reconcile import believe, compare, leftovers
from tests.cache.stores import NOW, raw

COMPLETE = Row("7", 10, "gW7", "video/mp4", "complete", (), NOW, NOW)
PARTIAL = Row("7", 10, "gW7", "video/mp4", "partial", ((0, 2), (4, 6)), NOW, NOW)

ids = st.integers(0, 4).map(str)
file_sizes = st.dictionaries(ids, st.integers(0, 4))
row_lists = st.dictionaries(
    ids,
    st.builds(
        lambda size, state, edges: evolve(
            COMPLETE, size=size, state=state, extents=((min(edges), max(edges)),) if min(edges) < max(edges) else ()
        ),
        st.integers(0, 4),
        st.sampled_from(["complete", "partial"]),
        st.tuples(st.integers(0, 5), st.integers(0, 5)),
    ),
).map(lambda rows: [evolve(row, id=object_id) for object_id, row in rows.items()])


@frozen
class Reconciled:
    """
    What comes of rows and files.
    """

    items: dict[str, Item]
    stale_rows: list[str]
    useless_partials: list[str]
    overlong_partials: dict[str, int]


def check(batch: Batch) -> None:
    """
    What is said of many at once must agree with each of them.
    """
    assert batch.occupied == sum(item.occupied for item in batch.items.values())
    for kind, some in ((Partial, batch.partials), (Unverified, batch.unverified)):
        assert some == {object_id: item for object_id, item in batch.items.items() if isinstance(item, kind)}


def reconcile(rows: list[Row], complete: dict[str, int], partial: dict[str, int]) -> Reconciled:
    """
    Step by step, as a start goes.
    """
    believed = believe(map(raw, rows), partial)
    items: dict[str, Item] = {**believed.batch.items}
    left = leftovers(items, partial)
    awaited = {object_id for object_id, item in items.items() if isinstance(item, Entry)}
    compared = compare([(object_id, size, NOW) for object_id, size in complete.items()], items, awaited)
    dropped = [*compared.replaced, *awaited]
    useless = [each for each in compared.replaced if isinstance(items[each], Partial)]
    for object_id in dropped:
        del items[object_id]
    items.update(compared.batch.items)
    for batch in (believed.batch, compared.batch):
        check(batch)
    return Reconciled(items, believed.stale + dropped, left.useless + useless, left.overlong)


class ReconcileTests(SynchronousTestCase):
    """
    L{believe}, L{leftovers} and L{compare}.
    """

    def assert_found(
        self,
        rows: list[Row],
        complete: dict[str, int],
        partial: dict[str, int],
        items: dict[str, Item],
        stale: list[str],
        useless: list[str],
    ) -> None:
        found = reconcile(rows, complete, partial)
        self.assertEqual((found.items, found.stale_rows, found.useless_partials), (items, stale, useless))

    def test_complete(self) -> None:
        """
        A row and a file of its size are an object.
        """
        self.assert_found([COMPLETE], {"7": 10}, {}, {"7": Entry(10, "gW7", "video/mp4")}, [], [])

    def test_order(self) -> None:
        """
        Objects stay in the order of their rows.
        """
        rows = [evolve(COMPLETE, id=each) for each in ("3", "1", "2")]
        found = reconcile(rows, {"1": 10, "2": 10, "3": 10}, {})
        self.assertEqual(list(found.items), ["3", "1", "2"])

    def test_row_without_file(self) -> None:
        """
        The row goes.
        """
        self.assert_found([COMPLETE], {}, {}, {}, ["7"], [])

    def test_wrong_size(self) -> None:
        """
        The row goes, and the file is one of which nothing is known.
        """
        self.assert_found([COMPLETE], {"7": 9}, {}, {"7": Unverified(9)}, ["7"], [])

    def test_file_without_row(self) -> None:
        """
        Nothing is known of a file that Argus has left.
        """
        self.assert_found([], {"7": 9}, {}, {"7": Unverified(9)}, [], [])

    def test_partial(self) -> None:
        """
        An unfinished file that holds what its row says can be gone on with, also when it holds more.
        """
        partial = Partial(10, "gW7", "video/mp4", ((0, 2), (4, 6)), NOW)
        self.assertEqual(partial.occupied, 4)
        for size in (6, 10):
            self.assert_found([PARTIAL], {}, {"7": size}, {"7": partial}, [], [])

    def test_overlong_partial(self) -> None:
        """
        What stands behind the last byte that the row speaks of is cut off.
        """
        for size, overlong in ((6, {}), (7, {"7": 6})):
            self.assertEqual(reconcile([PARTIAL], {}, {"7": size}).overlong_partials, overlong)

    def test_useless_partial(self) -> None:
        """
        One that is too short, or too long, or of which the row says nothing, goes; and so does the row.
        """
        self.assert_found([PARTIAL], {}, {"7": 5}, {}, ["7"], ["7"])
        self.assert_found([PARTIAL], {}, {"7": 11}, {}, ["7"], ["7"])
        self.assert_found([evolve(PARTIAL, extents=())], {}, {"7": 6}, {}, ["7"], ["7"])
        self.assert_found([evolve(PARTIAL, extents=((5, 11),))], {}, {"7": 11}, {}, ["7"], ["7"])
        self.assert_found([PARTIAL], {}, {}, {}, ["7"], [])
        self.assert_found([], {}, {"7": 6}, {}, [], ["7"])

    def test_killed_between_name_and_row(self) -> None:
        """
        A file that has just got its name, and a row that does not know it: it is verified again.
        """
        self.assert_found([PARTIAL], {"7": 10}, {}, {"7": Unverified(10)}, ["7"], [])

    def test_complete_and_partial(self) -> None:
        """
        Beside a complete file, an unfinished one of the same id is of no use.
        """
        self.assert_found([COMPLETE], {"7": 10}, {"7": 6}, {"7": Entry(10, "gW7", "video/mp4")}, [], ["7"])
        self.assert_found([PARTIAL], {"7": 10}, {"7": 6}, {"7": Unverified(10)}, ["7"], ["7"])

    def test_rows_that_are_no_paths(self) -> None:
        """
        An id becomes a path, so one that is not ours is dropped whatever there is.
        """
        self.assert_found([evolve(COMPLETE, id="../7")], {}, {}, {}, ["../7"], [])

    def test_access_times(self) -> None:
        """
        They are those of the rows; of a file without a row, what the file system says.
        """
        found = reconcile(
            [evolve(COMPLETE, last_access=5.0), evolve(PARTIAL, id="8", last_access=6.0)], {"7": 10, "9": 1}, {"8": 6}
        )
        self.assertEqual({key: item.last_access for key, item in found.items.items()}, {"7": 5.0, "8": 6.0, "9": NOW})

    @given(row_lists, file_sizes, file_sizes)
    def test_all_is_accounted_for(self, rows: list[Row], complete: dict[str, int], partial: dict[str, int]) -> None:
        """
        Each complete file stays, and each unfinished one stays or goes; each row is believed or goes; and only what
        has a row and the size that it says is served.
        """
        found = reconcile(rows, complete, partial)
        resumed = {object_id for object_id, item in found.items.items() if isinstance(item, Partial)}
        self.assertEqual(found.items.keys() - resumed, complete.keys())
        self.assertEqual(resumed | set(found.useless_partials), partial.keys())
        self.assertFalse(resumed & set(found.useless_partials))
        by_id = {row.id: row for row in rows}
        believed = {key for key, item in found.items.items() if not isinstance(item, Unverified)}
        self.assertEqual(by_id.keys() - believed, set(found.stale_rows))
        for object_id, item in found.items.items():
            if isinstance(item, Entry):
                self.assertEqual(by_id[object_id].state, "complete")
                self.assertEqual(item.size, complete[object_id])
            elif isinstance(item, Unverified):
                self.assertEqual(item.size, complete[object_id])
