"""
A worker process as a service: hits from the disk, all else by way of the owner.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from distributor.catalogue import ManifestCatalogue, QueryNodeCatalogue
from distributor.config import Config, Directories
from distributor.model import CatalogueUnavailable
from distributor.node import Passages
from distributor.observe import AccessLog, Sparse
from distributor.observe.tally import Tally
from distributor.service.chores import Chores
from distributor.service.front_door import FrontDoor
from distributor.service.parts import USER_AGENT, Threads
from distributor.sources import Connections, StorageNodes
from distributor.web import errors
from distributor.web.asset import Assets
from distributor.web.fast.hits import Hits
from distributor.web.forwarded import Proxies
from distributor.web.public_api import PublicApi
from distributor.web.site import PublicSite
from distributor.workers import Crowd, Mirror, RemoteNode, Worker

#: How far the owner may be behind with what is read here.
_REPORT_EVERY_S = 1.0

#: An idle connection of a client is closed after this.
_IDLE_S = 60

_REFUSALS = {error.type: error for error in errors.ALL_ERRORS}


def _negative_ttl_s(config: Config) -> int:
    """
    That of the owner's catalogue.
    """
    if config.endpoints.storage_squid is None and config.endpoints.query_node is None:
        return ManifestCatalogue.negative_ttl_s
    return QueryNodeCatalogue.negative_ttl_of(config.limits.query_node_cache_ttl_s)


class WorkerService(Service):
    """
    One of several processes that share the ports of a node.
    """

    name = "worker"
    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        config: Config,
        directories: Directories,
        connection_fd: int,
        endpoints: Sequence[IStreamServerEndpoint],
        page: Callable[[str], str],
        page_policy: str,
        end: Callable[[], None],
    ) -> None:
        """
        @param connection_fd: a UNIX socket that is connected to the owner.
        @param endpoints: where the public API listens, on the owner's sockets.
        @param page: what C{GET /} shows, as for the owner.
        @param end: ends the process.
        """
        limits = config.limits
        self._reactor = reactor
        self._connection_fd = connection_fd
        self._patience_s = limits.drain_timeout_s
        self._end = end
        self._finishing = False
        self._serving = False
        self._threads = Threads(reactor)
        self._connections = Connections(
            reactor, limits.outbound_requests_timeout_s, allow_private=config.sources.allow_private_addresses
        )
        self._tally = Tally()
        self._worker = Worker(Mirror(directories.assets, self._threads.disk), self, self._tally.take, self._crowd)
        node = self._node(reactor, config)
        self._door = FrontDoor(reactor, endpoints, limits.max_inbound_connections)
        proxies = Proxies(config.public_api.trusted_proxies)
        self._access = AccessLog(reactor, Logger("distributor.access"))
        assets = Assets(node, self._door.gate, reactor, proxies, self._tally, self._access)
        api = PublicApi(
            assets,
            lambda: self._about("status"),
            lambda: self._about("buckets"),
            (lambda: self._about("downloads")) if config.public_api.show_downloads else None,
            lambda: self._serving,
            page,
            page_policy,
            self._metrics if config.public_api.metrics else None,
        )
        self._site = PublicSite(api, Hits(assets), timeout=_IDLE_S, reactor=reactor)
        self._chores = Chores(reactor)

    def _crowd(self) -> Crowd:
        return Crowd(answering=len(self._door.gate), connections=len(self._site.channels))

    def _node(self, reactor: Any, config: Config) -> RemoteNode:
        limits, in_thread = config.limits, self._threads.disk
        storage_nodes = StorageNodes(
            self._connections.agents,
            reactor,
            USER_AGENT,
            limits.outbound_requests_timeout_s,
            limits.max_concurrent_outbound_connections,
            report=self._worker.fault,
            tally=self._tally,
        )
        passages = Passages(
            storage_nodes,
            reactor,
            in_thread,
            limits.pending_download_timeout_s,
            max(1, limits.max_concurrent_outbound_connections // 2),
        )
        return RemoteNode(
            self._worker.mirror,
            self._worker,
            passages,
            in_thread,
            Sparse(reactor, Logger("distributor.trouble")),
            largest_cached=limits.max_cached_item_bytes,
            negative_ttl_s=_negative_ttl_s(config),
        )

    async def _metrics(self) -> tuple[str, bytes]:
        told = await self._worker.about("metrics")
        assert isinstance(told, list)
        media_type, text = told
        return media_type, text.encode("utf-8")

    async def _about(self, what: str) -> Mapping[str, object]:
        told = await self._worker.about(what)
        assert isinstance(told, dict)
        return told

    def startService(self) -> None:
        """
        Hear from the owner; it says when to let viewers in.
        """
        super().startService()  # type: ignore[no-untyped-call]
        self._threads.start()
        self._reactor.adoptStreamConnection(
            self._connection_fd, socket.AF_UNIX, Factory.forProtocol(lambda: self._worker)
        )
        self._chores.every(_REPORT_EVERY_S, "reporting to the owner", self._worker.report)

    # What the owner says.

    def admit(self, refusal: str) -> None:
        """
        Let everybody in (an empty text), or nobody, because of this type of error.
        """
        if refusal:
            self._serving = False
            self._door.shut(_REFUSALS.get(refusal, errors.INTERNAL_ERROR))
            return
        if not self._door.ports and not self._finishing:
            # Not before: until it knows how, the others serve.
            self._door.listen(self._site)
        self._serving = True
        self._door.open()

    def finish(self, patience_s: float | None) -> None:
        """
        Let nobody in, and end: after so many seconds; L{None}: the owner is gone.
        """
        if patience_s is None and not self._finishing:
            self._log.warn("the process that has the downloads is gone: ending when all answers are over")
        elif patience_s == 0 and self._finishing:
            self._door.hurry()
        if not self._finishing:
            self._finishing = True
            self._serving = False
            if patience_s is not None:
                self._patience_s = patience_s
            self._end()

    def stopService(self) -> Deferred[None]:
        """
        Let nobody in, let those inside finish for a while.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        self._finishing = True
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self._serving = False
        await self._door.close(self._site, self._patience_s, lambda: None)
        self._chores.stop()
        try:
            await self._worker.report()
        except CatalogueUnavailable:
            self._log.debug("the owner is gone before it has heard the last")
        self._access.flush()
        await self._connections.close()
        self._worker.mirror.files.close_spare()
        self._threads.stop()
