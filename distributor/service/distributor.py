"""
The node as a service: its start, its chores and its end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from distributor import __version__
from distributor.catalogue import Manifest
from distributor.config import Config, Directories
from distributor.model import DistributorError
from distributor.observe import AccessLog
from distributor.observe.systemd import READY, RELOADING, STOPPING, notify
from distributor.service.chores import Chores
from distributor.service.front_door import FrontDoor
from distributor.service.parts import Parts
from distributor.service.trouble import why
from distributor.transfer import Progress
from distributor.web.asset import Assets
from distributor.web.fast.hits import Hits
from distributor.web.forwarded import Proxies
from distributor.web.public_api import PublicApi
from distributor.web.site import PublicSite
from distributor.workers import Crew, Shared

#: How far access marks may be behind; they only decide what is evicted first.
_FLUSH_EVERY_S = 10.0

#: An idle connection of a client is closed after this.
_IDLE_S = 60

#: Often enough to see that something moves.
_TELL_EVERY_S = 3.0

#: More than fit under each other are not looked at.
_MOST_TOLD = 10


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
        worker_command: Sequence[str] = (),
        *,
        at_terminal: bool = False,
    ) -> None:
        """
        @param read_manifest: reads the catalogue; may block.
        @param endpoints: where the public API listens.
        @param page: what C{GET /} shows, made from the origin under which the visitor knows this node.
        @param announce: is told once the node serves.
        @param give_up: is told why the node cannot start after all, and ends the process.
        @param worker_command: what starts a worker process.
        @param at_terminal: somebody watches, who wants to see how downloads get on.
        @raise DistributorError: the manifest is wrong, or the directories cannot be used.
        @raise OSError: a file cannot be read.
        """
        self._reactor = reactor
        self._config = config
        self._environ = environ
        self._announce = announce
        self._give_up = give_up
        self._starting: Deferred[None] | None = None
        self._serving = False

        self._parts = Parts(reactor, config, directories, read_manifest)
        self._store = self._parts.store
        self._downloads = self._parts.downloads
        self._catching_up: Deferred[None] | None = None
        self._door = FrontDoor(reactor, endpoints, config.limits.max_inbound_connections)
        proxies = Proxies(config.public_api.trusted_proxies)
        api = PublicApi(
            Assets(self._parts.node, self._door.gate, reactor, proxies),
            self._status,
            self._buckets,
            self._progress if config.public_api.show_downloads else None,
            lambda: self._serving,
            page,
            page_policy,
        )
        self._access = AccessLog(reactor, Logger("distributor.access"))
        hits = Hits(self._parts.node, self._door.gate, reactor, self._access, proxies)
        self._site = PublicSite(api, hits, timeout=_IDLE_S, reactor=reactor)
        self._at_terminal = at_terminal
        self._chores = Chores(reactor)
        facts = {"status": self._status, "buckets": self._buckets, "downloads": self._progress}
        shared = Shared(self._parts.node, self._store, facts, lambda fault: None, lambda counts: None)
        self._crew = Crew(reactor, config.workers - 1, worker_command, shared)

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
        return {"bucketIds": list(self._parts.catalogue.bucket_ids)}

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
        self._door.listen(self._site)

    def startService(self) -> None:
        """
        Open the store; then let requests in.
        """
        super().startService()  # type: ignore[no-untyped-call]
        if not self._door.ports:
            self.privilegedStartService()
        self._parts.threads.start()
        self._starting = Deferred.fromCoroutine(self._start())
        self._starting.addErrback(self._could_not_start)

    async def _start(self) -> None:
        await self._store.start()
        if not self.running:
            return
        self._chores.every(_FLUSH_EVERY_S, "writing access marks", self._store.flush)
        every_s = self._config.intervals.check_storage_node_response_times_s
        self._chores.every(every_s, "checking storage nodes", self._parts.version_checks.check)
        if self._at_terminal:
            self._chores.every(_TELL_EVERY_S, "telling of downloads", self._tell_progress)
        self._door.open()
        # Only streams of TCP, whose ports are descriptors, have workers.
        self._crew.start([cast(Any, port).fileno() for port in self._door.ports if self._config.workers > 1])
        self._serving = True
        notify(READY, self._environ)
        self._announce(self._door.ports)
        self._catching_up = Deferred.fromCoroutine(self._parts.backlog.run())
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
        await self._parts.catalogue.reload()
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
        self._door.hurry()
        self._crew.hurry()

    def stopService(self) -> Deferred[None]:
        """
        Let nobody in, let those inside finish for a while, save.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        notify(STOPPING, self._environ)
        self._serving = False
        patience_s = self._config.limits.drain_timeout_s
        if self._crew.pids:
            # They are cut without another word.
            self._downloads.note_readers()
        finished = self._crew.finish(patience_s)
        await self._door.close(self._site, patience_s, self._downloads.note_readers)
        await finished
        self._access.flush()
        if self._starting is not None:
            await self._starting
        if self._catching_up is not None:
            self._catching_up.cancel()
        await self._downloads.stop()
        self._chores.stop()
        self._parts.version_checks.stop()
        await self._store.stop()
        await self._parts.connections.close()
        self._parts.threads.stop()


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
