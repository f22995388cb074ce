"""
Tests for L{distributor.devnet.fleet}, with processes that are played.
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from distributor.devnet.chaos import Condition
from distributor.devnet.fleet import END_PATIENCE_S, Fleet, Member, NeverReady
from distributor.devnet.layout import Program, Role
from tests.devnet.played import PlayedProcess, PlayingReactor


class MemberTests(SynchronousTestCase):
    """
    One member.
    """

    def setUp(self) -> None:
        self.reactor = PlayingReactor()
        self.log = Path(self.mktemp()) / "one.log"
        self.heard: list[tuple[str, str]] = []
        self.member = self.made("one")

    def made(self, name: str) -> Member:
        program = Program(name, Role.STORAGE_NODE, ("serve", "--well"), r"Serv\w+ at ", "http://127.0.0.1:1")
        reactor: Any = self.reactor
        return Member(reactor, program, self.log, {"A": "1"}, lambda *line: self.heard.append(line))

    def started(self) -> PlayedProcess:
        """
        Start it, and let it serve.
        """
        ready = self.member.start()
        process = self.reactor.processes[-1]
        process.say(b"Serving at 1\n")
        self.assertIsNone(self.successResultOf(ready))
        return process

    def test_ready(self) -> None:
        """
        It is up once its log says so, however the line comes in.
        """
        ready = self.member.start()
        self.assertEqual(self.reactor.commands[0][-2:], ("serve", "--well"))
        [process] = self.reactor.processes
        for piece in (b"Starting\nSer", b"ving a"):
            process.say(piece)
            self.assertNoResult(ready)
            self.assertIs(self.member.condition, Condition.BUSY)
        process.say(b"t 1\n")
        self.successResultOf(ready)
        self.assertIs(self.member.condition, Condition.UP)
        self.assertEqual(self.member.pid, 100)

    def test_log(self) -> None:
        """
        What it says on either stream is kept as it is, and heard line by line.
        """
        process = self.started()
        process.say(b"half a ")
        process.say(b"complaint\n", fd=2)
        process.say(b"line\n")
        self.assertEqual(self.heard, [("one", "Serving at 1"), ("one", "complaint"), ("one", "half a line")])
        self.assertEqual(self.log.read_bytes(), b"Serving at 1\nhalf a complaint\nline\n")

    def test_never_ready(self) -> None:
        """
        A process that ends before it serves says how it ended.
        """
        ready = self.member.start()
        self.reactor.processes[0].end(1)
        self.assertIn("1", str(self.failureResultOf(ready, NeverReady).value))
        self.assertIs(self.member.condition, Condition.DOWN)

    def test_ends_by_itself(self) -> None:
        """
        That is noted, and said.
        """
        self.started().end(3)
        self.assertEqual(len(self.member.unexpected), 1)
        self.assertIn("ended by itself", self.heard[-1][1])

    def test_kill_and_start_again(self) -> None:
        """
        Killed, it is down, and that is no surprise; the next process of its is another one, which is well.
        """
        process = self.started()
        self.member.spoilt = True
        ended = self.member.kill()
        self.assertEqual(process.signals, [signal.SIGKILL])
        self.assertIs(self.member.condition, Condition.BUSY)
        self.assertNoResult(ended)
        process.end(number=9)
        self.successResultOf(ended)
        self.assertEqual((self.member.condition, self.member.unexpected), (Condition.DOWN, []))
        self.started()
        self.assertIs(self.member.condition, Condition.UP)
        self.assertEqual(self.member.pid, 101)

    def test_stop(self) -> None:
        """
        A process that ends at SIGTERM is not killed later.
        """
        process = self.started()
        ended = self.member.stop()
        process.end()
        self.successResultOf(ended)
        self.reactor.advance(END_PATIENCE_S + 1)
        self.assertEqual(process.signals, [signal.SIGTERM])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_stop_takes_too_long(self) -> None:
        """
        A process that does not end is killed.
        """
        process = self.started()
        ended = self.member.stop()
        self.reactor.advance(END_PATIENCE_S)
        self.assertEqual(process.signals, [signal.SIGTERM, signal.SIGKILL])
        self.assertNoResult(ended)
        process.end(number=9)
        self.successResultOf(ended)

    def test_stop_nobody(self) -> None:
        """
        Where nothing runs, that is done at once.
        """
        self.successResultOf(self.member.stop())
        self.successResultOf(self.member.kill())

    def test_frozen(self) -> None:
        """
        A process that was stopped in its tracks goes on, once; and is woken before it is asked to end.
        """
        process = self.started()
        self.member.freeze()
        self.assertIs(self.member.condition, Condition.FROZEN)
        self.member.thaw()
        self.member.thaw()
        self.assertIs(self.member.condition, Condition.UP)
        self.member.freeze()
        self.member.stop()
        self.assertEqual(
            process.signals, [signal.SIGSTOP, signal.SIGCONT, signal.SIGSTOP, signal.SIGCONT, signal.SIGTERM]
        )
        process.end()

    def test_signal_after_the_end(self) -> None:
        """
        A process that has ended, and has not been reaped, takes no harm from a signal.
        """
        process = self.started()
        process.pid = None
        ended = self.member.stop()
        process.end()
        self.successResultOf(ended)

    def test_fleet(self) -> None:
        """
        A fleet is up when all are, and has stopped when none is left; one that fails to come up is told of.
        """
        fleet = Fleet({name: self.made(name) for name in ("one", "two")})
        ready = fleet.start()
        one, two = self.reactor.processes
        one.say(b"Serving at 1\n")
        self.assertNoResult(ready)
        two.end(1)
        self.failureResultOf(ready, NeverReady)
        ended = fleet.stop()
        self.assertNoResult(ended)
        one.end()
        self.successResultOf(ended)
