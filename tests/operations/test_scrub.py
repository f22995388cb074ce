"""
Tests for L{distributor.operations.scrub}.
"""

from __future__ import annotations

import os
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, fail
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from distributor.model import DiskFailed
from distributor.operations import scrub
from distributor.operations.scrub import USUAL_RATE, Scrub
from distributor.web.operator_errors import VERIFYING, Refused
from tests.operations.operated import CONTENT, Operated
from tests.stored import in_thread

SIZE = len(CONTENT)


class ScrubCase(SynchronousTestCase):
    """
    A node with three objects.
    """

    def setUp(self) -> None:
        self.operated = Operated(self)
        self.operated.start()
        self.operated.have("1", "2", "3")
        self.jobs: list[Any] = []
        self.held: list[Deferred[None]] = []
        self.holds = False
        self.scrub = Scrub(self.operated.store, self.operated.clock, self.in_thread)

    def in_thread(self, f: Any, /, *args: Any, **kwargs: Any) -> Deferred[Any]:
        """
        Work at once, unless it is held.
        """
        self.jobs.append(args[2:])
        if not self.holds:
            return in_thread(f, *args, **kwargs)
        held: Deferred[None] = Deferred()
        self.held.append(held)
        return held.addCallback(lambda _: in_thread(f, *args, **kwargs))

    def finish(self) -> None:
        """
        Let it come to its end.
        """
        for _ in range(1000):
            if self.scrub.shown()["state"] != "running":
                return
            self.operated.clock.advance(1)
        self.fail("it does not end")

    def damage(self, object_id: str, at: int = 150_000) -> None:
        """
        Have the disk lose a bit.
        """
        with self.operated.path(object_id).open("r+b") as file:
            file.seek(at)
            [byte] = file.read(1)
            file.seek(at)
            file.write(bytes([byte ^ 1]))

    def shown(self, *names: str) -> list[object]:
        shown = self.scrub.shown()
        return [shown[name] for name in names]


class RightTests(ScrubCase):
    """
    What is right stays.
    """

    def test_idle(self) -> None:
        """
        Before the first there is nothing to say.
        """
        self.assertEqual(self.shown("state", "total", "secondsLeft"), ["idle", 0, None])

    def test_all(self) -> None:
        """
        Every object is read whole, and found right.
        """
        self.scrub.start(None)
        self.finish()
        expected = ["done", 3, 3, 3 * SIZE, 3 * SIZE, 0, []]
        self.assertEqual(self.shown("state", "checked", "total", "bytes", "totalBytes", "badCount", "bad"), expected)
        self.assertEqual(self.jobs, [(0, SIZE)] * 3)
        for object_id in "123":
            self.assertIsNotNone(self.operated.store.get(object_id))

    def test_pages(self) -> None:
        """
        However many there are, they are asked for a page at a time.
        """
        for size in (1, 2, 3, 4):
            self.patch(scrub, "PAGE", size)
            self.scrub.start(None)
            self.finish()
            self.assertEqual(self.shown("checked", "total"), [3, 3])

    def test_not_wanted(self) -> None:
        """
        Verifying makes nothing look wanted, and leaves no file open.
        """
        before = self.wanted()
        self.operated.clock.advance(100)
        self.scrub.start(None)
        self.finish()
        self.assertEqual(self.wanted(), before)
        self.assertEqual(self.operated.store.read, [])

    def wanted(self) -> list[tuple[str, float, int]]:
        """
        When and how often each object was read.
        """
        self.successResultOf(Deferred.fromCoroutine(self.operated.store.real.flush()))
        page = self.successResultOf(Deferred.fromCoroutine(self.operated.store.page(None, 10)))
        return [(held.object_id, held.last_access, held.hits) for held in page]

    def test_what_goes_meanwhile(self) -> None:
        """
        What is deleted before its turn is done with: at the end nothing is left to do.
        """
        self.scrub.start(100_000)
        self.successResultOf(Deferred.fromCoroutine(self.operated.store.remove("3", "a test")))
        self.finish()
        self.assertEqual(self.shown("checked", "bytes", "totalBytes"), [3, 3 * SIZE, 3 * SIZE])
        self.assertEqual(self.shown("badCount"), [0])

    def test_none(self) -> None:
        """
        Of nothing it is soon done.
        """
        operated = Operated(self)
        operated.start()
        empty = Scrub(operated.store, operated.clock, in_thread)
        empty.start(None)
        self.assertEqual(empty.shown()["state"], "done")


