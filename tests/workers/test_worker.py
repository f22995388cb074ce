"""
Tests for L{distributor.workers.worker} and L{distributor.workers.mirror}, with an owner.
"""

from __future__ import annotations

import gc
import os
from typing import cast

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred

from distributor.cache import Entry
from distributor.model import CatalogueUnavailable, Fault, FaultKind, IReader
from distributor.workers import Crowd
from distributor.workers.wire import Admit, Finish
from tests.workers.wired import CONTENT, WiredCase

LIE = Fault("7", "http://node0.example/", "0", FaultKind.WRONG_HASH, "gWx", "gWy", 3, 1.5)


class _Held:
    """
    What the owner holds.
    """

    closed = False

    def close(self) -> None:
        self.closed = True


class WorkerTests(WiredCase):
    """
    What a worker hears and says.
    """

    def about(self, what: str) -> Deferred[object]:
        told = Deferred.fromCoroutine(self.worker.about(what))
        self.settle()
        return told

    def fetched(self) -> None:
        """
        A worker of a node that has an object.
        """
        (self.directory / "assets").mkdir(parents=True, exist_ok=True)
        self.hire()
        reader = self.downloads.start(self.upstream.listing, ())
        self.settle()
        reader.close()
        self.assertIsNotNone(self.mirror.get("7"))

    def test_the_store_at_the_start(self) -> None:
        """
        A worker learns of all that is there, in as many messages as it takes.
        """
        entries = {str(number): Entry(number, "g" * 46, None) for number in range(5000)}
        self.patch(self.store, "complete", lambda: list(entries))
        self.patch(self.store, "get", entries.get)
        self.hire()
        self.assertEqual(len(self.mirror), 5000)
        self.assertEqual(self.mirror.get("4999"), entries["4999"])

    def test_gone_before_it_was_told(self) -> None:
        """
        What is evicted while the worker is told of thousands is not told of.
        """
        entries = {str(number): Entry(number, "g" * 46, None) for number in range(5000)}
        self.patch(self.store, "complete", lambda: list(entries))
        self.patch(self.store, "get", lambda id: entries.get(id) if id != "4999" else None)
        self.hire()
        self.assertIsNone(self.mirror.get("4999"))
        self.assertEqual(len(self.mirror), 4999)

    def test_gone_and_back_in_one_message(self) -> None:
        """
        A file that has been deleted is not read any more once another one has taken its place.
        """
        self.hire()
        entry = Entry(1, "hash", None, 0.0)
        self.mirror.tell([("7", entry)])
        old = self.mirror.files.add("7", os.open(os.devnull, os.O_RDONLY))
        self.mirror.tell([("7", entry)])
        self.assertNotIn("7", self.mirror.files)
        self.assertEqual(self.mirror.news()[1], [("7", True)], "it is still read")
        old.release()
        self.assertEqual(self.mirror.news()[1], [("7", False)])

    def test_facts_of_the_whole_node(self) -> None:
        """
        What the API shows is the owner's, however long.
        """
        self.facts["downloads"] = {"downloads": [{"objectId": str(number)} for number in range(20_000)]}
        self.hire()
        first, second = self.about("downloads"), self.about("downloads")
        self.assertEqual(self.successResultOf(self.about("status")), {"id": "a-node"})
        self.assertEqual(self.successResultOf(first), self.facts["downloads"])
        self.assertEqual(self.successResultOf(second), self.facts["downloads"])

    def test_one_who_does_not_wait_for_facts(self) -> None:
        """
        Who goes while another is being told costs nothing, and hinders nobody.
        """
        self.hire()
        asked = [Deferred.fromCoroutine(self.worker.about("status")) for _ in range(3)]
        asked[1].cancel()
        self.failureResultOf(asked[1], CancelledError)
        self.settle()
        for each in (asked[0], asked[2]):
            self.assertEqual(self.successResultOf(each), {"id": "a-node"})
        gc.collect()
        self.assertEqual(self.flushWarnings(), [])

    def test_facts_without_an_owner(self) -> None:
        """
        Nobody can tell.
        """
        self.hire()
        self.part()
        self.failureResultOf(self.about("status"), CatalogueUnavailable)
        self.report()

    def test_evidence_and_counts(self) -> None:
        """
        The owner gets each once.
        """
        self.hire()
        self.worker.fault(LIE)
        self.counts["hits"] = 3
        self.report()
        self.counts = {}
        self.report()
        self.assertEqual(self.faults, [LIE])
        self.assertEqual(self.counted, [{"hits": 3}, {}])

    def test_who_is_there(self) -> None:
        """
        The owner knows how many are with the worker; when that has gone, nobody is.
        """
        self.hire()
        self.assertEqual(self.owner.crowd, Crowd())
        self.crowd = Crowd(answering=2, connections=5)
        self.report()
        self.assertEqual(self.owner.crowd, self.crowd)
        self.part()
        self.assertEqual(self.owner.crowd, Crowd())

    def test_one_report_after_the_other(self) -> None:
        """
        What the next one says is not known to the owner before what this one says is: a file that it opens meanwhile
        would be held for ever.
        """
        self.fetched()
        opened = self.successResultOf(Deferred.fromCoroutine(self.mirror.open("7")))
        opening: Deferred[IReader] = Deferred()
        self.patch(self.store, "open", lambda id: opening)
        first = Deferred.fromCoroutine(self.worker.report())
        self.settle()
        opened.close()
        self.mirror.files.close_spare()
        second = Deferred.fromCoroutine(self.worker.report())
        self.settle()
        self.assertNoResult(first)
        held = _Held()
        opening.callback(cast(IReader, held))
        self.settle()
        self.successResultOf(first)
        self.successResultOf(second)
        self.assertTrue(held.closed)

    def test_evidence_with_long_names(self) -> None:
        """
        The owner gets it all, though one message cannot hold it.
        """
        self.hire()
        lies = [evolve(LIE, endpoint=f"http://node.example/{number}/" + "a" * 9_000) for number in range(20)]
        for lie in lies:
            self.worker.fault(lie)
        self.report()
        self.assertEqual(self.faults, lies)

    def test_much_to_report(self) -> None:
        """
        Marks of thousands of objects go in several reports.
        """
        self.hire()
        touched: list[str] = []
        self.patch(self.store, "touch", lambda id, times: touched.append(id))
        for number in range(3000):
            self.mirror.touch(str(number))
        self.report()
        self.assertEqual(sorted(map(int, touched)), list(range(3000)))

    def test_decisions_of_the_owner(self) -> None:
        """
        Who may come in, and when to end.
        """
        self.hire()
        for command, arguments in ((Admit, {"refusal": "api_stopped"}), (Finish, {"patience_s": 2.5})):
            self.owner.callRemote(command, **arguments).addErrback(self.fail)
            self.settle()
        self.assertEqual((self.serving.refusals, self.serving.finished), (["api_stopped"], [2.5]))

    def test_a_worker_that_dies_holds_nothing(self) -> None:
        """
        What it had open is the owner's business no longer.
        """
        self.fetched()
        opened = self.successResultOf(Deferred.fromCoroutine(self.mirror.open("7")))
        self.report()
        self.part()
        self.successResultOf(Deferred.fromCoroutine(self.store.remove("7")))
        self.assertEqual((self.store.used, self.gone), (0, 1))
        self.assertEqual(opened.size, len(CONTENT))
        opened.close()
