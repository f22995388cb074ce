"""
What a node is made of, built and handed to one another in one place.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool

from distributor import __version__
from distributor.cache import ArgusState, Index, Store, check_index, lock_directories
from distributor.catalogue import Generation, Manifest, ManifestCatalogue, QueryNodeCatalogue, Selection
from distributor.config import Config, Directories, Limits
from distributor.model import Fault, InThread, P, T
from distributor.node import Node, Ownership
from distributor.observe import Sparse
from distributor.observe.tally import Tally
from distributor.sources import Connections, StorageNodes, VersionChecks
from distributor.transfer import Backlog, Downloads

#: Threads that wait for a disk: enough to keep a few devices busy, few enough not to fight over two cores.
_DISK_THREADS = 8

#: What other nodes are told of this one.
USER_AGENT = f"distributor/{__version__}"

#: How many downloads may wait for each that may run.
_QUEUE_FACTOR = 10


class Threads:
    """
    Where blocking work goes.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._disk = ThreadPool(minthreads=0, maxthreads=_DISK_THREADS, name="disk")
        self._sqlite = ThreadPool(minthreads=1, maxthreads=1, name="index")
        self.disk = self._runner(self._disk)
        self.sqlite = self._runner(self._sqlite)

    def _runner(self, pool: ThreadPool) -> InThread:
        def run(f: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
            return deferToThreadPool(self._reactor, pool, f, *args, **kwargs)

        return run

    def start(self) -> None:
        """
        From now on work is done.
        """
        self._disk.start()
        self._sqlite.start()

    def stop(self) -> None:
        """
        Wait for what is being done, and do no more.
        """
        self._disk.stop()
        self._sqlite.stop()


class Parts:
    """
    The rooms below the front door.
    """

    def __init__(
        self,
        reactor: Any,
        config: Config,
        directories: Directories,
        read_manifest: Callable[[], Manifest] | None,
        moved: Callable[[list[str]], None],
    ) -> None:
        """
        @param read_manifest: reads the catalogue, where that is a file; may block.
        @param moved: is told the ids of objects on the disk that have become other nodes' to serve, or ours again.
        @raise DistributorError: the manifest is wrong, or the directories cannot be used.
        @raise OSError: a file cannot be read.
        """
        # Held until the process ends, whatever becomes of the service.
        self.lock = lock_directories(directories.assets, directories.cache_state)
        index_path = directories.cache_state / "index.sqlite3"
        check_index(index_path)
        limits = config.limits
        self.threads = Threads(reactor)
        in_thread = self.threads.disk
        self.tally = Tally()
        index = Index(index_path, self.threads.sqlite)
        argus = ArgusState(directories.cache_state / "cache.json", in_thread)
        self.store = Store(
            directories.assets,
            index,
            limits.storage_bytes,
            in_thread,
            reactor.seconds,
            argus,
            settled=gc.freeze,
            made_room=self.tally.evicted,
        )
        self.connections = Connections(
            reactor, limits.outbound_requests_timeout_s, allow_private=config.sources.allow_private_addresses
        )
        self.storage_nodes = self._storage_nodes(reactor, limits)
        self.version_checks = VersionChecks(
            self.storage_nodes, reactor, config.intervals.check_storage_node_response_times_s
        )
        self.catalogue = self._catalogue(reactor, config, read_manifest)
        self._moved = moved
        self.ownership = Ownership(reactor, self._object_ids, self.catalogue.serves, self._owners_changed)
        trouble = Sparse(reactor, Logger("distributor.trouble"))
        self.downloads = self._downloads(reactor, limits, trouble)
        self.node = Node(
            self.store,
            self.downloads,
            self.catalogue,
            self.storage_nodes,
            reactor,
            in_thread,
            trouble,
            largest_cached=limits.max_cached_item_bytes,
            patience_s=limits.pending_download_timeout_s,
            most_passages=max(1, limits.max_concurrent_outbound_connections // 2),
            departed=self.ownership,
        )
        self.backlog = Backlog(self.store, self.downloads, self.node.lookup, reactor, in_thread)

    def _storage_nodes(self, reactor: Any, limits: Limits) -> StorageNodes:
        return StorageNodes(
            self.connections.agents,
            reactor,
            USER_AGENT,
            limits.outbound_requests_timeout_s,
            limits.max_concurrent_outbound_connections,
            report=self.report,
            tally=self.tally,
        )

    def _downloads(self, reactor: Any, limits: Limits, trouble: Sparse) -> Downloads:
        at_once = limits.max_concurrent_storage_node_downloads
        return Downloads(
            self.store,
            self.storage_nodes,
            reactor,
            self.threads.disk,
            trouble,
            at_once,
            _QUEUE_FACTOR * at_once,
            limits.pending_download_timeout_s,
        )

    def _catalogue(
        self, reactor: Any, config: Config, read_manifest: Callable[[], Manifest] | None
    ) -> ManifestCatalogue | QueryNodeCatalogue:
        in_thread, limits, endpoints = self.threads.disk, config.limits, config.endpoints
        selection = Selection(config.buckets, config.worker_id)

        def changed() -> None:
            self.ownership.review()

        if read_manifest is not None:
            return ManifestCatalogue(
                read_manifest(), read_manifest, in_thread, selection.buckets, selection.worker_id, changed
            )
        url = endpoints.storage_squid or endpoints.query_node
        assert url is not None, "the configuration has been checked"
        return QueryNodeCatalogue(
            # The operator named it.
            self.connections.agents.trusted,
            url,
            reactor,
            in_thread,
            USER_AGENT,
            timeout_s=limits.outbound_requests_timeout_s,
            source_ttl_s=limits.data_object_source_ttl_s,
            cache_ttl_s=limits.query_node_cache_ttl_s,
            selection=selection,
            changed=changed,
            generation=Generation.SQUID if endpoints.storage_squid and endpoints.query_node else None,
            counts=self.tally.catalogue_requests,
        )

    def _object_ids(self) -> list[str]:
        """
        What there is, and what is coming.
        """
        return [*self.store.object_ids(), *(download.object.id for download in self.downloads)]

    def report(self, fault: Fault) -> None:
        """
        A storage node has given something wrong.
        """
        self.tally.faults[fault.kind] += 1
        self.store.record_fault(fault)

    def _owners_changed(self, left: list[str], back: list[str]) -> None:
        self.store.disown(left)
        self.store.own(back)
        self._moved([*left, *back])
