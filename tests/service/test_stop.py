"""
Tests for L{distributor.service}: from serving to nothing.
"""

from __future__ import annotations

from distributor.cache import Store
from distributor.observe.systemd import READY, STOPPING
from tests.service_in_memory import CAME, CONTENT, DRAIN_S, STALL, Pool, ServiceCase
from tests.upstream import TIMEOUT_S
from tests.web.node_in_memory import ASSET


class StopTests(ServiceCase):
    """
    From serving to nothing.
    """

    def test_idle(self) -> None:
        """
        A node without clients stops at once, and has told systemd.
        """
        node = self.started()
        self.stopped(node)
        self.assertEqual(self.told, [READY, STOPPING])

    def test_idle_connections(self) -> None:
        """
        Clients that only keep their connections open do not hold it up: those are closed.
        """
        node = self.started()
        visits = [self.visit(), self.visit()]
        visits[0].send("/healthz")
        self.stopped(node)
        self.assertEqual([visit.wire.ended for visit in visits], ["closed", "closed"])

    def test_answers_finish(self) -> None:
        """
        Answers in progress finish; new ones are refused; then all is saved.
        """
        node = self.started()
        self.faults.next.append(STALL)
        inside, late = self.visit(), self.visit()
        inside.send(ASSET)
        done = node.stopService()
        self.settle()
        self.assertTrue(self.endpoint.stopped)
        late.send(ASSET)
        self.assertEqual((late.answer.status, late.answer["Connection"]), (503, "close"))
        self.assertIn(b'"shutting_down"', late.answer.body)
        self.assertEqual(self.ask("/readyz").status, 503)
        self.assertNoResult(done)
        self.advance(TIMEOUT_S)
        self.assertTrue(inside.answer.whole and inside.answer.body == CONTENT)
        self.successResultOf(done)
        self.assert_over(node)
        again = self.started()
        self.assertEqual(self.ask()["X-Cache"], "hit")
        self.stopped(again)

    def test_what_is_in_buffers(self) -> None:
        """
        An answer has not finished as long as bytes of it wait for a slow client.
        """
        node = self.started()
        self.ask()
        visits = [self.visit(room=5000), self.visit(room=5000)]
        for slow in visits:
            slow.send(ASSET, "Range: bytes=0-899")
            self.assertIn(CONTENT[:900], slow.wire.value())
        done = node.stopService()
        self.settle()
        for slow in visits:
            self.assertNoResult(done)
            slow.wire.take()
            self.settle()
            self.assertTrue(slow.answer.whole)
            self.assertEqual(slow.wire.ended, "closed")
        self.successResultOf(done)
        self.assert_over(node)

    def test_buffers_that_stay_full(self) -> None:
        """
        A client that does not even take what is in the buffers is waited for a few seconds.
        """
        node = self.started()
        slow = self.visit(room=5000)
        slow.send("/healthz")
        done = node.stopService()
        self.settle()
        self.assertNoResult(done)
        self.advance(5)
        self.assertEqual(slow.wire.ended, "cut")
        self.successResultOf(done)
        self.assert_over(node)

    def test_takes_too_long(self) -> None:
        """
        Answers that take too long are cut, never so that they look whole; what has arrived is kept.
        """
        node = self.started()
        self.ask()
        stuck = self.visit(room=1000)
        stuck.send(ASSET)
        done = node.stopService()
        self.settle()
        self.clock.advance(DRAIN_S - 1)
        self.settle()
        self.assertNoResult(done)
        self.assertIsNone(stuck.wire.ended)
        self.advance(1)
        self.assertEqual(stuck.wire.ended, "cut")
        self.successResultOf(done)
        self.assert_over(node)

    def test_hurry(self) -> None:
        """
        An operator who cannot wait need not.
        """
        node = self.started()
        node.hurry()
        self.faults.next.append(STALL)
        visit = self.visit()
        visit.send(ASSET)
        done = node.stopService()
        self.settle()
        self.assertNoResult(done)
        node.hurry()
        self.settle()
        self.assertEqual(visit.wire.ended, "cut")
        self.successResultOf(done)
        node.hurry()
        self.assert_over(node)

    def test_download_is_left_off(self) -> None:
        """
        A download that nobody waits for any more is left off, and gone on with after the next start.
        """
        node = self.started()
        self.faults.next.append(STALL)
        visit = self.visit()
        visit.send(ASSET)
        visit.lose()
        self.stopped(node)
        again = self.started()
        self.assertTrue(self.ask().body == CONTENT)
        self.assertEqual(self.upstream.ranges, [None, f"bytes={CAME}-299999"])
        self.stopped(again)

    def test_while_it_starts(self) -> None:
        """
        A node that is told to stop before it serves never says that it does.
        """
        Pool.waits = True
        node = self.make()
        node.privilegedStartService()
        node.startService()
        done = node.stopService()
        self.assertNoResult(done)
        Pool.waits = False
        while Pool.waiting:
            Pool.waiting.pop(0)()
        self.settle()
        self.successResultOf(done)
        self.assertEqual((self.told, self.announced), ([STOPPING], []))
        self.assert_over(node)

    def test_while_it_looks_at_files(self) -> None:
        """
        Neither it nor a client inside waits until a slow disk has been looked at: what cannot be stored any more is
        passed through.
        """
        self.slow_disk()
        node = self.started()
        visit = self.visit()
        visit.send(ASSET)
        self.assertEqual(visit.wire.value(), b"")
        done = node.stopService()
        self.settle()
        self.assertNoResult(done)
        self.advance(1)
        self.assertTrue(visit.answer.whole and visit.answer.body == CONTENT)
        self.assertEqual(visit.answer["X-Data-Source"], "external")
        self.successResultOf(done)
        self.assert_over(node)

    def test_marks_are_saved(self) -> None:
        """
        Which objects were wanted last is known after a restart, and is written while the node runs.
        """
        flushed = []
        flush = Store.flush

        async def counted(store: Store) -> None:
            flushed.append(self.clock.seconds())
            await flush(store)

        self.patch(Store, "flush", counted)
        node = self.started()
        self.advance(10)
        self.advance(10)
        self.stopped(node)
        self.assertEqual(flushed, [10, 20, 20])
