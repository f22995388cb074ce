"""
Which of several storage nodes is likely to have bytes here first.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve, frozen

#: How much the last one of many counts in a mean: what was ten requests ago is a twentieth of it.
_WEIGHT = 0.25

#: For how many bytes the time is estimated by which nodes are compared: so many a player wants before it begins.
_TYPICAL = 1024 * 1024

#: What is assumed where nothing is known, in seconds and bytes per second. A good node: else it would never be asked.
_ASSUMED_FIRST_BYTE_S = 0.1
_ASSUMED_RATE = 10.0 * 1024 * 1024

#: Below the one nobody notices a difference, in seconds; below the other, in bytes per second, it is all the same.
_SHORTEST_FIRST_BYTE_S = 0.05
_LOWEST_RATE = 1024.0

#: How often in a row a node that is as good as the best is passed over before it has a turn: it may have become faster.
#: One that takes twice as long is passed over twice as often, and so on, up to the second.
TRY_EVERY = 16
RAREST = 480

#: When a second node is asked, in seconds: not before the first, since that would be for nothing; after the second
#: where nothing is known of the node; in any case after half the time-out.
_SOONEST_SECOND_S = 0.25
_ASSUMED_USUAL_S = 1.0

#: So many mean deviations above the mean are not usual any more, as in TCP (RFC 6298 §2).
_DEVIATIONS = 4


def _mean(old: float | None, new: float) -> float:
    return new if old is None else old + _WEIGHT * (new - old)


@frozen
class Performance:
    """
    How a storage node has done so far.

    @ivar first_byte_s: how long it takes to answer, in seconds, as an exponentially weighted mean.
    @ivar deviation_s: by how much it is off that, in the mean.
    @ivar rate: bytes per second, as an exponentially weighted mean.
    @ivar failing: which part of its requests fails, the same way; from 0 to 1.
    @ivar asked: it has been asked at all.
    @ivar passed_over: how often another one has been asked instead since.
    """

    first_byte_s: float | None = None
    deviation_s: float = 0.0
    rate: float | None = None
    failing: float = 0.0
    asked: bool = False
    passed_over: int = 0

    def chosen(self) -> Performance:
        """
        It is asked.
        """
        return self if self.asked and not self.passed_over else evolve(self, asked=True, passed_over=0)

    def not_chosen(self) -> Performance:
        """
        Another one is asked instead.
        """
        return evolve(self, passed_over=self.passed_over + 1)

    def answered(self, after_s: float) -> Performance:
        """
        It has answered.
        """
        if self.first_byte_s is None:
            return evolve(self, first_byte_s=after_s, deviation_s=after_s / 2)
        deviation_s = _mean(self.deviation_s, abs(after_s - self.first_byte_s))
        return evolve(self, first_byte_s=_mean(self.first_byte_s, after_s), deviation_s=deviation_s)

    def unanswered(self, for_s: float) -> Performance:
        """
        It had not answered when it was given up for another one: how long it would have taken is not known, only that
        it would have been longer. Of one that is asked for less than its usual time that tells nothing.
        """
        least = _ASSUMED_FIRST_BYTE_S if self.first_byte_s is None else self.first_byte_s
        return self.answered(for_s) if for_s > least else self

    def gave(self, rate: float) -> Performance:
        """
        It has given so many bytes per second.
        """
        return evolve(self, rate=_mean(self.rate, rate))

    def succeeded(self) -> Performance:
        """
        It has brought what it was asked for.
        """
        return evolve(self, failing=_mean(self.failing, 0.0))

    def failed(self) -> Performance:
        """
        It has not.
        """
        return evolve(self, failing=_mean(self.failing, 1.0))

    @property
    def cost_s(self) -> float:
        """
        How many seconds it is likely to take until it has brought some bytes; with those for asking again.
        """
        first_byte_s = _ASSUMED_FIRST_BYTE_S if self.first_byte_s is None else self.first_byte_s
        rate = _ASSUMED_RATE if self.rate is None else self.rate
        once_s = max(first_byte_s, _SHORTEST_FIRST_BYTE_S) + _TYPICAL / max(rate, _LOWEST_RATE)
        return once_s / max(1.0 - self.failing, 0.01)

    def usual_s(self, timeout_s: float) -> float:
        """
        After how many seconds without an answer another node is asked as well.
        """
        usual_s = _ASSUMED_USUAL_S
        if self.first_byte_s is not None:
            usual_s = max(self.first_byte_s + _DEVIATIONS * self.deviation_s, _SOONEST_SECOND_S)
        return min(usual_s, timeout_s / 2)


@frozen
class Candidate:
    """
    A storage node that may be asked.

    @ivar shunned: for how grave a reason it is to be asked after all others; 0 for none.
    @ivar busy: what it does for the same object already, in requests.
    """

    performance: Performance
    shunned: int = 0
    busy: int = 0


def order(candidates: Sequence[Candidate], *, in_turn: bool) -> list[int]:
    """
    In which order to ask them, as positions in C{candidates}: the shunned last; else those that are likely to be first.
    Of equals the first is.

    @param in_turn: before all others those that have never been asked, or been passed over for long: there is no other
        way to know how they do. Otherwise nobody is better for not being known.
    """
    good = [each.performance for each in candidates if not each.shunned]
    best_s = min((each.cost_s for each in good), default=0.0)
    best_known_s = min((each.cost_s for each in good if each.asked), default=0.0)

    def rank(position: int) -> tuple[int, float, float, bool]:
        each = candidates[position]
        performance, cost_s = each.performance, each.performance.cost_s
        if in_turn and not each.shunned:
            if not performance.asked:
                return 0, float("-inf"), 0.0, True
            if performance.passed_over >= min(TRY_EVERY * cost_s / best_s, RAREST):
                return 0, -performance.passed_over, 0.0, False
        if not performance.asked:
            cost_s = max(cost_s, best_known_s)
        return each.shunned, 0.0, cost_s * (each.busy + 1), not performance.asked

    return sorted(range(len(candidates)), key=rank)
