"""
The catalogue that answers from a manifest in memory, and can read it again in a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from attrs import evolve
from twisted.logger import Logger
from zope.interface import implementer

from distributor.catalogue.interface import ICatalogue, Selection, explained_listing
from distributor.catalogue.manifest import Entry, Manifest, ManifestError
from distributor.model import InThread, Listing, ObjectNotFound, StorageNode


@implementer(ICatalogue)
class ManifestCatalogue:
    """
    The catalogue of a manifest.

    A manifest knows no workers: a node that distributes the buckets of its worker distributes all of it.

    @param manifest: what to answer from at first.
    @param read: gives the manifest anew, and may block.
    @param buckets: the buckets that this node distributes; L{None}: all.
    @param worker_id: whose buckets those are, where none are named.
    @param changed: is called when another manifest, or other buckets, are in force.
    """

    _log = Logger()

    #: A manifest changes when its operator wants it to, who then does not want to wait for long.
    negative_ttl_s = 30

    def __init__(
        self,
        manifest: Manifest,
        read: Callable[[], Manifest],
        in_thread: InThread,
        buckets: Iterable[str | int] | None = None,
        worker_id: int | None = None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._read = read
        self._in_thread = in_thread
        self._changed = changed
        self.selection = Selection(None if buckets is None else tuple(buckets), worker_id)
        # Readings are numbered, so that one that took long does not undo a later one.
        self._readings = 0
        self._in_force = 0
        self._take(manifest)

    def _take(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._log.info("The manifest lists {objects} objects.", objects=len(manifest.entries))
        self._judge_buckets()

    def _judge_buckets(self) -> None:
        buckets = self.selection.buckets
        self._buckets = None if buckets is None else frozenset(map(str, buckets))
        unnamed = (self._buckets or frozenset()) - {str(bucket) for bucket in self._manifest.bucket_ids}
        if unnamed:
            self._log.warn(
                "No object of the manifest is in these configured buckets: {buckets}",
                buckets=", ".join(sorted(unnamed)),
            )

    async def reload(self) -> bool:
        """
        Read the manifest again. What is wrong with it is logged; what was in force before stays so.

        @return: whether the manifest was taken.
        """
        self._readings += 1
        reading = self._readings
        try:
            manifest = await self._in_thread(self._read)
        except ManifestError as error:
            self._log.error("The manifest is refused, the old one stays in force:\n{problems}", problems=str(error))
            return False
        except Exception:
            self._log.failure("The manifest could not be read, the old one stays in force.")
            return False
        if reading < self._in_force:
            return False
        self._in_force = reading
        self._take(manifest)
        self._changed()
        return True

    def set_buckets(self, buckets: Iterable[str | int] | None) -> None:
        """
        Distribute these buckets from now on; L{None}: all of the manifest.
        """
        self._select(evolve(self.selection, buckets=None if buckets is None else tuple(buckets)))

    def set_worker(self, worker_id: int | None) -> None:
        """
        Be this worker from now on; which buckets that makes it, the manifest does not say.
        """
        self._select(evolve(self.selection, worker_id=worker_id))

    def _select(self, selection: Selection) -> None:
        if selection != self.selection:
            self.selection = selection
            self._judge_buckets()
            self._changed()

    async def lookup(self, object_id: str) -> Listing:
        """
        What is known of an object. Whether it is accepted, and distributed here, is for the caller to judge.

        @raise ObjectNotFound: the manifest does not list it.
        """
        try:
            entry = self._manifest.entries[object_id]
        except KeyError:
            raise ObjectNotFound(object_id) from None
        return Listing(entry.object, entry.storage_nodes, self._is_ours(entry))

    def _is_ours(self, entry: Entry) -> bool:
        return (
            entry.buckets is None
            or self._buckets is None
            or any(str(bucket) in self._buckets for bucket in entry.buckets)
        )

    def serves(self, object_id: str) -> bool | None:
        """
        Whether this node distributes an object; L{None}: the manifest does not list it.
        """
        entry = self._manifest.entries.get(object_id)
        return None if entry is None else self._is_ours(entry)

    def explain(self, object_id: str) -> dict[str, object]:
        """
        What the manifest says of an object.
        """
        explained: dict[str, object] = {"source": "manifest", "ours": self.serves(object_id)}
        entry = self._manifest.entries.get(object_id)
        if entry is None:
            return explained | {"state": "not found", "why": "the manifest does not list it"}
        if entry.buckets is None:
            why = "the manifest names no buckets for it"
        else:
            why = f"the manifest has it in {_shown(entry.buckets)}; this node distributes " + (
                "all buckets" if self.selection.buckets is None else _shown(self.selection.buckets)
            )
        return explained | {"state": "known", "why": why} | explained_listing(entry.object, entry.storage_nodes)

    def status(self) -> dict[str, object]:
        """
        How much there is in the manifest.
        """
        return {"objectsListed": len(self._manifest.entries), "buckets": list(map(str, self.bucket_ids))}

    @property
    def storage_nodes(self) -> tuple[StorageNode, ...]:
        """
        All that the manifest names.
        """
        return self._manifest.storage_nodes

    @property
    def bucket_ids(self) -> tuple[str | int, ...]:
        """
        Every bucket that an object names, as it is written.
        """
        return self._manifest.bucket_ids


def _shown(buckets: Iterable[str | int]) -> str:
    return ", ".join(map(str, buckets)) or "no bucket"
