"""
What becomes of the objects that a node distributes when it has asked anew: a query node that is being set up again, or
has lost half of its data, must not cost a node its cache.

Pure. A large loss takes effect when three refreshes in a row agree on it.
"""

from __future__ import annotations

from attrs import field, frozen

from distributor.catalogue.object_ids import ObjectIds

#: A loss of more than one in so many is a large one.
_LARGE = 10

#: The refresh that brought a large loss, and the next two.
AGREEING = 3


@frozen
class Ours:
    """
    What this node distributes.

    @ivar ids: in force.
    @ivar doubted: those of them that all of the last refreshes, which were held back, did not have.
    @ivar refreshes: how many those are.
    """

    ids: ObjectIds = field(factory=ObjectIds)
    doubted: ObjectIds = field(factory=ObjectIds)
    refreshes: int = 0


def refreshed(ours: Ours, found: ObjectIds, *, behind: bool = False) -> Ours:
    """
    What is in force after a refresh. What is new takes effect at once; so does the loss of up to a tenth.

    @param found: what the query node has now.
    @param behind: it has fallen behind what it knew before, so what it does not know says nothing.
    """
    lost = ours.ids - found
    if not lost:
        return Ours(found)
    everything = ours.ids | found
    if behind:
        return Ours(everything, ours.doubted, ours.refreshes)
    if not _is_large(lost, ours.ids):
        return Ours(found)
    agreed = lost & ours.doubted
    if not _is_large(agreed, ours.ids):
        # They do not agree, or there was none to agree with.
        return Ours(everything, lost, 1)
    if ours.refreshes + 1 < AGREEING:
        return Ours(everything, agreed, ours.refreshes + 1)
    return Ours(everything - agreed)


def chosen(ours: Ours, found: ObjectIds, *, behind: bool = False) -> Ours:
    """
    What is in force after the first refresh for other buckets, which the operator has named: a loss is what was meant,
    unless there would be nothing left, as after a slip of the pen.
    """
    return Ours(found) if found else refreshed(ours, found, behind=behind)


def _is_large(lost: ObjectIds, of: ObjectIds) -> bool:
    return bool(lost) and len(lost) * _LARGE > len(of)
