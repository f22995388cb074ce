"""
The catalogue that answers from a manifest in memory, and can read it again in a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twisted.logger import Logger

from distributor.catalogue.manifest import Manifest, ManifestError
from distributor.model import InThread, Listing, ObjectNotFound


class ManifestCatalogue:
    """
    The catalogue of a manifest.

    A manifest knows no workers: a node that distributes the buckets of its worker distributes all of it.

    @param manifest: what to answer from at first.
    @param read: gives the manifest anew, and may block.
    @param buckets: the buckets that this node distributes; L{None}: all.
    """

    _log = Logger()

    def __init__(
        self,
        manifest: Manifest,
        read: Callable[[], Manifest],
        in_thread: InThread,
        buckets: Iterable[str | int] | None = None,
    ) -> None:
        self._read = read
        self._in_thread = in_thread
        self._buckets = None if buckets is None else frozenset(map(str, buckets))
        # Readings are numbered, so that one that took long does not undo a later one.
        self._readings = 0
        self._in_force = 0
        self._take(manifest)

    def _take(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._log.info("The manifest lists {objects} objects.", objects=len(manifest.entries))
        unnamed = (self._buckets or frozenset()) - {str(bucket) for bucket in manifest.bucket_ids}
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
        return True

    async def lookup(self, object_id: str) -> Listing:
        """
        What is known of an object. Whether it is accepted, and distributed here, is for the caller to judge.

        @raise ObjectNotFound: the manifest does not list it.
        """
        try:
            entry = self._manifest.entries[object_id]
        except KeyError:
            raise ObjectNotFound(object_id) from None
        distributed_here = (
            entry.buckets is None
            or self._buckets is None
            or any(str(bucket) in self._buckets for bucket in entry.buckets)
        )
        return Listing(entry.object, entry.storage_nodes, distributed_here)

    @property
    def bucket_ids(self) -> tuple[str | int, ...]:
        """
        Every bucket that an object names, as it is written.
        """
        return self._manifest.bucket_ids
