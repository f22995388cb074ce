"""
The nodes of this room as services.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import AdoptedStreamServerEndpoint, serverFromString
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IReactorTime, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.server import Site
from zope.interface import implementer

from distributor.devnet.faults import Fault, Faults
from distributor.devnet.folder import data_objects, media_in
from distributor.devnet.library import library_files, library_manifest
from distributor.devnet.manifest import manifest_text, write_manifest
from distributor.devnet.storage_node import StorageNode

_LOOPBACK = "127.0.0.1"

#: How many connections may wait for a reactor that does not run yet.
_BACKLOG = 128

_log = Logger(namespace="distributor.devnet")


def endpoint_url(port: IListeningPort) -> str:
    """
    The base URL of a node that listens on C{port}, as seen from this machine.

    @raise ValueError: it is not a TCP port.
    """
    address = port.getHost()
    host, number = getattr(address, "host", None), getattr(address, "port", None)
    if host is None or number is None:
        raise ValueError(f"{address} has no URL; listen on a TCP port")
    # Who listens everywhere is reached here, too.
    host = {"0.0.0.0": _LOOPBACK, "::": "::1"}.get(host, host)
    return f"http://[{host}]:{number}/" if ":" in host else f"http://{host}:{number}/"


class Node(Protocol):
    """
    A storage node, or a query node.
    """

    def site(self) -> Site: ...


AnyNode = TypeVar("AnyNode", bound=Node)


class NodeService(Service, Generic[AnyNode]):
    """
    Listens for a node while it runs. Stopping drops the connections that are open: nothing of it is left.
    """

    def __init__(
        self,
        node: AnyNode,
        endpoint: IStreamServerEndpoint,
        announce: Callable[[IListeningPort], object] = lambda port: None,
    ) -> None:
        """
        @param announce: told of the port as soon as there is one.
        """
        self.node = node
        self._endpoint = endpoint
        self._announce = announce
        self._connections = _Connections(node.site())
        self._port: IListeningPort | None = None

    @property
    def open_connections(self) -> int:
        """
        How many clients are connected, whether they ask for something or not.
        """
        return len(self._connections.protocols)

    def privilegedStartService(self) -> None:
        """
        Listen, while ports below 1024 are still allowed.

        @raise CannotListenError: the endpoint cannot be listened on.
        @raise OSError: C{announce} could not write what it writes.
        """
        failures: list[Failure] = []
        self._endpoint.listen(self._connections).addCallback(self._listens).addErrback(failures.append)
        # TCP endpoints say at once whether they listen.
        for failure in failures:
            failure.raiseException()

    def startService(self) -> None:
        """
        Listen, unless that was done before.
        """
        super().startService()  # type: ignore[no-untyped-call]
        if self._port is None:
            self.privilegedStartService()

    def stopService(self) -> Deferred[None]:
        """
        Fires when the port is closed and every connection is gone.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        port, self._port = self._port, None
        if port is None:
            return succeed(None)
        closed: Deferred[None] = succeed(None)
        closed.addCallback(lambda _: port.stopListening())
        closed.addCallback(lambda _: self._connections.abort())
        return closed

    def _listens(self, port: IListeningPort) -> None:
        self._port = port
        self._announce(port)


class DemoStorageNode(NodeService[StorageNode]):
    """
    The built-in library, on a loopback port of its own. The port is taken when this is made, so that a node can be told
    of it before anything runs; it is given up when the service stops, and the service cannot be started again.

    @ivar url: the storage node's endpoint.
    """

    def __init__(self, reactor: IReactorTime, rate: int | None = None) -> None:
        """
        @param reactor: provides C{IReactorSocket}, too.
        @param rate: bytes per second in all.
        @raise OSError: there is no port to be had.
        """
        bound = socket.create_server((_LOOPBACK, 0), backlog=_BACKLOG)
        self.url = f"http://{_LOOPBACK}:{bound.getsockname()[1]}/"
        super().__init__(StorageNode(library_files(), reactor, rate), _BoundEndpoint(reactor, bound))

    def manifest(self) -> dict[str, object]:
        """
        What a catalogue has to know of the library, as a manifest's plain values.
        """
        return library_manifest(self.url)


def storage_node_service(
    reactor: IReactorTime,
    media: Path,
    endpoint_description: str,
    rate: int | None = None,
    manifest: Path | None = None,
    delay_s: float = 0.0,
) -> NodeService[StorageNode]:
    """
    A storage node over the folder C{media}, for C{twistd storage-node}. The files are looked at now; what is added to
    the folder later is not served.

    @param endpoint_description: a server endpoint string, of TCP: C{tcp:3333:interface=127.0.0.1}.
    @param rate: bytes per second in all.
    @param manifest: where to write the manifest once the port is known. Every file is hashed for it, now: about a
        second for each GiB.
    @param delay_s: how long it is silent before each file.
    @raise OSError: the folder, or a file in it, cannot be read.
    @raise ValueError: the endpoint string or the rate makes no sense.
    """
    files = media_in(media)
    objects = data_objects(files) if manifest is not None else []
    node = StorageNode(files, reactor, rate, faults=Faults(Fault(delay_s=delay_s)))

    def announce(port: IListeningPort) -> None:
        url = endpoint_url(port)
        if manifest is not None:
            write_manifest(manifest, manifest_text(url, objects))
            _log.info("Manifest written to {path}", path=manifest)
        _log.info(
            "Storage node for development, demos and tests, and for nothing else: {count} objects of {media} at "
            "{url}api/v1/files/",
            count=len(files),
            media=media,
            url=url,
        )

    endpoint: IStreamServerEndpoint = serverFromString(reactor, endpoint_description)
    return NodeService(node, endpoint, announce)


@implementer(IStreamServerEndpoint)
class _BoundEndpoint:
    """
    Listens on a socket that listens already.
    """

    def __init__(self, reactor: IReactorTime, bound: socket.socket) -> None:
        self._reactor = reactor
        self._socket = bound

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        # The reactor duplicates the descriptor, and the endpoint closes the one it is given.
        adopted = AdoptedStreamServerEndpoint(self._reactor, self._socket.detach(), socket.AF_INET)
        listening: Deferred[IListeningPort] = adopted.listen(protocolFactory)
        return listening


class _Connections(WrappingFactory[ProtocolWrapper]):
    """
    Knows the connections that are open.
    """

    noisy = False

    def __init__(self, wrapped: IProtocolFactory) -> None:
        super().__init__(wrapped)  # type: ignore[no-untyped-call]
        self._all_gone: Deferred[None] | None = None

    def abort(self) -> Deferred[None]:
        """
        Drop them all; fires when they are gone.
        """
        if not self.protocols:
            return succeed(None)
        self._all_gone = Deferred()
        for connection in list(self.protocols):
            connection.transport.abortConnection()
        return self._all_gone

    def unregisterProtocol(self, p: ProtocolWrapper) -> None:
        super().unregisterProtocol(p)  # type: ignore[no-untyped-call]
        if not self.protocols and self._all_gone is not None:
            gone, self._all_gone = self._all_gone, None
            gone.callback(None)
