"""
Tests for L{distributor.tap.loaded}.
"""

from __future__ import annotations

import gc
from collections.abc import Callable

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from distributor.tap.huge_pages import collapse
from distributor.tap.loaded import Loaded


class _Cycle:
    """
    Garbage, once nobody else has it.
    """

    def __init__(self) -> None:
        self.me = self


class LoadedTests(SynchronousTestCase):
    """
    The service.
    """

    def setUp(self) -> None:
        self.addCleanup(gc.unfreeze)
        self.addCleanup(gc.set_threshold, *gc.get_threshold())

    def test_until_it_is_done(self) -> None:
        """
        It is left to a thread, and the process does not end before that has.
        """
        done: Deferred[None] = Deferred()
        asked = []

        def in_thread(f: Callable[[], None]) -> Deferred[None]:
            asked.append(f)
            return done

        service = Loaded(in_thread)
        service.startService()
        self.assertEqual(asked, [collapse])
        stopped = service.stopService()
        self.assertNoResult(stopped)
        done.callback(None)
        self.successResultOf(stopped)

    def test_what_nobody_thought_of(self) -> None:
        """
        Whatever goes wrong is logged, and nothing else comes of it.
        """
        service = Loaded(lambda _: fail(RuntimeError("no idea")))
        service.startService()
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.successResultOf(service.stopService())

    def test_never_started(self) -> None:
        """
        What has not been started has nothing to wait for.
        """
        self.successResultOf(Loaded(lambda _: Deferred()).stopService())

    def test_garbage_collection(self) -> None:
        """
        What is there when it starts is not looked through for garbage any more; what there is of it then goes before.
        """
        _Cycle()
        kept = _Cycle()
        service = Loaded(lambda _: succeed(None))
        service.startService()
        self.assertGreater(gc.get_freeze_count(), 0)
        looked_at = {id(each) for each in gc.get_objects()}
        self.assertNotIn(id(kept), looked_at)
        gc.unfreeze()
        self.assertEqual([each for each in gc.get_objects() if type(each) is _Cycle], [kept])

    def test_how_often(self) -> None:
        """
        The collector runs less often than by itself while the service does, and as before once that has stopped.
        """
        before = gc.get_threshold()
        service = Loaded(lambda _: succeed(None))
        service.startService()
        self.assertGreater(gc.get_threshold()[0], before[0])
        self.successResultOf(service.stopService())
        self.assertEqual(gc.get_threshold(), before)
