"""
The node as a service: its start, its chores and its end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from distributor.catalogue import Manifest, QueryNodeCatalogue
from distributor.config import Config, Directories, OperatorAPI, effective
from distributor.model import DiskFailed, DistributorError
from distributor.observe import AccessLog
from distributor.observe.systemd import READY, RELOADING, STOPPING, notify
from distributor.operations import Door, DoorState, Operations
from distributor.service.chores import Chores
from distributor.service.front_door import FrontDoor
from distributor.service.parts import Parts
from distributor.service.shown import Shown
from distributor.service.trouble import why
from distributor.web.asset import Assets
from distributor.web.errors import ApiError
from distributor.web.fast.hits import Hits
from distributor.web.forwarded import Proxies
from distributor.web.public_api import PublicApi
from distributor.web.site import PublicSite
from distributor.workers import Crew, Crowd, Shared

if TYPE_CHECKING:
    from distributor.service.back_door import BackDoor

#: How far access marks may be behind; they only decide what is evicted first.
_FLUSH_EVERY_S = 10.0

#: An idle connection of a client is closed after this.
_IDLE_S = 60

#: How many objects that are other nodes' by now are deleted at a time.
_CLEANED = 100

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
        read_manifest: Callable[[], Manifest] | None,
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
        @param read_manifest: reads the catalogue, where that is a file; may block.
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

        self._parts = Parts(reactor, config, directories, read_manifest, lambda ids: self._crew.moved(ids))
        self._store = self._parts.store
        self._downloads = self._parts.downloads
        self._catching_up: Deferred[None] | None = None
        self._door = FrontDoor(reactor, endpoints, config.limits.max_inbound_connections)
        proxies = Proxies(config.public_api.trusted_proxies)
        self._shown = Shown(config.id, self._parts, self._crowd, reactor.seconds)
        self._access = AccessLog(reactor, Logger("distributor.access"))
        assets = Assets(self._parts.node, self._door.gate, reactor, proxies, self._parts.tally, self._access)
        api = PublicApi(
            assets,
            self._shown.status,
            self._shown.buckets,
            self._shown.downloads if config.public_api.show_downloads else None,
            lambda: self._state.state is DoorState.OPEN,
            page,
            page_policy,
            self._shown.metrics_text if config.public_api.metrics else None,
        )
        self._site = PublicSite(api, Hits(assets), timeout=_IDLE_S, reactor=reactor)
        self._at_terminal = at_terminal
        self._chores = Chores(reactor)
        shared = Shared(
            self._parts.node, self._store, self._shown.for_workers(), self._parts.report, self._parts.tally.add
        )
        self._crew = Crew(reactor, config.workers - 1, worker_command, shared)
        self._state = Door(_Doors(self._door, self._crew))
        self._operations: Operations | None = None
        self._back_door: BackDoor | None = None
        if config.operator_api is not None:
            self._operations = self._make_operations(directories)
            self._back_door = self._make_back_door(config.operator_api, self._operations)

    def _crowd(self) -> Crowd:
        here = Crowd(answering=len(self._door.gate), connections=len(self._site.channels))
        return here + self._crew.crowd

    def _make_operations(self, directories: Directories) -> Operations:
        parts = self._parts
        return Operations(
            door=self._state,
            store=self._store,
            downloads=self._downloads,
            node=parts.node,
            catalogue=parts.catalogue,
            scope=parts.catalogue,
            storage_nodes=parts.storage_nodes.standings,
            settings=effective(self._config, directories),
            status=self._shown.status,
            buckets=self._shown.buckets,
            shutdown=self._reactor.stop,
            clock=self._reactor,
            in_thread=parts.threads.disk,
        )

    def _make_back_door(self, config: OperatorAPI, operations: Operations) -> BackDoor:
        # Imported only now: it takes a tenth of a second, and most nodes have none.
        from distributor.service.back_door import BackDoor

        try:
            return BackDoor(self._reactor, config, operations, self._shown.metrics())
        except ValueError as error:
            raise DistributorError(f"operatorApi.hmacSecret: {error}") from None

    def _tell_progress(self) -> None:
        for download in list(self._downloads)[:_MOST_TOLD]:
            self._log.info("{progress}", progress=download.progress())

    # Starting.

    def privilegedStartService(self) -> None:
        """
        Listen, while ports below 1024 are still allowed.

        @raise Exception: an endpoint cannot be listened on; see L{why}.
        """
        self._shown.begin()
        self._door.listen(self._site)
        if self._back_door is not None:
            for port in self._back_door.listen():
                self._log.info("The operator's API is at {address}", address=port.getHost())

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
        intervals, chores = self._config.intervals, self._chores
        every_s = intervals.check_storage_node_response_times_s
        chores.every(every_s, "checking storage nodes", self._parts.version_checks.check)
        chores.every(intervals.save_cache_state_s, "saving for Argus", lambda: self._store.save_for_argus(due=True))
        chores.every(
            intervals.cache_cleanup_s, "deleting what others distribute", lambda: self._store.clean_up(_CLEANED)
        )
        if self._at_terminal:
            self._chores.every(_TELL_EVERY_S, "telling of downloads", self._tell_progress)
        if isinstance(self._parts.catalogue, QueryNodeCatalogue):
            self._parts.catalogue.start(self._store.object_ids())
        else:
            self._parts.ownership.review()
        self._state.ready()
        # Only streams of TCP, whose ports are descriptors, have workers.
        self._crew.start([cast(Any, port).fileno() for port in self._door.ports if self._config.workers > 1])
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
        catalogue = self._parts.catalogue
        await (catalogue.refresh() if isinstance(catalogue, QueryNodeCatalogue) else catalogue.reload())
        if self._state.started:
            notify(READY, self._environ)

    def reload(self) -> None:
        """
        Read again what can change while the node runs: the manifest, or what the query node says. A node that has not
        started yet, or that stops, has no use for it, and must not tell systemd that it is ready.
        """
        if not self._state.started:
            return
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
        self._state.shut()
        if self._catching_up is not None:
            self._catching_up.cancel()
        # Before anybody is waited for: the answers inside may wait until a slow disk has been looked at.
        self._store.leave_off()
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
        if self._operations is not None:
            await self._operations.stop()
        if self._back_door is not None:
            await self._back_door.close()
        self._parts.ownership.stop()
        if isinstance(self._parts.catalogue, QueryNodeCatalogue):
            await self._parts.catalogue.stop()
        await self._downloads.stop()
        self._chores.stop()
        self._parts.version_checks.stop()
        try:
            await self._store.save_for_argus()
        except DiskFailed as error:
            self._log.error("cache.json is not written: {error}", error=error)
        await self._store.stop()
        await self._parts.connections.close()
        self._parts.threads.stop()


class _Doors:
    """
    The ways in of all processes, as one.
    """

    def __init__(self, door: FrontDoor, crew: Crew) -> None:
        self._door = door
        self._crew = crew

    def open(self) -> None:
        self._door.open()
        self._crew.admit()

    def close(self, reason: ApiError) -> None:
        self._door.shut(reason)
        self._crew.admit(reason.type)
