"""
Tests for L{distributor.cache.ledger}.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.logger import LogLevel
from twisted.trial.unittest import SynchronousTestCase

from distributor.cache import Index, Mark, Row, ledger
from distributor.cache.ledger import Ledger
from distributor.model import DiskFailed, Fault, FaultKind
from tests.cache.stores import IN_THREAD, NOW

ROW = Row("7", 10, "gW7", None, "partial", ((0, 1),), NOW, NOW)
FAULTS = [Fault("7", "https://a.example", "3", FaultKind.EARLY_END, "10", str(got), got, NOW) for got in range(5)]
NEWER = evolve(ROW, extents=((0, 9),))


class FakeIndex(Index):
    """
    Rows in a dictionary; each call can be held up, and can fail.
    """

    def __init__(self) -> None:
        super().__init__(Path("unused"), IN_THREAD)
        self.rows: dict[str, Row] = {}
        self.marks: list[Mark] = []
        self.written_faults: list[Fault] = []
        self.refuses = False
        self.held: list[Deferred[None]] | None = None

    async def _turn(self) -> None:
        if self.held is not None:
            turn: Deferred[None] = Deferred()
            self.held.append(turn)
            await turn
        if self.refuses:
            raise DiskFailed("full")

    async def put(self, row: Row) -> None:
        await self._turn()
        self.rows[row.id] = row

    async def delete(self, ids: Sequence[str]) -> None:
        await self._turn()
        for object_id in ids:
            self.rows.pop(object_id, None)

    async def touch(self, batch: Sequence[Mark]) -> None:
        await self._turn()
        self.marks += batch

    async def add_faults(self, faults: Sequence[Fault]) -> None:
        await self._turn()
        self.written_faults += faults

    async def faults(self, limit: int) -> list[Fault]:
        await self._turn()
        return self.written_faults[::-1][:limit]


class LedgerTests(SynchronousTestCase):
    """
    L{Ledger}.
    """

    def setUp(self) -> None:
        self.index = FakeIndex()
        self.ledger = Ledger(self.index)
        self.logged: list[LogLevel] = []
        self.patch(Ledger, "_log", self)

    def error(self, *args: object, **kwargs: object) -> None:
        self.logged.append(LogLevel.error)

    def info(self, *args: object, **kwargs: object) -> None:
        self.logged.append(LogLevel.info)

    def put(self, row: Row) -> Deferred[bool]:
        return Deferred.fromCoroutine(self.ledger.put(row))

    def flush(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.ledger.flush())

    def test_writes_at_once(self) -> None:
        """
        Where the index obeys, nothing is left to flush.
        """
        self.assertTrue(self.successResultOf(self.put(ROW)))
        self.assertEqual(self.index.rows, {"7": ROW})
        self.index.rows.clear()
        self.successResultOf(self.flush())
        self.assertEqual(self.index.rows, {})

    def test_what_is_refused_is_owed(self) -> None:
        """
        A row and a deletion that are refused do not fail, and are done with a later flush.
        """
        self.index.rows["8"] = evolve(ROW, id="8")
        self.index.refuses = True
        self.assertFalse(self.successResultOf(self.put(ROW)))
        self.successResultOf(Deferred.fromCoroutine(self.ledger.delete(["8"])))
        self.successResultOf(self.flush())
        self.assertEqual(list(self.index.rows), ["8"])
        self.index.refuses = False
        self.successResultOf(self.flush())
        self.assertEqual(self.index.rows, {"7": ROW})

    def test_log(self) -> None:
        """
        The first refusal is logged, those that follow are not, and the end of them is.
        """
        self.index.refuses = True
        self.put(ROW)
        self.put(NEWER)
        self.flush()
        self.assertEqual(self.logged, [LogLevel.error])
        self.index.refuses = False
        self.flush()
        self.put(ROW)
        self.assertEqual(self.logged, [LogLevel.error, LogLevel.info])

    def test_the_newest_is_owed(self) -> None:
        """
        Of several refused writes about an object the last counts.
        """
        self.index.refuses = True
        self.put(ROW)
        self.put(NEWER)
        self.index.refuses = False
        self.successResultOf(self.flush())
        self.assertEqual(self.index.rows, {"7": NEWER})

    def test_the_old_does_not_undo_the_new(self) -> None:
        """
        A write that fails while a newer one is on its way is not owed.
        """
        self.index.held = []
        older, newer = self.put(ROW), self.put(NEWER)
        self.index.refuses = True
        self.index.held[0].callback(None)
        self.assertFalse(self.successResultOf(older))
        self.index.refuses = False
        flushed = self.flush()
        self.successResultOf(flushed)
        self.index.held[1].callback(None)
        self.assertTrue(self.successResultOf(newer))
        self.assertEqual(self.index.rows, {"7": NEWER})
        self.assertEqual(len(self.index.held), 2)

    def test_marks_in_a_batch(self) -> None:
        """
        However often an object is read, one mark is written, and once.
        """
        self.ledger.touch("7", NOW)
        self.ledger.touch("8", NOW + 1)
        self.ledger.touch("7", NOW + 2)
        self.assertEqual(self.index.marks, [])
        self.successResultOf(self.flush())
        self.successResultOf(self.flush())
        self.assertEqual(self.index.marks, [Mark("7", NOW + 2, 2), Mark("8", NOW + 1, 1)])

    def test_marks_are_not_lost(self) -> None:
        """
        Marks that are refused are written with those that came meanwhile.
        """
        self.ledger.touch("7", NOW)
        self.ledger.touch("8", NOW)
        self.index.held = []
        flushed = self.flush()
        self.ledger.touch("7", NOW + 5)
        self.index.refuses = True
        self.index.held[0].callback(None)
        self.successResultOf(flushed)
        self.index.held, self.index.refuses = None, False
        self.successResultOf(self.flush())
        self.assertEqual(sorted(self.index.marks, key=lambda mark: mark.id), [Mark("7", NOW + 5, 2), Mark("8", NOW, 1)])

    def test_marks_show_at_once(self) -> None:
        """
        Who looks at a row sees reads that have not been written yet.
        """
        self.assertEqual(self.ledger.mark(ROW), ROW)
        self.ledger.touch("7", NOW + 1)
        self.ledger.touch("7", NOW + 2)
        self.assertEqual(self.ledger.mark(ROW), evolve(ROW, last_access=NOW + 2, hits=2))

    def test_owes(self) -> None:
        """
        It is known whether the index lacks something; marks are not that important.
        """
        self.ledger.touch("7", NOW)
        self.assertFalse(self.ledger.owes)
        self.index.refuses = True
        self.put(ROW)
        self.assertTrue(self.ledger.owes)
        self.index.refuses = False
        self.flush()
        self.assertFalse(self.ledger.owes)

    def faults(self, limit: int) -> list[int]:
        """
        What the newest faults got.
        """
        return [fault.bytes for fault in self.successResultOf(Deferred.fromCoroutine(self.ledger.faults(limit)))]

    def test_evidence_in_a_batch(self) -> None:
        """
        Evidence is written with the next flush, once; and can be seen before.
        """
        for fault in FAULTS[:2]:
            self.ledger.record_fault(fault)
        self.assertEqual(self.index.written_faults, [])
        self.successResultOf(self.flush())
        self.successResultOf(self.flush())
        self.assertEqual(self.index.written_faults, FAULTS[:2])
        self.ledger.record_fault(FAULTS[2])
        self.assertEqual(self.faults(2), [2, 1])

    def test_evidence_is_not_lost(self) -> None:
        """
        What is refused is written later, in the order in which it came.
        """
        self.ledger.record_fault(FAULTS[0])
        self.index.held = []
        flushed = self.flush()
        self.ledger.record_fault(FAULTS[1])
        self.index.refuses = True
        self.index.held[0].callback(None)
        self.successResultOf(flushed)
        self.index.held, self.index.refuses = None, False
        self.assertEqual(self.faults(9), [1, 0])
        self.assertEqual(self.index.written_faults, FAULTS[:2])

    def test_evidence_is_bounded(self) -> None:
        """
        Where the index refuses for long, the newest faults are kept.
        """
        self.patch(ledger, "MOST_FAULTS", 3)
        self.ledger = Ledger(self.index)
        self.index.refuses = True
        for fault in FAULTS:
            self.ledger.record_fault(fault)
            self.successResultOf(self.flush())
        self.index.refuses = False
        self.assertEqual(self.faults(9), [4, 3, 2])
