"""
What happens to a devnet by chance: which node is killed, stopped, spoilt or revived next. Pure.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

from attrs import frozen

from distributor.devnet.layout import Role


class Condition(Enum):
    """
    How a node is.
    """

    UP = "up"
    DOWN = "down"
    FROZEN = "frozen"
    SPOILT = "spoilt"
    #: Starting or stopping: to be left alone.
    BUSY = "busy"


class Deed(Enum):
    """
    What is done to a node.
    """

    KILL = "kill -9"
    RESTART = "restart"
    FREEZE = "SIGSTOP"
    SPOIL = "spoil"
    REVIVE = "start"
    THAW = "SIGCONT"
    HEAL = "heal"


_CURES = {Condition.DOWN: Deed.REVIVE, Condition.FROZEN: Deed.THAW, Condition.SPOILT: Deed.HEAL}
_HARMS = (Deed.KILL, Deed.RESTART, Deed.FREEZE)

#: Of these, one is always left in peace.
_NEEDED = (Role.STORAGE_NODE, Role.DISTRIBUTOR)

#: How a storage node is spoilt; the members of L{Fault<distributor.devnet.faults.Fault>}.
STORAGE_FAULTS: tuple[Mapping[str, Any], ...] = (
    {"status": 500},
    {"status": 404},
    {"hang": True},
    {"delay_s": 1.5},
    {"ignore_range": True},
    # A lie that only the hash tells. A distributor sends the last byte when it has seen the hash, and the others before
    # that: with any other byte, readers would rightly get it.
    {"flip_at": -1},
    {"cut": {"after": 100_000, "ending": "reset"}},
    {"cut": {"after": 50_000, "ending": "close"}},
    {"cut": {"after": 20_000, "ending": "stall"}},
    {"content_length": 77},
    {"gzip": True},
)

#: The same for query nodes; the members of L{QueryFault<distributor.devnet.query_faults.QueryFault>}.
QUERY_FAULTS: tuple[Mapping[str, Any], ...] = (
    {"status": 502},
    {"text": "<html>Be right back</html>"},
    {"hang": True},
    {"drop": True},
    {"delay_s": 2.0},
    {"broken": ["storageDataObjectByUniqueInput", "storageBags", "distributionBuckets"]},
    {"broken": ["operatorMetadata", "storageBag"]},
    {"padding": 40_000_000},
)

_FAULTS = {Role.STORAGE_NODE: STORAGE_FAULTS, Role.QUERY_NODE: QUERY_FAULTS}

#: Between two deeds, on average and at most; in seconds.
MEAN_PAUSE_S, LONGEST_PAUSE_S = 1.5, 6.0

#: A node in trouble is cured rather than another troubled with this chance, once there is one.
_CURE = 0.55


@frozen
class Target:
    """
    A node that something may happen to.
    """

    name: str
    role: Role
    condition: Condition


@frozen
class Step:
    """
    One thing that happens.

    @ivar fault: how the node is spoilt; empty for other deeds.
    """

    name: str
    deed: Deed
    fault: Mapping[str, Any]


def next_step(targets: Sequence[Target], chance: random.Random) -> Step | None:
    """
    What happens next; L{None}: nothing. One storage node at least is always left in peace, so that a distributor can do
    its work, and one distributor, so that there is somebody to ask; query nodes may all be in trouble at once.
    Distributors are never spoilt: nobody has taught them to lie.
    """
    troubled = [each for each in targets if each.condition in _CURES]
    well = [each for each in targets if each.condition is Condition.UP]
    for role in _NEEDED:
        if sum(each.role is role for each in well) <= 1:
            well = [each for each in well if each.role is not role]
    if troubled and (not well or chance.random() < _CURE):
        patient = chance.choice(troubled)
        return Step(patient.name, _CURES[patient.condition], {})
    if not well:
        return None
    victim = chance.choice(well)
    faults = _FAULTS.get(victim.role, ())
    deed = chance.choice((*_HARMS, Deed.SPOIL) if faults else _HARMS)
    return Step(victim.name, deed, chance.choice(faults) if deed is Deed.SPOIL else {})


def next_cure(targets: Sequence[Target]) -> Step | None:
    """
    How the first one in trouble is put right; L{None}: none is in trouble.
    """
    return next((Step(each.name, _CURES[each.condition], {}) for each in targets if each.condition in _CURES), None)


def pause_s(chance: random.Random) -> float:
    """
    How long it is quiet then, in seconds.
    """
    return min(chance.expovariate(1 / MEAN_PAUSE_S), LONGEST_PAUSE_S)
