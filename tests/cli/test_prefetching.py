"""
Tests for L{distributor.cli.prefetching}.
"""

from __future__ import annotations

from typing import Any

from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from distributor.cli.prefetching import AT_ONCE, Prefetching, batches
from tests.cli import samples

AT_ONCE_IN_NODE = 2


@define
class Node:
    """
    A node that fetches a few objects at a time, in the order in which they are asked for.

    @ivar doomed: those that fail.
    """

    doomed: set[str]
    stored: set[str]
    queue: list[str] = field(factory=list)
    running: list[str] = field(factory=list)
    failures: list[dict[str, str]] = field(factory=list)
    starts: int = 0

    def post(self, ids: list[str]) -> dict[str, Any]:
        """
        C{POST /prefetch}.
        """
        rows = []
        for each in ids:
            if each not in self.stored and each not in self.running and each not in self.queue:
                self.queue.append(each)
        self._begin()
        for each in ids:
            state = "complete" if each in self.stored else "started" if each in self.running else "queued"
            rows.append({"objectId": each, "state": state})
        return {"objects": rows}

    def get(self) -> dict[str, Any]:
        """
        C{GET /prefetch}, of which the list of failures is short.
        """
        return {"failed": len(self.failures), "failures": self.failures[-10:], "running": list(self.running)}

    def _begin(self) -> None:
        while self.queue and len(self.running) < AT_ONCE_IN_NODE:
            self.running.append(self.queue.pop(0))
            self.starts += 1

    def finish(self, position: int) -> None:
        """
        One of those that are running ends.
        """
        if self.running:
            each = self.running.pop(position % len(self.running))
            if each in self.doomed:
                self.failures.append({"objectId": each, "state": "refused", "message": "no storage node"})
            else:
                self.stored.add(each)
            self._begin()


_IDS = [str(each) for each in range(12)]


class PrefetchingTests(SynchronousTestCase):
    """
    L{Prefetching}.
    """

    @given(
        st.lists(st.sampled_from(_IDS), min_size=1),
        st.sets(st.sampled_from(_IDS)),
        st.sets(st.sampled_from(_IDS)),
        st.lists(st.lists(st.integers(0, 1), max_size=3), max_size=30),
    )
    def test_ends(self, ids: list[str], doomed: set[str], stored: set[str], turns: list[list[int]]) -> None:
        """
        Whatever the order in which objects come or fail between two looks, it ends with the right outcome of each, and
        nothing that has failed is waited for again.
        """
        node = Node(doomed - stored, set(stored))
        node.failures.append({"objectId": ids[0], "state": "refused", "message": "an older failure"})
        asked = Prefetching.of(ids)
        asked.looked(node.get())
        for batch in batches(asked.pending):
            asked.took(node.post(batch))
        for turn in [*turns, *[[0, 0]] * 40]:
            for position in turn:
                node.finish(position)
            answer = node.get()
            asked.looked(answer)
            if batch := asked.to_ask(answer):
                asked.took(node.post(batch))
        self.assertEqual(asked.pending, [])
        self.assertEqual(
            {str(each["objectId"]): each["state"] for each in asked.answer()["objects"]},
            {each: "refused" if each in node.doomed else "complete" for each in ids},
        )
        self.assertEqual(asked.failed, bool(node.doomed & set(ids)))

    def test_bars(self) -> None:
        """
        One for all, and one for each of them that is on its way; other downloads are not among them.
        """
        asked = Prefetching.of(["7", "8", "9", "7"])
        asked.took({"objects": [{"objectId": "8", "state": "complete"}, {"objectId": "9", "state": "unknown"}]})
        bars = asked.bars(samples.DOWNLOADS)
        self.assertEqual([(bar.name, bar.share) for bar in bars], [("all", "66 %"), ("object 7", "14 %")])
        self.assertEqual(bars[0].note, "2 of 3 objects, 1 failed")

    def test_batches(self) -> None:
        """
        A request holds only so many ids.
        """
        ids = [str(each) for each in range(2 * AT_ONCE + 1)]
        self.assertEqual([len(batch) for batch in batches(ids)], [AT_ONCE, AT_ONCE, 1])
        self.assertEqual([each for batch in batches(ids) for each in batch], ids)
        asked = Prefetching.of(ids)
        self.assertEqual(asked.to_ask({"running": ["0", "2"]}), ["1", *ids[3 : AT_ONCE + 2]])

    def test_strange_answers(self) -> None:
        """
        What is not as it should be says nothing.
        """
        asked = Prefetching.of(["7"])
        asked.took({"objects": [{"objectId": 7, "state": "complete"}, {"objectId": "7", "state": ["complete"]}]})
        asked.looked({"failed": "x", "failures": None})
        asked.looked({"failed": 3, "failures": [{"objectId": "8", "state": "refused"}]})
        self.assertEqual((asked.pending, asked.answer()), (["7"], {"objects": []}))
        self.assertEqual(asked.to_ask({"running": 3}), ["7"])
