"""
What an operator can ask of a node, and tell it; see L{distributor.web.operator_api}.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from distributor.model import DiskFailed, DistributorError, Fault, InThread, Listing, T
from distributor.operations.door import Door, DoorState
from distributor.operations.explain import Coming, Facts, explanation
from distributor.operations.parts import Catalogue, Held, Node, Scope, Setting, StorageNodes, Store
from distributor.operations.prefetch import Prefetch, in_words
from distributor.operations.scrub import Scrub
from distributor.transfer import Download, Downloads, Progress
from distributor.web import errors
from distributor.web.operator_errors import DISK_FAILED, DOWNLOADING, NO_QUERY_NODE, NOT_HERE, SHUTTING_DOWN, Refused


def progress_shown(progress: Progress) -> dict[str, object]:
    """
    How far a download is, as C{GET /downloads} says it.
    """
    return {
        "objectId": progress.id,
        "state": progress.state,
        "size": progress.size,
        "present": progress.present,
        "bytesPerSecond": round(progress.rate),
        "readers": progress.readers,
        "storageNodes": list(progress.sources),
        "secondsLeft": None if progress.seconds_left is None else round(progress.seconds_left, 1),
    }


class Operations:
    """
    The operator's hands. Answers are objects of JSON.
    """

    _log = Logger()

    def __init__(
        self,
        *,
        door: Door,
        store: Store,
        downloads: Downloads,
        node: Node,
        catalogue: Catalogue,
        scope: Scope | None,
        storage_nodes: StorageNodes,
        settings: Sequence[Setting],
        status: Callable[[], Mapping[str, object]],
        buckets: Callable[[], Mapping[str, object]],
        shutdown: Callable[[], None],
        clock: IReactorTime,
        in_thread: InThread,
        readers: Callable[[str], int | None] = lambda object_id: None,
    ) -> None:
        """
        @param scope: what can change what this node distributes; L{None} where nothing can.
        @param settings: the configuration in force, without secrets.
        @param status: what the public C{/status} says.
        @param buckets: what the public C{/buckets} says.
        @param shutdown: ends the process, in its own time.
        @param readers: how many answers read a complete object, if that is known.
        """
        self._door = door
        self._store = store
        self._downloads = downloads
        self._catalogue = catalogue
        self._scope = scope
        self._storage_nodes = storage_nodes
        self._settings = settings
        self._status = status
        self._buckets = buckets
        self._shutdown = shutdown
        self._clock = clock
        self._readers = readers
        self._prefetch = Prefetch(store, downloads, node, clock)
        self._scrub = Scrub(store, clock, in_thread)
        self._going_down = False

    async def stop(self) -> None:
        """
        Leave off all that was begun here. To come before the end of downloads and store.
        """
        self._going_down = True
        self._prefetch.stop()
        await self._scrub.end()

    def _check_started(self) -> None:
        """
        @raise Refused: there is no store to look into yet, or soon no more.
        """
        if self._going_down:
            raise Refused(SHUTTING_DOWN)
        if not self._door.started:
            raise Refused(SHUTTING_DOWN if self._door.state is DoorState.SHUTTING_DOWN else errors.STARTING)

    # What there is.

    def status(self) -> dict[str, object]:
        """
        How the node does.
        """
        status = dict(self._status())
        # It is there under its own name.
        status.pop("queryNodeStatus", None)
        return {
            **status,
            "publicApi": self._door.state.value,
            "queryNode": dict(self._catalogue.status()),
        }

    def buckets(self) -> Mapping[str, object]:
        """
        What the node distributes.
        """
        return self._buckets()

    def downloads(self) -> dict[str, object]:
        """
        What is coming.
        """
        return {"downloads": [progress_shown(download.progress()) for download in self._downloads]}

    def config(self) -> dict[str, object]:
        """
        The configuration in force, and where each value comes from.
        """
        return {"config": [{"key": row.key, "value": row.value, "origin": row.origin} for row in self._settings]}

    def storage_nodes(self) -> dict[str, object]:
        """
        How the storage nodes do.
        """
        return {"storageNodes": [dict(node) for node in self._storage_nodes.ranking()]}

    async def faults(self, limit: int) -> dict[str, object]:
        """
        The evidence against storage nodes, the newest first.
        """
        self._check_started()
        return {"faults": [_fault_shown(fault) for fault in await self._asked(self._store.faults(limit))]}

    async def objects(self, after: str | None, limit: int) -> dict[str, object]:
        """
        What is in the index, page by page.

        @param after: the last id of the page before.
        """
        self._check_started()
        rows = await self._asked(self._store.page(after, limit))
        shown = [_row_shown(row, self._downloads.get(row.object_id)) for row in rows]
        return {"objects": shown, "next": rows[-1].object_id if len(rows) == limit else None}

    async def _asked(self, answer: Awaitable[T]) -> T:
        """
        @raise Refused: the disk does not give it.
        """
        try:
            return await answer
        except DiskFailed as error:
            raise Refused(DISK_FAILED, str(error)) from None

    async def explain(self, object_id: str) -> dict[str, object]:
        """
        All there is to say of one object.
        """
        self._check_started()
        listing: Listing | None = None
        trouble: str | None = None
        try:
            listing = await self._catalogue.lookup(object_id)
        except DistributorError as error:
            trouble = in_words(error)
        held = await self._asked(self._store.facts(object_id))
        download = self._downloads.get(object_id)
        facts = Facts(
            object_id=object_id,
            listing=listing,
            trouble=trouble,
            catalogue=self._catalogue.explain(object_id),
            storage_nodes=self._storage_nodes.explain(listing.storage_nodes) if listing is not None else (),
            held=held,
            coming=Coming(download.progress(), download.extents.runs) if download is not None else None,
            readers=self._readers(object_id),
            last_eviction=self._store.last_eviction(object_id),
            bad=self._scrub.bad(object_id),
        )
        return explanation(facts)

    # What is done with objects.

    async def evict(self, object_id: str) -> dict[str, object]:
        """
        Delete what there is of an object. Who reads it goes on.

        @raise Refused: there is nothing, or it is being downloaded.
        """
        self._check_started()
        if self._downloads.get(object_id) is not None:
            raise Refused(DOWNLOADING)
        held = await self._asked(self._store.facts(object_id))
        if held is None or not await self._asked(self._store.remove(object_id, "the operator wanted it")):
            raise Refused(NOT_HERE)
        self._log.info("object {id} has been evicted by the operator", id=object_id)
        return {"objectId": object_id, "freed": held.present}

    async def prefetch(self, object_ids: Sequence[str]) -> dict[str, object]:
        """
        Fetch some objects, a few at a time.
        """
        self._check_started()
        return {"objects": [outcome.shown() for outcome in await self._prefetch.add(object_ids)]}

    def prefetching(self) -> dict[str, object]:
        """
        How far that is.
        """
        return self._prefetch.shown()

    def stop_prefetching(self) -> dict[str, object]:
        """
        Begin none of those that wait.
        """
        self._prefetch.forget()
        return self._prefetch.shown()

    def verify(self, rate: int | None) -> dict[str, object]:
        """
        Verify all complete objects.

        @param rate: bytes per second; L{None}: as usual.
        @raise Refused: that is being done already.
        """
        self._check_started()
        self._scrub.start(rate)
        return self._scrub.shown()

    def verification(self) -> dict[str, object]:
        """
        How far that is.
        """
        return self._scrub.shown()

    def stop_verifying(self) -> dict[str, object]:
        """
        Leave off.
        """
        self._scrub.stop()
        return self._scrub.shown()

    async def save_cache_state(self) -> dict[str, object]:
        """
        Write the C{cache.json} that Argus reads, once all files are known.

        @raise Refused: the disk does not take it.
        """
        self._check_started()
        await self._store.surveyed()
        return {"written": await self._asked(self._store.save_for_argus())}

    # What is done with the node.

    def set_worker(self, worker_id: int) -> None:
        """
        Be another worker, until the next start.

        @raise Refused: nothing here knows of workers.
        """
        self._known_scope().set_worker(worker_id)
        self._log.info("this node is worker {id} until its next start", id=worker_id)

    def set_buckets(self, bucket_ids: tuple[str, ...] | None) -> None:
        """
        Distribute other buckets, until the next start.

        @param bucket_ids: L{None}: all of the worker.
        @raise Refused: nothing here knows of workers and buckets.
        """
        self._known_scope().set_buckets(bucket_ids)
        named = "all buckets of its worker" if bucket_ids is None else ", ".join(bucket_ids)
        self._log.info("this node distributes {buckets} until its next start", buckets=named)

    def _known_scope(self) -> Scope:
        if self._scope is None:
            raise Refused(NO_QUERY_NODE)
        return self._scope

    def stop_api(self) -> None:
        """
        Serve nobody. Answers in progress go on.

        @raise Refused: so it is.
        """
        self._door.stop()
        self._log.info("the public API has been stopped by the operator")

    def start_api(self) -> None:
        """
        Serve everybody again.

        @raise Refused: so it is.
        """
        self._door.start()
        self._log.info("the public API has been started by the operator")

    def shutdown(self) -> None:
        """
        End the process, once this has been answered.

        @raise Refused: it is ending.
        """
        if self._going_down or self._door.state is DoorState.SHUTTING_DOWN:
            raise Refused(SHUTTING_DOWN)
        self._going_down = True
        self._log.info("shutting down: the operator says so")
        self._clock.callLater(0, self._shutdown)


def _fault_shown(fault: Fault) -> dict[str, object]:
    return {
        "objectId": fault.object_id,
        "endpoint": fault.endpoint,
        "bucket": fault.bucket,
        "kind": fault.kind.value,
        "expected": fault.expected,
        "got": fault.got,
        "bytes": fault.bytes,
        "at": fault.at,
    }


def _row_shown(held: Held, download: Download | None) -> dict[str, object]:
    """
    What the index says; of an object that is being filled, what the download says, since that is newer.
    """
    return {
        "objectId": held.object_id,
        "size": held.size,
        "contentHash": held.content_hash,
        "type": held.type,
        "state": held.state if download is None else "downloading",
        "present": held.present if download is None else download.progress().present,
        "addedAt": held.added_at,
        "lastAccess": held.last_access,
        "hits": held.hits,
    }
