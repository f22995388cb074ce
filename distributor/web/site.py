"""
The HTTP server of the public API.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred

from distributor.web.channel import Channel
from distributor.web.errors import METHOD_NOT_ALLOWED
from distributor.web.fast.channel import FastChannel
from distributor.web.fast.hits import Hits
from distributor.web.front import Front
from distributor.web.public_api import PublicApi, error_answer
from distributor.web.server import Server


class PublicSite(Server):
    """
    The HTTP server of the public API.
    """

    def __init__(self, api: PublicApi, hits: Hits | None, **options: object) -> None:
        """
        @param hits: what the short way answers with, if there is one.
        """
        super().__init__(Front(api.app, METHOD_NOT_ALLOWED, error_answer), **options)
        self._hits = hits
        self.protocol = self._channel  # type: ignore[assignment]

    def close(self) -> Deferred[None]:
        """
        End all connections, none of which may have an answer in progress.
        """
        if self._hits is not None:
            # Who follows another is not inside, and is told why its connection ends.
            self._hits.coming.crowds.let_all_go()
        return super().close()

    def _channel(self) -> Channel:
        if self._hits is None:
            return Channel()  # type: ignore[no-untyped-call]
        channel = FastChannel()
        channel.hits = self._hits
        return channel
