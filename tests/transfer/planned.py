"""
What the tests of the plan share: numbers small enough to reach each case, and what a plan does to segments.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from distributor.transfer import plan as planning
from distributor.transfer.extents import Extents
from distributor.transfer.plan import Action, Bound, Pause, Reading, Resume, Running, Start, Stop

#: In bytes, each of which stands for some hundreds of KiB. As with the real numbers, what is near comes soon.
SMALL = {"WELL_SUPPLIED": 8, "LOW": 4, "ASSUMED_RATE": 30, "SOON_S": 0.2, "NEAR": 3, "LEAST": 5}

#: Too new to tell, stalled, one byte soon, as assumed, everything soon.
RATES = (None, 0.0, 5.0, 30.0, 1000.0)


def use_small_numbers(case: SynchronousTestCase) -> None:
    """
    Plan with L{SMALL} until the test ends.
    """
    for name, number in SMALL.items():
        case.patch(planning, name, number)


def missing_of(size: int, arrived: Extents) -> set[int]:
    """
    The bytes that have not come.
    """
    return {byte for hole in arrived.holes(0, size) for byte in range(*hole)}


def to_come(arrived: Extents, running: Iterable[Running]) -> Counter[int]:
    """
    How many segments are to bring each of the bytes that have not come.
    """
    brought: Counter[int] = Counter()
    for segment in running:
        for hole in arrived.holes(segment.position, segment.stop):
            brought.update(range(*hole))
    return brought


def hungry(arrived: Extents, readers: Iterable[Reading]) -> dict[int, int]:
    """
    What those want next who will soon run dry, and how much the hungriest of them still has.
    """
    wants: dict[int, int] = {}
    for reader in readers:
        missing = arrived.stop_at(reader.offset)
        ahead = missing - reader.offset
        if missing < reader.stop and ahead < planning.WELL_SUPPLIED:
            wants[missing] = min(ahead, wants.get(missing, ahead))
    return wants


def apply(actions: Sequence[Action], running: Mapping[int, Running], next_key: int = 1000) -> dict[int, Running]:
    """
    Carry out a plan as a download does, and see that it can be.

    @param next_key: of the first segment that is started.
    """
    after = dict(running)
    keyed = [action for action in actions if not isinstance(action, Start)]
    assert len({(type(action), action.key) for action in keyed}) == len(keyed), f"twice the same: {actions}"
    for action in actions:
        match action:
            case Start(offset, stop):
                after[next_key] = Running(next_key, offset, stop)
                next_key += 1
            case Bound(key, stop):
                assert after[key].position < stop < after[key].stop, f"{action} of {after[key]}"
                after[key] = evolve(after[key], stop=stop)
            case Stop(key):
                del after[key]
            case Pause(key):
                assert after[key].paused_s is None, f"{action} of {after[key]}"
                after[key] = evolve(after[key], rate=None, paused_s=0.0)
            case Resume(key):
                assert after[key].paused_s is not None, f"{action} of {after[key]}"
                after[key] = evolve(after[key], rate=None, paused_s=None)
    return after


def check(size: int, arrived: Extents, running: Mapping[int, Running], readers: Sequence[Reading], limit: int) -> None:
    """
    What must hold of segments once a plan has been carried out, where storage nodes honour C{Range}.
    """
    segments = running.values()
    assert len(segments) <= limit, f"{len(segments)} segments"
    twice = {byte: times for byte, times in to_come(arrived, segments).items() if times > 1}
    assert not twice, f"several segments bring {sorted(twice)}"
    wants = hungry(arrived, readers)
    idle = {segment.key for segment in segments if segment.paused_s is not None}
    brings = {
        missing: {segment.key for segment in segments if segment.position <= missing < segment.stop}
        for missing in wants
    }
    wanted = {key for missing in wants for key in brings[missing]}
    for missing, ahead in wants.items():
        soon = any(planning.comes_soon(missing, running[key]) for key in brings[missing])
        full = len(segments) == limit and (ahead >= planning.LOW or wanted == running.keys())
        assert soon or full, f"{missing} does not come soon, and could"
    if wanted:
        assert wanted == running.keys() - idle, "something runs for nobody, or does not run for somebody"
    else:
        assert not idle, "nobody waits, and something is paused"
        assert segments or not missing_of(size, arrived), "nobody waits, and nothing goes on"
