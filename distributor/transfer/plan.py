"""
What a download should do next, as a function of facts.

This is the simplest plan that keeps the promise of one transfer: one base segment at a time, which fills the
first hole.
"""

from __future__ import annotations

from collections.abc import Collection

from attrs import frozen

from distributor.transfer.extents import Extents, Run


@frozen
class Start:
    """
    Ask a storage node for the bytes from C{offset} up to C{stop}.
    """

    offset: int
    stop: int


def plan(size: int, extents: Extents, running: Collection[Run]) -> list[Start]:
    """
    The segments to start.

    @param size: of the object, in bytes.
    @param extents: what has arrived, whether or not it has reached the disk.
    @param running: the runs that segments in progress have still to deliver.
    """
    if running:
        return []
    for start, stop in extents.holes(0, size):
        return [Start(start, stop)]
    return []
