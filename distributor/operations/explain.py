"""
All there is to say of one object: put together from what each part of a node says. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum

from attrs import field, frozen

from distributor.model import Listing
from distributor.operations.parts import Eviction, Held, Runs
from distributor.operations.scrub import Bad
from distributor.transfer import Progress

# Of what a catalogue says from memory.
_TOLD_ELSEWHERE = ("ours", "why", "object", "storageNodes")


class ObjectState(Enum):
    """
    What there is of an object on this node. The words are those of the API.
    """

    COMPLETE = "complete"
    PARTIAL = "partial"
    DOWNLOADING = "downloading"
    UNVERIFIED = "unverified"
    ABSENT = "absent"


@frozen
class Coming:
    """
    A download in progress.
    """

    progress: Progress
    extents: Runs


@frozen(kw_only=True)
class Facts:
    """
    What is known of one object.

    @ivar listing: what the catalogue has answered just now.
    @ivar trouble: why it has not.
    @ivar catalogue: what it has in its memory, in its own words, C{ours} and C{why} among them.
    @ivar storage_nodes: what is known of those that have it.
    @ivar readers: how many read the complete file, if that is known.
    @ivar bad: what the last scrub has found of it, if it was bad.
    """

    object_id: str
    listing: Listing | None = None
    trouble: str | None = None
    catalogue: Mapping[str, object] = field(factory=dict)
    storage_nodes: Sequence[Mapping[str, object]] = ()
    held: Held | None = None
    coming: Coming | None = None
    readers: int | None = None
    last_eviction: Eviction | None = None
    bad: Bad | None = None


def explanation(facts: Facts) -> dict[str, object]:
    """
    An object of JSON.
    """
    state, size, extents = _held(facts)
    listing = facts.listing
    catalogue = {
        **(_listed(listing) if listing is not None else {}),
        **{name: value for name, value in facts.catalogue.items() if name not in _TOLD_ELSEWHERE},
    }
    if facts.trouble is not None:
        catalogue["error"] = facts.trouble
    here = facts.catalogue.get("ours")
    if here is None and listing is not None:
        # A catalogue that has not read yet what is ours knows it of what was asked for.
        here = listing.distributed_here
    return {
        "objectId": facts.object_id,
        "catalogue": catalogue,
        "distributedHere": here,
        "why": facts.catalogue.get("why"),
        "storageNodes": [dict(node) for node in facts.storage_nodes],
        "state": state.value,
        "size": size if size is not None or listing is None else listing.object.size,
        "extents": [list(run) for run in extents],
        "readers": _readers(facts, state),
        "verification": _verification(facts, state),
        "foundBad": facts.bad.shown() if facts.bad is not None else None,
        "lastEviction": _eviction(facts.last_eviction),
    }


def _listed(listing: Listing) -> dict[str, object]:
    object = listing.object
    return {
        "size": object.size,
        "contentHash": str(object.content_hash),
        "type": object.type,
        "accepted": object.accepted,
    }


def _held(facts: Facts) -> tuple[ObjectState, int | None, Runs]:
    """
    What there is, how large it is as a whole, and which bytes are there.
    """
    held = facts.held
    if held is not None and held.state == "complete":
        return ObjectState.COMPLETE, held.size, held.extents
    if facts.coming is not None:
        # What the index knows is older.
        return ObjectState.DOWNLOADING, facts.coming.progress.size, facts.coming.extents
    if held is not None:
        return ObjectState(held.state), held.size, held.extents
    return ObjectState.ABSENT, None, ()


def _readers(facts: Facts, state: ObjectState) -> int | None:
    if facts.coming is not None:
        return facts.coming.progress.readers
    return facts.readers if state is ObjectState.COMPLETE else 0


def _eviction(eviction: Eviction | None) -> dict[str, object] | None:
    return None if eviction is None else {"at": eviction.at, "reason": eviction.reason}


def _verification(facts: Facts, state: ObjectState) -> str:
    if facts.bad is not None and not facts.bad.removed:
        return "bad"
    return {
        ObjectState.COMPLETE: "verified",
        ObjectState.DOWNLOADING: "in progress",
        ObjectState.PARTIAL: "pending",
        ObjectState.UNVERIFIED: "pending",
        ObjectState.ABSENT: "none",
    }[state]
