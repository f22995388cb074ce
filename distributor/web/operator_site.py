"""
The HTTP server of the operator's API.
"""

from __future__ import annotations

from typing import Any

from twisted.web.server import Request

from distributor.web.front import Front
from distributor.web.operator_api import OperatorApi, error_answer
from distributor.web.operator_errors import METHOD_NOT_ALLOWED
from distributor.web.operator_request import LARGEST_BODY
from distributor.web.server import KnownChannel, Server

#: The largest head of a request, in bytes: its token holds the body, and base64 makes four of three.
LARGEST_HEAD = 2 * LARGEST_BODY

#: A client that sends more than this many bytes of a body does not listen, and is cut off.
_LARGEST_NUISANCE = 16 * LARGEST_BODY


class _Request(Request):
    """
    Keeps no more of a body than may be looked at.

    @ivar overfull: whether there was more.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)  # type: ignore[no-untyped-call]
        self._came = 0
        self.overfull = False

    def handleContentChunk(self, data: bytes) -> None:
        self._came += len(data)
        if self._came <= LARGEST_BODY:
            super().handleContentChunk(data)  # type: ignore[no-untyped-call]
            return
        self.overfull = True
        if self._came > _LARGEST_NUISANCE:
            self.channel.transport.abortConnection()  # type: ignore[union-attr]


class _Channel(KnownChannel):
    """
    Takes the head of a request that is as large as the operator's may be.
    """

    MAX_LENGTH = LARGEST_HEAD
    totalHeadersSize = LARGEST_HEAD


class OperatorSite(Server):
    """
    The HTTP server of the operator's API.
    """

    protocol = _Channel  # type: ignore[assignment]

    def __init__(self, api: OperatorApi, **options: object) -> None:
        front = Front(api.app, METHOD_NOT_ALLOWED, error_answer)
        super().__init__(front, requestFactory=_Request, parsePOSTFormSubmission=False, **options)
