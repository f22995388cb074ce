"""
Storage nodes on real ports in the process of the test, each of which does one thing wrong until it is healed.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from attrs import evolve, field, frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL
from twisted.internet.interfaces import (
    IListeningPort,
    IOpenSSLServerConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
)
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

from distributor.devnet import Cut, Drip, Ending, Fault, Faults, MediaFile, ServedRequest, StorageNode

_LOOPBACK = "127.0.0.1"

#: What the kernel keeps of an answer on the storage node's side, in bytes: by itself it would let that grow to MiBs,
#: and what a storage node has sent would say little about what has left it.
_SEND_BUFFER = 128 * 1024

#: What has been handed to a connection and is lost when the other end gives it up: what the node lets be in flight, the
#: buffer on this side, and what Twisted holds; in bytes.
IN_FLIGHT = 1024 * 1024 + 2 * _SEND_BUFFER + 128 * 1024

#: After so much of a body something happens to it; in bytes. Less than the shortest run that the matrix reads in one
#: piece, more than a quarter of the object: each stall costs a second.
_AFTER = 900 * 1024


@frozen(kw_only=True)
class Trouble:
    """
    What is wrong with a storage node.

    @ivar name: as the table has it.
    @ivar fault: what is wrong with each answer.
    @ivar first: what is wrong with the first one, if that is something else.
    @ivar alone: what a node gets from it that has no other: C{"all"}; C{"nothing"}; C{"later"}: all, once it is healed.
    @ivar error: what readers are told where there is nothing.
    @ivar wasteful: it sends bytes that are of no use.
    @ivar listens: its port is open.
    @ivar tls: it has a certificate, which is bad.
    """

    name: str
    fault: Fault = field(factory=Fault)
    first: Fault | None = None
    alone: str = "nothing"
    error: int = 502
    wasteful: bool = False
    listens: bool = True
    tls: bool = False


def troubles(size: int) -> dict[str, tuple[Trouble, ...]]:
    """
    All kinds there are, by what they have in common.

    @param size: of the object, in bytes.
    """
    return {
        "No answer": (
            Trouble(name="refuses connections", listens=False),
            Trouble(name="accepts and hangs", fault=Fault(hang=True), error=504),
            Trouble(name="bad certificate", tls=True),
            Trouble(name="slow first byte", fault=Fault(delay_s=0.4), alone="all"),
        ),
        "Wrong answers": (
            Trouble(name="404", fault=Fault(status=404)),
            Trouble(name="500", fault=Fault(status=500)),
            Trouble(name="redirect", fault=Fault(redirect="http://127.0.0.1:9/")),
            Trouble(name="gzip", fault=Fault(gzip=True), wasteful=True),
            Trouble(name="wrong length", fault=Fault(content_length=size + 1), wasteful=True),
            Trouble(name="wrong Content-Range", fault=Fault(content_range=f"bytes 1-2/{size}"), wasteful=True),
            Trouble(name="200 without ranges", fault=Fault(ignore_range=True), alone="all", wasteful=True),
        ),
        "Broken answers": (
            Trouble(name="reset after n bytes", fault=Fault(cut=Cut(_AFTER, Ending.RESET)), alone="all"),
            Trouble(name="early FIN", fault=Fault(cut=Cut(_AFTER, Ending.CLOSE)), alone="all"),
            Trouble(name="stall at n", fault=Fault(cut=Cut(_AFTER, Ending.STALL)), alone="all"),
            Trouble(
                name="reset, then 500",
                first=Fault(cut=Cut(_AFTER, Ending.RESET)),
                fault=Fault(status=500),
                alone="later",
            ),
            Trouble(name="drip", fault=Fault(drip=Drip(16, 0.1)), alone="later"),
        ),
        "Wrong bytes": (
            Trouble(name="first byte flipped", fault=Fault(flip_at=0)),
            Trouble(name="middle byte flipped", fault=Fault(flip_at=size // 2)),
            Trouble(name="last byte flipped", fault=Fault(flip_at=size - 1)),
        ),
    }


HEALTHY = Trouble(name="none")


class Certificate:
    """
    A certificate for the loopback interface, signed by itself.
    """

    def __init__(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, _LOOPBACK)])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(_LOOPBACK))]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(key, hashes.SHA256())
        )
        self._pem = certificate.public_bytes(serialization.Encoding.PEM)
        self.context = SSL.Context(SSL.TLS_SERVER_METHOD)
        self.context.use_certificate(certificate)
        self.context.use_privatekey(key)

    def write(self, path: Path) -> None:
        """
        Write it where somebody who is to trust it finds it.
        """
        path.write_bytes(self._pem)


@implementer(IOpenSSLServerConnectionCreator)
class _Presented:
    """
    The certificate that the next connection is shown.
    """

    def __init__(self, certificate: Certificate) -> None:
        self.certificate = certificate

    def serverConnectionForTLS(self, tlsProtocol: IProtocol) -> SSL.Connection:
        return SSL.Connection(self.certificate.context, None)


class _Connections(WrappingFactory[ProtocolWrapper]):
    """
    Knows the connections that are open.
    """

    noisy = False

    def abort(self) -> None:
        for connection in list(self.protocols):
            connection.transport.abortConnection()


class FaultyStorage:
    """
    A storage node with one trouble.

    @ivar endpoint: its URL.
    """

    def __init__(
        self, reactor: IReactorTime, files: Mapping[str, MediaFile], trouble: Trouble, trusted: Certificate
    ) -> None:
        """
        @param trusted: a certificate with which it works, once it is healed.
        """
        self.trouble = trouble
        self._reactor = reactor
        self._trusted = trusted
        self._faults = Faults(trouble.fault, next=deque([trouble.first] if trouble.first is not None else []))
        self._node = StorageNode(files, reactor, faults=self._faults)
        self._connections = _Connections(self._node.site())
        self._factory: IProtocolFactory = self._connections
        if trouble.tls:
            self._presented = _Presented(Certificate())
            self._factory = TLSMemoryBIOFactory(self._presented, False, self._connections)
            self._factory.noisy = False
        self._port: IListeningPort | None = None
        # Bound from now on: until it listens, connections are refused, and nobody else gets the port.
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self._socket.bind((_LOOPBACK, 0))
        self.endpoint = f"{'https' if trouble.tls else 'http'}://{_LOOPBACK}:{self._socket.getsockname()[1]}/"
        if trouble.listens:
            self._listen()

    def _listen(self) -> None:
        if self._port is None:
            self._socket.listen(128)
            self._socket.setblocking(False)
            self._port = self._reactor.adoptStreamPort(  # type: ignore[attr-defined]
                self._socket.fileno(), socket.AF_INET, self._factory
            )

    def slow_down(self, drip: Drip | None) -> None:
        """
        Let every answer from now on drip, whatever else is wrong with it; or no longer.
        """
        if self.trouble.fault.drip is None:
            self._faults.always = _dripping(self._faults.always, drip)
            self._faults.next = deque(_dripping(fault, drip) for fault in self._faults.next)

    def heal(self) -> None:
        """
        Do nothing wrong from now on. Answers in progress end, as they do when a storage node is started anew.
        """
        self._faults.always = Fault(drip=None)
        self._faults.next.clear()
        if self.trouble.tls:
            self._presented.certificate = self._trusted
        self._connections.abort()
        self._listen()

    @property
    def requests(self) -> list[ServedRequest]:
        """
        What it was asked, in order.
        """
        return list(self._node.requests)

    def forget(self) -> None:
        """
        Forget all requests so far.
        """
        self._node.requests.clear()

    async def stop(self) -> None:
        """
        Close everything.
        """
        if self._port is not None:
            stopped = self._port.stopListening()
            if stopped is not None:
                await stopped
        self._connections.abort()
        self._socket.close()


def _dripping(fault: Fault, drip: Drip | None) -> Fault:
    return evolve(fault, drip=drip)


def _cuts(trouble: Trouble) -> list[Cut]:
    return [fault.cut for fault in (trouble.fault, trouble.first) if fault is not None and fault.cut is not None]


def given_up(request: ServedRequest, trouble: Trouble) -> bool:
    """
    Whether the other end has given up an answer, before it was over or its trouble ended it.
    """
    cuts = [cut.after for cut in _cuts(trouble)]
    return request.status in (200, 206) and not request.finished and request.sent not in cuts


def was_reset(request: ServedRequest, trouble: Trouble) -> bool:
    """
    Whether its trouble has reset the connection of an answer.
    """
    return not request.finished and any(
        cut.after == request.sent and cut.ending is Ending.RESET for cut in _cuts(trouble)
    )
