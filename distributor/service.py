"""
Builds the node and hands its parts to one another; starts and stops them in order.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from distributor import __version__
from distributor.cache import Index, Store, check_index, lock_directories
from distributor.catalogue import Manifest, ManifestCatalogue
from distributor.config import Config, Directories
from distributor.model import DistributorError, InThread, P, T
from distributor.node import Node
from distributor.observe import Sparse
from distributor.observe.systemd import READY, RELOADING, STOPPING, notify
from distributor.sources import StorageNodes, agent, connection_pool
from distributor.transfer import Backlog, Downloads, Progress
from distributor.web import errors
from distributor.web.asset import Assets
from distributor.web.gate import Gate
from distributor.web.public_api import PublicApi, PublicSite

#: Threads that wait for a disk: enough to keep a few devices busy, few enough not to fight over two cores.
_DISK_THREADS = 8

#: How far access marks may be behind; they only decide what is evicted first.
_FLUSH_EVERY_S = 10.0

#: An idle connection of a client is closed after this.
_IDLE_S = 60

#: Often enough to see that something moves.
_TELL_EVERY_S = 3.0

#: More than fit under each other are not looked at.
_MOST_TOLD = 10

#: What is in the buffers of a connection when its last answer is over takes a slow client about a second. Some clients
#: never answer the farewell of TLS.
_FAREWELL_S = 5.0

#: How many downloads may wait for each that may run.
_QUEUE_FACTOR = 10


class CannotStart(SystemExit, Exception):
    """
    The node cannot serve, for a reason that the operator can mend: one line on stderr, and exit status 1.

    It is an C{Exception}, too, for the sake of C{twistd}, which passes those on from its daemon to the terminal.
    """


class Distributor(Service):
    """
    A node that serves, from C{startService} to C{stopService}.
    """

    name = "distributor"
    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        config: Config,
        directories: Directories,
        read_manifest: Callable[[], Manifest],
        endpoints: Sequence[IStreamServerEndpoint],
        page: Callable[[str], str],
        page_policy: str,
        environ: Mapping[str, str],
        announce: Callable[[list[IListeningPort]], None],
        give_up: Callable[[str], None],
        *,
        at_terminal: bool = False,
    ) -> None:
        """
        @param read_manifest: reads the catalogue; may block.
        @param endpoints: where the public API listens.
        @param page: what C{GET /} shows, made from the origin under which the visitor knows this node.
        @param announce: is told once the node serves.
        @param give_up: is told why the node cannot start after all, and ends the process.
        @param at_terminal: somebody watches, who wants to see how downloads get on.
        @raise DistributorError: the manifest is wrong, or the directories cannot be used.
        @raise OSError: a file cannot be read.
        """
        self._reactor = reactor
        self._config = config
        self._endpoints = endpoints
        self._environ = environ
        self._announce = announce
        self._give_up = give_up
        self._hurried = False
        self._ports: list[IListeningPort] = []
        self._starting: Deferred[None] | None = None
        self._hurry: Deferred[None] | None = None
        self._serving = False

        # Held until the process ends, whatever becomes of the service.
        self._lock = lock_directories(directories.assets, directories.cache_state)
        index_path = directories.cache_state / "index.sqlite3"
        check_index(index_path)
        self._disk = ThreadPool(minthreads=0, maxthreads=_DISK_THREADS, name="disk")
        self._sqlite = ThreadPool(minthreads=1, maxthreads=1, name="index")
        in_thread = self._runner(self._disk)
        self._catalogue = ManifestCatalogue(read_manifest(), read_manifest, in_thread, config.buckets)
        index = Index(index_path, self._runner(self._sqlite))
        limits = config.limits
        self._store = Store(directories.assets, index, limits.storage_bytes, in_thread, reactor.seconds)
        self._connections = connection_pool(reactor)
        timeout_s = limits.outbound_requests_timeout_s
        storage_nodes = StorageNodes(
            agent(reactor, self._connections, timeout_s),
            reactor,
            f"distributor/{__version__}",
            timeout_s,
            limits.max_concurrent_outbound_connections,
        )
        trouble = Sparse(reactor, Logger("distributor.trouble"))
        at_once = limits.max_concurrent_storage_node_downloads
        self._downloads = Downloads(
            self._store,
            storage_nodes,
            reactor,
            in_thread,
            trouble,
            at_once,
            _QUEUE_FACTOR * at_once,
            limits.pending_download_timeout_s,
        )
        node = Node(
            self._store,
            self._downloads,
            self._catalogue,
            storage_nodes,
            reactor,
            in_thread,
            trouble,
            largest_cached=limits.max_cached_item_bytes,
            patience_s=limits.pending_download_timeout_s,
            most_passages=max(1, limits.max_concurrent_outbound_connections // 2),
        )
        self._backlog = Backlog(self._store, self._downloads, node.lookup)
        self._catching_up: Deferred[None] | None = None
        self._gate = Gate(limits.max_inbound_connections)
        self._gate.close(errors.STARTING)
        api = PublicApi(
            Assets(node, self._gate, reactor),
            self._status,
            self._buckets,
            self._progress if config.public_api.show_downloads else None,
            lambda: self._serving,
            page,
            page_policy,
        )
        self._site = PublicSite(api, timeout=_IDLE_S, reactor=reactor)
        self._flushing = LoopingCall(self._store.flush)
        self._flushing.clock = reactor
        self._at_terminal = at_terminal
        self._telling = LoopingCall(self._tell_progress)
        self._telling.clock = reactor

    def _runner(self, pool: ThreadPool) -> InThread:
        def run(f: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
            return deferToThreadPool(self._reactor, pool, f, *args, **kwargs)

        return run

    # What the API shows.

    def _status(self) -> dict[str, object]:
        return {
            "id": self._config.id,
            "objectsInCache": self._store.object_count,
            "storageLimit": self._store.capacity,
            "storageUsed": self._store.used,
            "uptime": int(self._reactor.seconds() - self._started_at),
            "downloadsInProgress": len(self._downloads),
            "version": __version__,
        }

    def _buckets(self) -> dict[str, object]:
        if self._config.buckets is not None:
            return {"bucketIds": list(self._config.buckets)}
        if self._config.worker_id is not None:
            return {"allByWorkerId": self._config.worker_id}
        return {"bucketIds": list(self._catalogue.bucket_ids)}

    def _progress(self) -> dict[str, object]:
        return {"downloads": [_camel_case(download.progress()) for download in self._downloads]}

    def _tell_progress(self) -> None:
        for download in list(self._downloads)[:_MOST_TOLD]:
            self._log.info("{progress}", progress=download.progress())

    # Starting.

    def privilegedStartService(self) -> None:
        """
        Listen, while ports below 1024 are still allowed.

        @raise Exception: an endpoint cannot be listened on; see L{why}.
        """
        self._started_at = self._reactor.seconds()
        failures: list[Failure] = []
        for endpoint in self._endpoints:
            endpoint.listen(self._site).addCallbacks(self._ports.append, failures.append)
        for failure in failures:
            failure.raiseException()

    def startService(self) -> None:
        """
        Open the store; then let requests in.
        """
        super().startService()  # type: ignore[no-untyped-call]
        if not self._ports:
            self.privilegedStartService()
        self._disk.start()
        self._sqlite.start()
        self._starting = Deferred.fromCoroutine(self._start())
        self._starting.addErrback(self._could_not_start)

    async def _start(self) -> None:
        await self._store.start()
        self._flushing.start(_FLUSH_EVERY_S, now=False).addErrback(
            lambda failure: self._log.failure("writing access marks", failure)
        )
        if not self.running:
            return
        if self._at_terminal:
            self._telling.start(_TELL_EVERY_S, now=False).addErrback(
                lambda failure: self._log.failure("telling of downloads", failure)
            )
        self._gate.open()
        self._serving = True
        notify(READY, self._environ)
        self._announce(self._ports)
        self._catching_up = Deferred.fromCoroutine(self._backlog.run())
        self._catching_up.addErrback(self._caught_up_in_vain)

    def _caught_up_in_vain(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self._log.failure("catching up", failure)

    def _could_not_start(self, failure: Failure) -> None:
        error = failure.value
        if not isinstance(error, (DistributorError, OSError)):
            self._log.failure("the node cannot start", failure)
        self._give_up(why(error) if isinstance(error, Exception) else repr(error))

    async def _reload(self) -> None:
        notify(RELOADING, self._environ)
        await self._catalogue.reload()
        notify(READY, self._environ)

    def reload(self) -> None:
        """
        Read again what can change while the node runs: the manifest.
        """
        Deferred.fromCoroutine(self._reload()).addErrback(lambda failure: self._log.failure("reloading", failure))

    # Stopping.

    def hurry(self) -> None:
        """
        Do not wait any longer for answers in progress. Of no effect on a node that has not been told to stop.
        """
        if self.running:
            return
        self._hurried = True
        if self._hurry is not None:
            self._hurry.cancel()

    def stopService(self) -> Deferred[None]:
        """
        Let nobody in, let those inside finish for a while, save.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        notify(STOPPING, self._environ)
        self._serving = False
        self._gate.close(errors.SHUTTING_DOWN)
        for port in self._ports:
            await _stopped(port)
        await self._drain()
        if self._starting is not None:
            await self._starting
        if self._catching_up is not None:
            self._catching_up.cancel()
        await self._downloads.stop()
        for call in (self._flushing, self._telling):
            if call.running:
                call.stop()
        await self._store.stop()
        await self._connections.closeCachedConnections()
        self._disk.stop()
        self._sqlite.stop()

    async def _drain(self) -> None:
        patience_s = self._config.limits.drain_timeout_s
        empty = self._gate.empty()
        if not empty.called:
            self._log.info("waiting up to {patience:g} s for answers in progress", patience=patience_s)
        if not await self._patiently(empty, patience_s):
            self._log.warn("cutting answers that are still in progress")
            self._downloads.note_readers()
            self._gate.throw_out()
            await self._gate.empty()
        # The end of an answer may still wait in a buffer for a slow client.
        if not await self._patiently(self._site.close(), min(patience_s, _FAREWELL_S)):
            self._site.cut()
            await self._site.empty()

    async def _patiently(self, done: Deferred[None], patience_s: float) -> bool:
        """
        Wait for a while, or until somebody is in a hurry.

        @return: whether it was enough.
        """
        if done.called or self._hurried:
            return done.called
        self._hurry = done.addTimeout(patience_s, self._reactor)
        try:
            await done
        except (CancelledError, TimeoutError):
            return False
        finally:
            self._hurry = None
        return True


def _camel_case(progress: Progress) -> dict[str, object]:
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


async def _stopped(port: IListeningPort) -> None:
    stopped = port.stopListening()
    if stopped is not None:
        await stopped


def why(error: Exception) -> str:
    """
    What went wrong at the start, in words for the operator.
    """
    if isinstance(error, CannotListenError):
        # The second is the path of a UNIX socket.
        port = f"{error.interface or 'any'}:{error.port}" if isinstance(error.port, int) else os.fsdecode(error.port)
        return f"cannot listen on {port}: {error.socketError}"
    if isinstance(error, OSError) and error.filename is not None:
        # Where two paths are involved, the first may be what a symbolic link, the lock of a UNIX socket, says.
        return f"{os.fsdecode(error.filename2 or error.filename)}: {error.strerror}"
    return str(error)


__all__ = ["CannotStart", "Distributor", "DistributorError", "why"]
