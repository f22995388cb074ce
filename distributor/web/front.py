"""
What stands before Klein, and answers what Klein and Werkzeug would fail at.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote_to_bytes

from klein import Klein, KleinRenderable
from twisted.web.resource import Resource
from twisted.web.server import Request

from distributor.web import errors
from distributor.web.errors import ApiError
from distributor.web.headers import SERVER

# RFC 9112 §3.2.2: clients of proxies send it, and a server has to accept it.
_ABSOLUTE_FORM = re.compile(rb"https?://([^/?]*)", re.IGNORECASE)

_HOST = re.compile(rb"(?:[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


class Front(Resource):
    """
    The root of an HTTP server whose routes are Klein's. Where a client names the host in the target, C{request.path} is
    put right; C{request.uri} stays as it was sent, for the access log.
    """

    isLeaf = True

    def __init__(self, app: Klein, wrong_method: ApiError, refuse: Callable[[Request, ApiError], bytes]) -> None:
        """
        @param app: bound to what answers.
        @param refuse: answers with an error: writes the head, and gives the body.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self._klein = app.resource()
        self._wrong_method = wrong_method
        self._refuse = refuse

    def render(self, request: Request) -> KleinRenderable:
        request.setHeader(b"server", SERVER.encode("ascii"))
        # Werkzeug takes "get" for GET, where RFC 9110 §9.1 tells them apart.
        if not request.method.isalpha() or not request.method.isupper():
            return self._refuse(request, self._wrong_method)
        absolute = _ABSOLUTE_FORM.match(request.path)
        if absolute is not None:
            request.requestHeaders.setRawHeaders(b"Host", [absolute[1]])
            request.path = request.path[absolute.end() :] or b"/"
            request.postpath = [unquote_to_bytes(segment) for segment in request.path[1:].split(b"/")]
        try:
            unquote_to_bytes(request.path).decode("utf-8")
        except UnicodeDecodeError:
            return self._refuse(request, errors.ROUTE_NOT_FOUND)
        if not _HOST.fullmatch(request.getHeader(b"host") or b""):
            # No answer depends on the name by which a client knows this node, but Werkzeug refuses odd ones.
            request.requestHeaders.setRawHeaders(b"Host", [b"localhost"])
        return self._klein.render(request)