class PaceTests(ScrubCase):
    """
    How fast it goes.
    """

    def test_rate(self) -> None:
        """
        It takes as long as its rate says, in steps of a second at most.
        """
        began = self.operated.clock.seconds()
        self.scrub.start(10_000)
        self.operated.clock.advance(0.5)
        self.assertEqual(self.shown("bytes", "bytesPerSecond"), [10_000, 10_000])
        self.assertEqual(self.shown("secondsLeft"), [(3 * SIZE - 10_000) / 10_000])
        self.finish()
        took = self.operated.clock.seconds() - began
        self.assertTrue(0 <= took - 3 * SIZE / 10_000 < 2, took)
        self.assertEqual({length for _, length in self.jobs}, {10_000})

    def test_no_debt(self) -> None:
        """
        After a slow disk it does not catch up in a burst.
        """
        self.holds = True
        self.scrub.start(10_000)
        self.operated.clock.advance(100)
        self.holds = False
        self.held.pop().callback(None)
        self.assertEqual(self.shown("bytes"), [20_000])
        self.operated.clock.advance(0.5)
        self.assertEqual(self.shown("bytes"), [20_000])
        self.scrub.stop()

    def test_usual(self) -> None:
        """
        Unless told otherwise it leaves half of an old disk to viewers.
        """
        self.scrub.start(None)
        self.finish()
        self.scrub.start(1_000_000)
        self.finish()
        self.scrub.start(None)
        self.assertEqual(self.shown("bytesPerSecond"), [USUAL_RATE])
        self.finish()


class BadTests(ScrubCase):
    """
    What is wrong goes.
    """

    def test_wrong_bytes(self) -> None:
        """
        An object with a wrong bit is deleted, told of and listed; the others are not touched. The next reader gets a
        right one.
        """
        self.damage("2")
        entry = self.operated.store.get("2")
        assert entry is not None
        with capturedLogs() as events:
            self.scrub.start(None)
            self.finish()
        self.assertIsNone(self.operated.store.get("2"))
        self.assertFalse(self.operated.path("2").exists())
        self.assertIsNotNone(self.operated.store.get("1"))
        [bad] = self.shown("bad")
        assert isinstance(bad, list)
        [found] = bad
        self.assertEqual((found["objectId"], found["expected"], found["removed"]), ("2", entry.content_hash, True))
        self.assertTrue(found["got"].startswith("gW"))
        self.assertNotEqual(found["got"], entry.content_hash)
        self.assertEqual(self.shown("state", "checked", "badCount"), ["done", 3, 1])
        self.assertEqual(self.operated.store.reasons, [("2", "its bytes were not what they had been")])
        told = [str(formatEvent(event)) for event in events if event["log_level"].name == "error"]
        self.assertEqual(len(told), 1)
        self.assertIn("object 2 on the disk is not what it was", told[0])
        self.assertEqual(self.scrub.bad("2"), scrub.Bad("2", entry.content_hash, found["got"], True, found["at"]))
        self.assertIsNone(self.scrub.bad("1"))
        self.operated.have("2")

    def test_cut_or_gone(self) -> None:
        """
        A file that is too short, or not there, is not there any more; that is not this one's to tell.
        """
        os.truncate(self.operated.path("1"), 100)
        self.operated.path("2").unlink()
        self.scrub.start(None)
        self.finish()
        self.assertEqual(self.shown("state", "checked", "badCount"), ["done", 3, 0])
        self.assertEqual([each for each in "123" if self.operated.store.get(each)], ["3"])

    def test_unreadable(self) -> None:
        """
        What the disk cannot read is bad, too, at its beginning or in its midst.
        """

        def in_thread_badly(f: Any, /, *args: Any, **kwargs: Any) -> Deferred[Any]:
            return fail(OSError(5, "Input/output error"))

        self.scrub = Scrub(self.operated.store, self.operated.clock, in_thread_badly)
        self.scrub.start(None)
        self.finish()
        self.assertEqual(self.shown("badCount"), [3])
        bad = self.scrub.bad("1")
        assert bad is not None
        self.assertIn("Input/output error", bad.got)

    def test_cannot_be_opened(self) -> None:
        """
        So is what cannot be opened; and what cannot be deleted says that.
        """

        async def refuse(*args: object) -> Any:
            raise DiskFailed("read-only")

        self.patch(self.operated.store, "open", refuse)
        self.patch(self.operated.store, "remove", refuse)
        self.scrub.start(None)
        self.finish()
        bad = self.scrub.bad("1")
        assert bad is not None
        self.assertEqual((bad.got, bad.removed), ("read-only", False))

    def test_another_copy(self) -> None:
        """
        A bad file whose place another has taken meanwhile is no matter.
        """
        self.damage("1")
        entry = self.operated.store.get("1")
        assert entry is not None
        self.holds = True
        self.scrub.start(None)
        another = evolve(entry)
        self.patch(self.operated.store, "get", lambda object_id: another)
        self.holds = False
        self.held.pop().callback(None)
        self.finish()
        self.assertEqual(self.shown("badCount"), [0])
        self.assertIsNotNone(self.operated.store.get("1"))

    def test_bounded(self) -> None:
        """
        Of very many only some are listed; all are counted.
        """
        self.patch(scrub, "MOST_BAD", 1)
        self.damage("1")
        self.damage("3")
        self.scrub.start(None)
        self.finish()
        [count, bad] = self.shown("badCount", "bad")
        assert isinstance(bad, list)
        self.assertEqual((count, len(bad)), (2, 1))


