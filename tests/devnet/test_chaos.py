"""
Tests for L{distributor.devnet.chaos}.
"""

from __future__ import annotations

import random

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from distributor.devnet.chaos import (
    LONGEST_PAUSE_S,
    QUERY_FAULTS,
    STORAGE_FAULTS,
    Condition,
    Deed,
    Target,
    next_cure,
    next_step,
    pause_s,
)
from distributor.devnet.faults import HEALTHY, fault_of
from distributor.devnet.layout import Role
from distributor.devnet.query_faults import QueryFault

_ROLES = (*[Role.STORAGE_NODE] * 3, *[Role.QUERY_NODE] * 2, *[Role.DISTRIBUTOR] * 2)
_AFTER = {
    Deed.KILL: Condition.DOWN,
    Deed.FREEZE: Condition.FROZEN,
    Deed.SPOIL: Condition.SPOILT,
}
_FITTING = {Deed.REVIVE: Condition.DOWN, Deed.THAW: Condition.FROZEN, Deed.HEAL: Condition.SPOILT}


def targets(conditions: list[Condition]) -> list[Target]:
    """
    Three storage nodes, two query nodes and two distributors.
    """
    return [
        Target(str(number), role, condition)
        for number, (role, condition) in enumerate(zip(_ROLES, conditions, strict=True))
    ]


_CONDITIONS = st.lists(st.sampled_from(Condition), min_size=7, max_size=7)


class NextStepTests(SynchronousTestCase):
    """
    One step.
    """

    @given(_CONDITIONS, st.integers())
    def test_possible(self, conditions: list[Condition], seed: int) -> None:
        """
        What is done to a node can be done: only who is well is harmed, and each gets the cure that it needs; who is
        busy is left alone.
        """
        there = targets(conditions)
        step = next_step(there, random.Random(seed))
        if step is None:
            self.assertNotIn(Condition.DOWN, conditions)
            return
        [target] = [each for each in there if each.name == step.name]
        self.assertIs(target.condition, _FITTING.get(step.deed, Condition.UP))
        self.assertFalse(step.fault and target.role is Role.DISTRIBUTOR)
        self.assertEqual(bool(step.fault), step.deed is Deed.SPOIL)

    @given(st.integers(), st.integers(1, 200))
    def test_some_are_left(self, seed: int, steps: int) -> None:
        """
        However long it goes on, one storage node and one distributor at least are well.
        """
        chance = random.Random(seed)
        there = {each.name: each for each in targets([Condition.UP] * 7)}
        for _ in range(steps):
            step = next_step(list(there.values()), chance)
            assert step is not None
            there[step.name] = evolve(there[step.name], condition=_AFTER.get(step.deed, Condition.UP))
            well = [each for each in there.values() if each.condition is Condition.UP]
            self.assertLessEqual({Role.STORAGE_NODE, Role.DISTRIBUTOR}, {each.role for each in well})

    def test_everything_happens(self) -> None:
        """
        Each deed, and each fault, comes in its turn; and both query nodes are in trouble at once some time.
        """
        chance = random.Random(1)
        there = {each.name: each for each in targets([Condition.UP] * 7)}
        deeds, faults, suffered, most = set(), set(), set(), 0
        for _ in range(2000):
            step = next_step(list(there.values()), chance)
            assert step is not None
            deeds.add(step.deed)
            faults.add(str(step.fault))
            if there[step.name].role is Role.DISTRIBUTOR:
                suffered.add(step.deed)
            there[step.name] = evolve(there[step.name], condition=_AFTER.get(step.deed, Condition.UP))
            most = max(most, sum(there[name].condition is not Condition.UP for name in "34"))
        self.assertEqual(deeds, set(Deed))
        self.assertEqual(suffered, set(Deed) - {Deed.SPOIL, Deed.HEAL})
        self.assertEqual(faults - {"{}"}, set(map(str, (*STORAGE_FAULTS, *QUERY_FAULTS))))
        self.assertEqual(most, 2)

    @given(_CONDITIONS)
    def test_cures(self, conditions: list[Condition]) -> None:
        """
        Cured one by one, nobody is left in trouble.
        """
        there = {each.name: each for each in targets(conditions)}
        for _ in range(8):
            step = next_cure(list(there.values()))
            if step is None:
                break
            self.assertIs(there[step.name].condition, _FITTING[step.deed])
            there[step.name] = evolve(there[step.name], condition=Condition.UP)
        self.assertTrue({each.condition for each in there.values()} <= {Condition.UP, Condition.BUSY})


class FaultTests(SynchronousTestCase):
    """
    How nodes are spoilt.
    """

    def test_they_are_faults(self) -> None:
        """
        Each of them is something that a node can be told, and none is healthy.
        """
        for fault in STORAGE_FAULTS:
            self.assertNotEqual(fault_of(fault), HEALTHY)
        for fault in QUERY_FAULTS:
            self.assertNotEqual(QueryFault(**fault), QueryFault())

    @given(st.integers())
    def test_pause(self, seed: int) -> None:
        """
        A pause has an end.
        """
        self.assertTrue(0 <= pause_s(random.Random(seed)) <= LONGEST_PAUSE_S)
