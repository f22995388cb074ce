"""
Storage nodes that give something, and far less than another one would.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from distributor.model import StorageNode
from distributor.sources import StorageNodes
from distributor.transfer.segment import Segment

#: A segment younger than this, in seconds, is not yet called slow.
_AFTER_S = 5.0

#: A node is given up for another one that lately gave this many times as much.
_FACTOR = 10


def crawling(
    segments: Sequence[Segment],
    missing: Collection[int],
    now: float,
    nodes: StorageNodes,
    sources: Collection[StorageNode],
) -> Iterator[tuple[Segment, float]]:
    """
    Remember what storage nodes give.

    @param segments: those in progress.
    @param missing: the offsets that readers wait for.
    @param now: in seconds.
    @param sources: who could be asked instead.
    @return: segments that somebody waits for, and whose node is to be given up, with the rate of that in bytes per
        second.
    """
    old = [segment for segment in segments if now - segment.began_at >= _AFTER_S]
    for node in dict.fromkeys(segment.node for segment in old if segment.rate is not None):
        rate = sum(segment.rate or 0.0 for segment in segments if segment.node == node)
        best = nodes.standings.best_rate(other for other in sources if other != node)
        # Of one that crawls, too: what it gave in better times is no measure for others any more.
        nodes.standings.note_rate(node, rate)
        if best is not None and rate * _FACTOR < best:
            for segment in (each for each in old if each.node == node):
                if any(segment.position <= offset < segment.stop_offset for offset in missing):
                    yield segment, rate