class EndTests(ScrubCase):
    """
    How it is left off.
    """

    def test_one_at_a_time(self) -> None:
        """
        While one runs, there is no other.
        """
        self.scrub.start(1000)
        with self.assertRaises(Refused) as caught:
            self.scrub.start(None)
        self.assertEqual(caught.exception.error, VERIFYING)
        self.assertEqual(self.shown("bytesPerSecond"), [1000])
        self.scrub.stop()

    def test_stop(self) -> None:
        """
        It can be left off, and begun anew.
        """
        self.scrub.start(1000)
        self.scrub.stop()
        self.assertEqual(self.operated.clock.getDelayedCalls(), [])
        self.assertEqual(self.shown("state", "checked", "secondsLeft"), ["stopped", 0, None])
        self.scrub.stop()
        self.scrub.start(None)
        self.finish()
        self.assertEqual(self.shown("state", "checked"), ["done", 3])
        self.scrub.stop()
        self.assertEqual(self.shown("state"), ["done"])

    def test_a_part_is_not_judged(self) -> None:
        """
        An object that was read in part is not bad for that.
        """
        self.scrub.start(1000)
        self.operated.clock.advance(1)
        self.scrub.stop()
        self.assertEqual(self.shown("badCount"), [0])
        self.assertIsNotNone(self.operated.store.get("1"))

    def test_end_waits_for_the_thread(self) -> None:
        """
        At the end of the node nothing is closed under the feet of a thread.
        """
        self.holds = True
        self.scrub.start(None)
        end = Deferred.fromCoroutine(self.scrub.end())
        self.assertNoResult(end)
        self.assertEqual(self.operated.store.read, ["1"])
        self.held.pop().callback(None)
        self.successResultOf(end)
        self.assertEqual(self.operated.store.read, [])
        self.successResultOf(Deferred.fromCoroutine(self.scrub.end()))

    def test_index_refuses(self) -> None:
        """
        Where the index cannot be read, that is told; another try is another day.
        """
        self.operated.store.trouble = DiskFailed("the index is gone")
        self.scrub.start(None)
        self.assertEqual(self.shown("state"), ["failed"])
        self.assertEqual(len(self.flushLoggedErrors(DiskFailed)), 1)
        self.operated.store.trouble = None
        self.scrub.start(None)
        self.finish()
        self.assertEqual(self.shown("state"), ["done"])
