"""
What a node is made of, built and handed to one another in one place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool

from distributor import __version__
from distributor.cache import Index, Store, check_index, lock_directories
from distributor.catalogue import Manifest, ManifestCatalogue
from distributor.config import Config, Directories
from distributor.model import InThread, P, T
from distributor.node import Node
from distributor.observe import Sparse
from distributor.sources import Connections, StorageNodes, VersionChecks
from distributor.transfer import Backlog, Downloads

#: Threads that wait for a disk: enough to keep a few devices busy, few enough not to fight over two cores.
_DISK_THREADS = 8

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
        self, reactor: Any, config: Config, directories: Directories, read_manifest: Callable[[], Manifest]
    ) -> None:
        """
        @param read_manifest: reads the catalogue; may block.
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
        self.catalogue = ManifestCatalogue(read_manifest(), read_manifest, in_thread, config.buckets)
        index = Index(index_path, self.threads.sqlite)
        self.store = Store(directories.assets, index, limits.storage_bytes, in_thread, reactor.seconds)
        timeout_s = limits.outbound_requests_timeout_s
        self.connections = Connections(reactor, timeout_s, allow_private=config.sources.allow_private_addresses)
        self.storage_nodes = StorageNodes(
            self.connections.agents,
            reactor,
            f"distributor/{__version__}",
            timeout_s,
            limits.max_concurrent_outbound_connections,
        )
        self.version_checks = VersionChecks(
            self.storage_nodes, reactor, config.intervals.check_storage_node_response_times_s
        )
        trouble = Sparse(reactor, Logger("distributor.trouble"))
        at_once = limits.max_concurrent_storage_node_downloads
        self.downloads = Downloads(
            self.store,
            self.storage_nodes,
            reactor,
            in_thread,
            trouble,
            at_once,
            _QUEUE_FACTOR * at_once,
            limits.pending_download_timeout_s,
        )
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
        )
        self.backlog = Backlog(self.store, self.downloads, self.node.lookup)
