"""
A reactor that connects to addresses that everybody can reach, and to no others.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IConnector, IHostnameResolver, IReactorPluggableNameResolver
from zope.interface import implementer

from distributor.model import DistributorError
from distributor.sources.addresses import special_kind


class NotPublic(DistributorError):
    """
    An address is not one that everybody can reach.
    """


@implementer(IReactorPluggableNameResolver)
class OnlyPublic:
    """
    All that a reactor is for an endpoint, but that it makes connections to public addresses only.

    What is looked at is what is connected to, after all parsing and all looking up of names: so neither another
    spelling of an address, nor a name that leads elsewhere the next time, gets past.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    @property
    def nameResolver(self) -> IHostnameResolver:
        resolver: IHostnameResolver = self._reactor.nameResolver
        return resolver

    def installNameResolver(self, resolver: IHostnameResolver) -> IHostnameResolver:
        previous: IHostnameResolver = self._reactor.installNameResolver(resolver)
        return previous

    def connectTCP(self, host: str, port: int, *options: Any, **named: Any) -> IConnector:
        """
        Connect to an address. A name is none, and is not looked up.

        @raise NotPublic: not everybody can reach it.
        """
        kind = special_kind(host)
        if kind is not None:
            raise NotPublic(f"{host} is not a public address: {kind}")
        connector: IConnector = self._reactor.connectTCP(host, port, *options, **named)
        return connector
