"""
Which objects have to go, as a function of what there is.
"""

from __future__ import annotations

from collections.abc import Container, Iterable


def victims(needed: int, candidates: Iterable[tuple[str, int]], busy: Container[str]) -> list[str] | None:
    """
    Choose what to evict, so that C{needed} bytes become free.

    Those that can best be spared go, and of these only as many as it takes: when a large one has to go in the end, the
    small ones before it may stay.

    @param candidates: ids and the bytes that each occupies, in the order in which they can be spared.
    @param busy: ids of those that somebody reads. They are left alone: their space would become free only when the last
        reader goes.
    @return: ids in that order; L{None} if all together do not suffice, and then nothing need go.
    """
    chosen: list[tuple[str, int]] = []
    freed = 0
    for object_id, size in candidates:
        if freed >= needed:
            break
        # Those that occupy nothing need not go for the sake of space.
        if size > 0 and object_id not in busy:
            chosen.append((object_id, size))
            freed += size
    if freed < needed:
        return None
    kept = []
    for object_id, size in reversed(chosen):
        if freed - size >= needed:
            freed -= size
        else:
            kept.append(object_id)
    kept.reverse()
    return kept
