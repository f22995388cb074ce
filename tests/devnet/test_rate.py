"""
Tests for L{distributor.devnet.rate}.
"""

from __future__ import annotations

from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from distributor.devnet.rate import IDLE_CREDIT_S, MOST_SHARE, TICK_S, SharedRate

MIB = 1024 * 1024


@define(eq=False)
class Taker:
    """
    Takes whatever it is given, and asks again as long as it is hungry.
    """

    rate: SharedRate
    hungry: bool = True
    taken: int = 0
    most: int = 0
    turns: list[int] = field(factory=list)

    def start(self) -> Taker:
        self.rate.ask(self.turn)
        return self

    def turn(self, share: int) -> int:
        self.taken += share
        self.turns.append(share)
        if self.hungry:
            self.rate.ask(self.turn)
        return share


class SharedRateTests(SynchronousTestCase):
    """
    Bytes per second, for all.
    """

    def setUp(self) -> None:
        self.clock = Clock()

    @given(st.integers(1, 64 * MIB), st.integers(1, 60), st.lists(st.floats(0.0001, 0.5), min_size=1, max_size=30))
    def test_hungry_takers_get_the_rate_and_no_more(self, per_s: int, takers: int, steps: list[float]) -> None:
        """
        However late the reactor comes, what was given after each step is the rate times the time, but for one tick.
        """
        clock = Clock()
        rate = SharedRate(clock, per_s)
        everyone = [Taker(rate).start() for _ in range(takers)]
        for step in steps:
            clock.advance(step)
            given = sum(taker.taken for taker in everyone)
            due = per_s * clock.seconds()
            self.assertLessEqual(given, due + 1)
            self.assertGreaterEqual(given, due - per_s * TICK_S - 1)

    def test_takers_get_equal_parts(self) -> None:
        """
        Those who share the rate differ by no more than what they get in two ticks.
        """
        rate = SharedRate(self.clock, 16 * MIB)
        everyone = [Taker(rate).start() for _ in range(24)]
        self.clock.pump([TICK_S] * 100)
        parts = [taker.taken for taker in everyone]
        self.assertLessEqual(max(parts) - min(parts), 2 * 16 * MIB * TICK_S / 24)

    def test_flow_is_smooth(self) -> None:
        """
        No tick gives more than a tick's worth, and no turn more than a chunk.
        """
        taker = Taker(SharedRate(self.clock, 16 * MIB)).start()
        for _ in range(50):
            before = taker.taken
            self.clock.advance(TICK_S)
            self.assertLessEqual(taker.taken - before, 16 * MIB * TICK_S + 1)
        self.assertLessEqual(max(taker.turns), MOST_SHARE)

    @given(st.floats(0, 2e9), st.lists(st.floats(0, 0.05), min_size=1, max_size=20))
    def test_turns_come_at_multiples(self, began: float, steps: list[float]) -> None:
        """
        At whatever time of day, and however late the reactor was before: the next turn is no more than a tick away, at
        a multiple of it.
        """
        clock = Clock()
        clock.advance(began)
        rate = SharedRate(clock, MIB)
        taker = Taker(rate).start()
        for step in steps:
            clock.advance(step)
            [turn] = clock.getDelayedCalls()
            ticks = turn.getTime() / TICK_S
            self.assertLess(abs(ticks - round(ticks)), 0.001)
            self.assertLess(clock.seconds(), turn.getTime())
            self.assertLess(turn.getTime() - clock.seconds(), TICK_S * 1.001)
        rate.leave(taker.turn)

    def test_idle_time_is_not_saved_up(self) -> None:
        """
        After an hour in which nobody asked, there is no burst.
        """
        rate = SharedRate(self.clock, MIB)
        self.clock.advance(3600)
        taker = Taker(rate, hungry=False)
        for _ in range(100):
            taker.start()
            self.clock.advance(0)
        self.assertLessEqual(taker.taken, IDLE_CREDIT_S * MIB)
        self.assertGreater(taker.taken, 0)
        rate.leave(taker.turn)

    def test_short_pauses_cost_nothing(self) -> None:
        """
        A taker whose socket is full for a millisecond after each turn still gets the whole rate.
        """
        rate = SharedRate(self.clock, 16 * MIB)
        taker = Taker(rate, hungry=False)
        while self.clock.seconds() < 1:
            turns = len(taker.turns)
            taker.start()
            while len(taker.turns) == turns:
                self.clock.advance(0.001)
        self.assertLessEqual(abs(taker.taken - 16 * MIB), 16 * MIB * IDLE_CREDIT_S)

    def test_who_leaves_is_not_called(self) -> None:
        """
        Leaving stops the turn, and when nobody is left, the clock.
        """
        rate = SharedRate(self.clock, MIB)
        taker = Taker(rate).start()
        rate.leave(taker.turn)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(1)
        self.assertEqual(taker.taken, 0)

    def test_who_leaves_twice_harms_nobody(self) -> None:
        """
        Leaving without having asked is no error, and others go on.
        """
        rate = SharedRate(self.clock, MIB)
        stays = Taker(rate).start()
        goes = Taker(rate)
        rate.leave(goes.turn)
        self.clock.advance(0.1)
        self.assertGreater(stays.taken, 0)

    def test_no_rate_at_all_is_refused(self) -> None:
        """
        Zero would be a stall without end.
        """
        self.assertRaises(ValueError, SharedRate, self.clock, 0)
