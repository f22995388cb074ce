"""
Tests for L{distributor.sources.ranking}.
"""

from __future__ import annotations

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from distributor.sources.ranking import RAREST, TRY_EVERY, Candidate, Performance, order

MIB = 1024 * 1024
TIMEOUT_S = 10.0

times = st.floats(0.0, 30.0)
rates = st.floats(0.0, 1e10)


@st.composite
def performances(draw: st.DrawFn) -> Performance:
    """
    What may be known of a node.
    """
    performance = Performance()
    for event in draw(st.lists(st.sampled_from("cnausfg"), max_size=30)):
        match event:
            case "c":
                performance = performance.chosen()
            case "n":
                performance = performance.not_chosen()
            case "a":
                performance = performance.answered(draw(times))
            case "u":
                performance = performance.unanswered(draw(times))
            case "s":
                performance = performance.succeeded()
            case "f":
                performance = performance.failed()
            case "g":
                performance = performance.gave(draw(rates))
    return performance


def known(first_byte_s: float, rate: float) -> Performance:
    """
    A node that has done just so.
    """
    return Performance().chosen().answered(first_byte_s).gave(rate).succeeded()


class PerformanceTests(SynchronousTestCase):
    """
    What is made of what a node does.
    """

    def test_means(self) -> None:
        """
        What came last counts a quarter, and what was long ago hardly anything.
        """
        self.assertEqual(known(1.0, 100.0).answered(2.0).first_byte_s, 1.25)
        self.assertEqual(known(1.0, 100.0).gave(200.0).rate, 125.0)
        performance = known(30.0, 1.0)
        for _ in range(30):
            performance = performance.answered(0.1).gave(1000.0)
        assert performance.first_byte_s is not None and performance.rate is not None
        self.assertAlmostEqual(performance.first_byte_s, 0.1, places=1)
        self.assertAlmostEqual(performance.rate, 1000.0, places=0)

    def test_given_up(self) -> None:
        """
        A node that had not answered when another one did is at least so slow; of one that had had no time yet, that
        tells nothing.
        """
        self.assertEqual(known(1.0, 1.0).unanswered(2.0), known(1.0, 1.0).answered(2.0))
        self.assertEqual(known(1.0, 1.0).unanswered(0.9), known(1.0, 1.0))
        self.assertEqual(Performance().unanswered(0.001), Performance())
        self.assertEqual(Performance().unanswered(3.0).first_byte_s, 3.0)

    def test_usual_time(self) -> None:
        """
        A second node is asked when the first one has not answered in its usual time; of one of which nothing is known,
        after a second; never at once, nor after more than half the time-out.
        """
        self.assertEqual(Performance().usual_s(TIMEOUT_S), 1.0)
        self.assertEqual(Performance().usual_s(1.0), 0.5)
        steady = known(0.001, 1.0)
        for _ in range(50):
            steady = steady.answered(0.001)
        self.assertEqual(steady.usual_s(TIMEOUT_S), 0.25)
        self.assertEqual(known(60.0, 1.0).usual_s(TIMEOUT_S), TIMEOUT_S / 2)

    def test_one_that_varies_has_more_time(self) -> None:
        """
        What is usual depends on how far a node is off its mean.
        """
        steady = varying = known(1.0, 1.0)
        for _ in range(40):
            steady = steady.answered(1.0)
            varying = varying.answered(0.5).answered(1.5)
        self.assertTrue(1.0 <= steady.usual_s(TIMEOUT_S) < 1.1, steady.usual_s(TIMEOUT_S))
        self.assertGreater(varying.usual_s(TIMEOUT_S), 2.0)

    def test_failures_cost(self) -> None:
        """
        A node that fails takes longer in the end, however fast it is when it does not.
        """
        half = known(0.1, 10 * MIB)
        for _ in range(10):
            half = half.failed().succeeded()
        self.assertGreater(half.cost_s, 1.5 * known(0.1, 10 * MIB).cost_s)

    @given(performances(), st.floats(0.01, 100.0))
    def test_bounds(self, performance: Performance, timeout_s: float) -> None:
        """
        Whatever has happened, the estimates are of use.
        """
        self.assertTrue(0.0 <= performance.failing <= 1.0)
        self.assertTrue(0.0 < performance.cost_s < float("inf"))
        self.assertTrue(0.0 < performance.usual_s(timeout_s) <= timeout_s / 2)

    @given(performances(), times, rates)
    def test_better_is_not_worse(self, performance: Performance, first_byte_s: float, rate: float) -> None:
        """
        A failure never makes a node look better, nor a success worse; nor an answer that comes sooner, or more bytes.
        """
        self.assertGreaterEqual(performance.failed().cost_s, performance.cost_s)
        self.assertLessEqual(performance.succeeded().cost_s, performance.cost_s)
        sooner, later = performance.answered(first_byte_s), performance.answered(first_byte_s + 1.0)
        self.assertLessEqual(sooner.cost_s, later.cost_s)
        self.assertLessEqual(performance.gave(rate + 1.0).cost_s, performance.gave(rate).cost_s)


