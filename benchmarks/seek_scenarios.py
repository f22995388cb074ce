"""
Who reads what of a cold object, and when, over a slow storage node.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from attrs import frozen

from benchmarks.processes import MIB
from benchmarks.report import Row
from distributor.devnet.rate import TICK_S

#: What a seek is asked for.
_PART = MIB

#: How many seeks in a row; what each of them is asked for; and how far they are from each other, in seconds.
_MANY = 16
_LITTLE = 64 * 1024
_APART_S = 0.3

#: The same, of twos, a MiB each: the storage node is done with two when the next two come.
_PAIRS = 10
_PAIRS_APART_S = 0.6

#: The least object in which they do not meet, in MiB.
LEAST_MIB = 4 * _PAIRS

#: It has no divisor in common with the numbers of seeks, nor with how often a scenario is measured.
_STEP = 11

#: How long those stay who only come for their first byte, in seconds: of a crowd; and where somebody seeks.
_CROWD_STAYS_S = 0.4
_SEEKERS_STAY_S = 0.9


@frozen
class Wanted:
    """
    @ivar after_s: when to ask, from the start of the round.
    @ivar seek: whether it is one of those whose first byte is reported.
    """

    start: int
    stop: int
    after_s: float = 0.0
    seek: bool = True


def _moment_s(after_s: float, phase: float) -> float:
    """
    That part of the way from one turn of the storage node's to its next.

    A first byte takes from nothing to a whole turn, as luck has it, which is more than what is to be told: so seeks
    come evenly from one turn to the next, and those at the storage node itself at the same moments.
    """
    return after_s + phase % 1 * TICK_S


def _mixed(number: int, several: int) -> int:
    """
    Which one of several phases the one of that number has: the next one is not in the next phase.
    """
    return number * _STEP % several


def whole_crowd(size: int, phase: float) -> list[Wanted]:
    """
    32 readers of the whole, at one instant.
    """
    return [Wanted(0, size) for _ in range(32)]


def whole_and_seeks(size: int, phase: float) -> list[Wanted]:
    """
    One reader of the whole; half a second later, one of the last MiB and one of the middle MiB.
    """
    middle_start = size // 2
    after_s = _moment_s(0.5, phase)
    return [
        Wanted(0, size, seek=False),
        Wanted(size - _PART, size, after_s),
        Wanted(middle_start, middle_start + _PART, after_s),
    ]


def whole_and_many_seeks(size: int, phase: float) -> list[Wanted]:
    """
    One reader of the whole; and one after another, readers of a little from where nothing has come yet.
    """
    seeks = []
    for number in range(_MANY):
        start = size - (number + 1) * _PART
        after_s = _moment_s(0.5 + number * _APART_S, (_mixed(number, _MANY) + phase) / _MANY)
        seeks.append(Wanted(start, start + _LITTLE, after_s))
    return [Wanted(0, size, seek=False), *seeks]


def whole_and_many_pairs(size: int, phase: float) -> list[Wanted]:
    """
    One reader of the whole; and one after another, two at one instant, of a MiB near the end and one near the middle,
    which is what a player asks for where nothing has come yet.
    """
    seeks = []
    for number in range(_PAIRS):
        after_s = _moment_s(0.5 + number * _PAIRS_APART_S, (_mixed(number, _PAIRS) + phase) / _PAIRS)
        places = size - (number + 1) * _PART, size // 2 + 2 * number * _PART
        seeks.extend(Wanted(start, start + _PART, after_s) for start in places)
    return [Wanted(0, size, seek=False), *seeks]


def random_ranges(size: int, phase: float) -> list[Wanted]:
    """
    32 readers of a MiB each, from anywhere.
    """
    places = random.Random(4)
    starts = [places.randrange(size - _PART) for _ in range(32)]
    return [Wanted(start, start + _PART) for start in starts]


@frozen
class Scenario:
    """
    @ivar wanted: who reads what, of an object of that size, in that phase (0 to 1) between two of the storage node's
        turns.
    @ivar most_sent: what the storage node may send in all, as a multiple of the object's size.
    @ivar slowest_seek: how long a first byte may take, as a multiple of what the storage node itself takes; L{None}
        where that is not asked.
    @ivar delay_ms: how long the storage node is silent before each answer, as one across a continent.
    @ivar more: how often more in each round, with the servers that are quick enough: luck says less in many.
    @ivar stay_s: how long they stay then, as they come for their first byte; L{None} until they have all.
    """

    title: str
    wanted: Callable[[int, float], list[Wanted]]
    most_sent: float
    slowest_seek: float | None = None
    delay_ms: int = 0
    more: int = 0
    stay_s: float | None = None

    def phase(self, turn: int, number: int, rounds: int) -> float:
        """
        That of a measurement: spread evenly over those of a round, and over all of a run.

        @param turn: which one of the round.
        @param number: which round of the run.
        """
        several = 1 + self.more
        return (_mixed(turn + number, several) + (number + 0.5) / rounds) / several

    @property
    def rows(self) -> tuple[Row, ...]:
        """
        What is reported.
        """
        return (
            Row("readers that got less, or something wrong", "failed", target=0, digits=0),
            Row("sent / distinct bytes wanted, when the last reader was done", "sentWanted", digits=2),
            Row("sent / object, when all was quiet", "sentObject", target=self.most_sent, digits=3),
            Row("asked of the storage node again by a later reader / object", "again", digits=2),
            Row("first byte, median ms", "firstMedianMs", digits=1),
            Row("first byte, last reader ms", "firstMostMs", digits=1),
            Row("first byte, mean ms", "firstMeanMs", digits=1),
            Row("mean of all first bytes / of those of the storage node itself", "firstDirect", digits=2),
            Row("the same, and two standard errors", "firstDirectMost", target=self.slowest_seek, digits=2),
            Row("last reader done, s", "done", digits=2),
            Row("peak memory growth, MiB", "memoryMiB", target=32),
        )


SCENARIOS = (
    Scenario("32 readers of the whole", whole_crowd, 1.02, more=8, stay_s=_CROWD_STAYS_S),
    Scenario("a whole reader, and two seeks after 0.5 s", whole_and_seeks, 1.1, 1.2, more=60, stay_s=_SEEKERS_STAY_S),
    Scenario("a whole reader, and 16 seeks one after another", whole_and_many_seeks, 1.1, 1.2),
    Scenario("a whole reader, and ten times two seeks at one instant", whole_and_many_pairs, 1.1, 1.2, more=2),
    Scenario(
        "16 seeks one after another, of a storage node that takes 20 ms to answer",
        whole_and_many_seeks,
        1.1,
        1.2,
        delay_ms=20,
    ),
    Scenario("32 random ranges of 1 MiB", random_ranges, 1.1),
)
