"""
The store's side of the index: writes that must not stop anything; access marks and evidence in batches.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Mapping, Sequence

from attrs import evolve
from twisted.logger import Logger

from distributor.cache.database import Mark, Row
from distributor.cache.index import MOST_FAULTS, Index
from distributor.model import DiskFailed, Fault


class Ledger:
    """
    What cannot be written to the index is owed, and tried again with the next L{flush}.

    A store whose index refuses goes on serving and filling: all that is lost when the node is killed is that files have
    to be verified again. So only the first refusal is logged, and the end of them.
    """

    _log = Logger()

    def __init__(self, index: Index) -> None:
        self._index = index
        self._marks: dict[str, Mark] = {}
        # The oldest first; where the index refuses for long, the oldest are lost.
        self._faults: deque[Fault] = deque(maxlen=MOST_FAULTS)
        self._owed: dict[str, Row | None] = {}
        # The newest write in flight for each id: an older one that fails must not be owed, or it would undo the newer.
        self._newest: dict[str, object] = {}
        self._refused = False

    async def put(self, row: Row) -> bool:
        """
        Write a row.

        @return: whether it has been written; if not, it is owed.
        """
        return await self._write({row.id: row}, self._index.put(row))

    async def delete(self, ids: Sequence[str]) -> None:
        """
        Delete the rows of C{ids}, as far as there are any.
        """
        if ids:
            await self._write(dict.fromkeys(ids), self._index.delete(ids))

    async def _write(self, rows: Mapping[str, Row | None], written: Awaitable[None]) -> bool:
        """
        @param rows: by id, what will be there; L{None} for nothing.
        """
        token = object()
        for object_id in rows:
            self._owed.pop(object_id, None)
            self._newest[object_id] = token
        succeeded = False
        try:
            await written
            succeeded = True
        except DiskFailed as error:
            self._note(error)
        else:
            self._note(None)
        finally:
            for object_id, row in rows.items():
                if self._newest.get(object_id) is token:
                    del self._newest[object_id]
                    if not succeeded:
                        self._owed[object_id] = row
        return succeeded

    def touch(self, object_id: str, now: float, times: int = 1) -> None:
        """
        Mark an access, or so many at once, to be written with the next L{flush}.
        """
        mark = self._marks.get(object_id)
        if mark is None:
            self._marks[object_id] = Mark(object_id, now, times)
        else:
            mark.at = now
            mark.hits += times

    async def flush(self) -> None:
        """
        Write what is owed, evidence, and the access marks. Never fails: what is refused is kept for the next time.
        """
        for object_id in list(self._owed):
            # Meanwhile it may have been written, or be on its way.
            if object_id not in self._owed:
                continue
            row = self._owed[object_id]
            if row is None:
                await self.delete([object_id])
            else:
                await self.put(row)
            if self._refused:
                return
        await self._flush_faults()
        marks, self._marks = self._marks, {}
        if not marks:
            return
        try:
            await self._index.touch(list(marks.values()))
        except DiskFailed as error:
            self._note(error)
            self._put_back(marks)
        else:
            self._note(None)

    def _put_back(self, marks: Mapping[str, Mark]) -> None:
        for mark in marks.values():
            newer = self._marks.get(mark.id)
            if newer is not None:
                mark = Mark(mark.id, newer.at, mark.hits + newer.hits)
            self._marks[mark.id] = mark

    async def _flush_faults(self) -> None:
        faults = list(self._faults)
        self._faults.clear()
        if not faults:
            return
        try:
            await self._index.add_faults(faults)
        except DiskFailed as error:
            self._note(error)
            # They are older than what has come meanwhile.
            self._faults = deque([*faults, *self._faults], MOST_FAULTS)
        else:
            self._note(None)

    @property
    def owes(self) -> bool:
        """
        Whether the index lacks something about objects.
        """
        return bool(self._owed)

    def mark(self, row: Row) -> Row:
        """
        C{row}, as it will be once marks have been written.
        """
        mark = self._marks.get(row.id)
        return row if mark is None else evolve(row, last_access=mark.at, hits=row.hits + mark.hits)

    def record_fault(self, fault: Fault) -> None:
        """
        Keep evidence, to be written with the next L{flush}.
        """
        self._faults.append(fault)

    async def faults(self, limit: int) -> list[Fault]:
        """
        The newest faults, the newest first.

        @raise DiskFailed: the index refuses.
        """
        await self._flush_faults()
        pending = list(reversed(self._faults))[:limit]
        return pending + await self._index.faults(limit - len(pending))

    def _note(self, error: DiskFailed | None) -> None:
        if error is not None and not self._refused:
            self._log.error("the index cannot be written, which will be tried again: {error}", error=error)
        elif error is None and self._refused:
            self._log.info("the index can be written again")
        self._refused = error is not None