class OrderTests(SynchronousTestCase):
    """
    Who is asked first.
    """

    def order(self, *performances: Performance) -> list[int]:
        """
        That of nodes which are not busy.
        """
        return order([Candidate(each) for each in performances], in_turn=True)

    def test_soonest(self) -> None:
        """
        A node that answers late may still be the one that has the bytes here first.
        """
        self.assertEqual(self.order(known(0.2, MIB), known(0.3, 10 * MIB), known(0.4, 20 * MIB)), [1, 2, 0])

    def test_equal(self) -> None:
        """
        Of equals the first is.
        """
        self.assertEqual(self.order(*[known(0.2, MIB)] * 4), [0, 1, 2, 3])

    def test_unknown(self) -> None:
        """
        Those that have never been asked are, before all others.
        """
        candidates = [known(0.05, 100 * MIB), Performance(), Performance()]
        self.assertEqual(self.order(*candidates), [1, 2, 0])

    def test_not_their_turn(self) -> None:
        """
        In the middle of an object that is no reason: there one that is not known is not better than any that is.
        """
        fast, slow, unknown = Candidate(known(0.05, 100 * MIB)), Candidate(known(1.0, MIB)), Candidate(Performance())
        self.assertEqual(order([slow, unknown, fast], in_turn=False), [2, 1, 0])
        self.assertEqual(order([unknown, slow], in_turn=False), [1, 0])
        self.assertEqual(order([unknown, evolve(slow, busy=1)], in_turn=False), [0, 1])
        passed_over = Candidate(evolve(slow.performance, passed_over=RAREST))
        self.assertEqual(order([fast, passed_over], in_turn=False), [0, 1])

    def test_busy(self) -> None:
        """
        One that is busy with the same object has to be so much better.
        """
        fast, slow = known(0.1, 10 * MIB), known(0.2, 5 * MIB)
        self.assertEqual(order([Candidate(fast, busy=1), Candidate(fast), Candidate(slow)], in_turn=False), [1, 0, 2])
        self.assertEqual(order([Candidate(fast, busy=3), Candidate(slow)], in_turn=False), [1, 0])

    def test_shunned(self) -> None:
        """
        Those for which there is a reason against come last, those with the gravest one at the end; even if unknown.
        """
        fast = known(0.1, 10 * MIB)
        candidates = [Candidate(fast, shunned=2), Candidate(Performance(), shunned=1), Candidate(known(9.0, 1.0))]
        self.assertEqual(order(candidates, in_turn=True), [2, 1, 0])

    def turns(self, *performances: Performance, requests: int) -> list[int]:
        """
        How many of so many requests each has got.
        """
        them = list(performances)
        got = [0] * len(them)
        for _ in range(requests):
            chosen = self.order(*them)[0]
            got[chosen] += 1
            them = [each.chosen() if n == chosen else each.not_chosen() for n, each in enumerate(them)]
        return got

    def test_now_and_then(self) -> None:
        """
        One that is nearly as good as the best has a turn now and then, one that is far worse more rarely.
        """
        best, near, far = known(0.1, 10 * MIB), known(0.101, 10 * MIB), known(1.0, MIB)
        got = self.turns(best, near, far, requests=1000)
        self.assertTrue(1000 // (2 * TRY_EVERY) <= got[1] <= 1000 // TRY_EVERY, got)
        self.assertTrue(1 <= got[2] <= 1000 // (5 * TRY_EVERY), got)

    def test_the_only_one(self) -> None:
        """
        Somebody is always first; of nobody, nobody.
        """
        self.assertEqual(order([Candidate(known(99.0, 1.0), shunned=8)], in_turn=True), [0])
        self.assertEqual(order([], in_turn=True), [])

    candidates = st.lists(st.builds(Candidate, performances(), st.integers(0, 3), st.integers(0, 9)), max_size=8)

    @given(candidates, st.booleans())
    def test_each_once(self, candidates: list[Candidate], in_turn: bool) -> None:
        """
        Everybody is in the order once, and those with a reason against them are behind those without.
        """
        found = order(candidates, in_turn=in_turn)
        self.assertEqual(sorted(found), list(range(len(candidates))))
        shunned = [candidates[position].shunned for position in found]
        self.assertEqual(shunned, sorted(shunned))

    @given(st.lists(performances(), min_size=1, max_size=5))
    def test_everybody_has_a_turn(self, performances: list[Performance]) -> None:
        """
        Nobody is passed over for ever.
        """
        fresh = [evolve(each, passed_over=0) for each in performances]
        self.assertNotIn(0, self.turns(*fresh, requests=RAREST + 2 * len(fresh)))
