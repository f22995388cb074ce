"""
The HTTP API of a storage node, over a set of files.

For development, demonstrations and tests: it reads files in the reactor's thread, knows no authentication, and can be
told to misbehave.
"""

from __future__ import annotations

import gzip
import json
import os
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen
from twisted.internet.interfaces import IReactorTime
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from distributor import __version__
from distributor.devnet.body import Body, ServedRequest
from distributor.devnet.exchange import Exchange
from distributor.devnet.faults import HEALTHY, Fault, Faults, fault_of, flipped
from distributor.devnet.media_file import MediaFile, UnsatisfiableRange, single_range
from distributor.devnet.rate import SharedRate
from distributor.model import ByteRange

#: How many requests are remembered: more than any test makes, and no leak in a node that runs for days.
REMEMBERED_REQUESTS = 10_000


@frozen
class Answer:
    """
    @ivar span: the bytes of the file to send; L{None} where the body is not the file's, or empty.
    @ivar error: the message of a JSON body.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    span: ByteRange | None = None
    error: str | None = None


def answer(file: MediaFile | None, range_header: str | None, fault: Fault = HEALTHY) -> Answer:
    """
    What to say to a request, as joystream.md describes storage nodes, or as C{fault} spoils it.

    @param range_header: L{None} where none is to be obeyed: in a HEAD, or beside an C{If-Range}, which a weak C{ETag}
        never matches (RFC 9110 §13.1.5).
    """
    if fault.status is not None:
        return Answer(fault.status, (), error="This node was told to fail")
    if fault.redirect is not None:
        return Answer(302, (("Location", fault.redirect),), error="Elsewhere")
    if file is None:
        return Answer(404, (), error="File not found")
    try:
        asked = single_range(None if fault.ignore_range else range_header, file.size)
    except UnsatisfiableRange:
        return Answer(416, (("Content-Range", f"bytes */{file.size}"),), error="Range not satisfiable")
    headers = [
        ("Content-Type", file.type),
        ("Content-Disposition", "inline"),
        ("ETag", file.etag),
        ("Accept-Ranges", "bytes"),
    ]
    span = asked or (ByteRange(0, file.size) if file.size else None)
    if asked is not None:
        honest = f"bytes {asked.start}-{asked.stop - 1}/{file.size}"
        headers.append(("Content-Range", honest if fault.content_range is None else fault.content_range))
    return Answer(206 if asked else 200, tuple(headers), span)


class StorageNode:
    """
    A storage node that serves C{files}.

    @ivar files: by object id; may be changed while the node runs.
    @ivar faults: what to do wrong.
    @ivar requests: the requests for files, from the oldest that is remembered to the newest.
    """

    def __init__(
        self,
        files: Mapping[str, MediaFile],
        clock: IReactorTime,
        rate: int | None = None,
        faults: Faults | None = None,
        remember: int = REMEMBERED_REQUESTS,
    ) -> None:
        """
        @param rate: bytes per second, for all answers together; L{None} is as fast as possible.
        """
        self.files = dict(files)
        self.faults = Faults() if faults is None else faults
        self.requests: deque[ServedRequest] = deque(maxlen=remember)
        self._clock = clock
        self._rate = None if rate is None else SharedRate(clock, rate)

    def resource(self) -> Resource:
        """
        The tree whose root is the node's endpoint: C{/api/v1/files/{id}} and what is beside it; and for who develops,
        C{PUT /fault} and C{GET /requests}.
        """
        root, api, v1, state = (Resource() for _ in range(4))
        root.putChild(b"fault", _FaultControl(self))
        root.putChild(b"requests", _Json(self._asked))
        root.putChild(b"api", api)
        api.putChild(b"v1", v1)
        v1.putChild(b"files", _Files(self))
        v1.putChild(b"version", _Json(lambda: {"version": __version__, "userAgent": f"devnet/{__version__}"}))
        v1.putChild(b"status", _Json(self._status))
        v1.putChild(b"state", state)
        state.putChild(b"data", _Json(self._state))
        state.putChild(b"data-objects", _Json(lambda: list(self.files)))
        return root

    def site(self) -> Site:
        """
        The factory to listen with.
        """
        return QuietSite(self.resource(), reactor=self._clock)  # type: ignore[no-untyped-call]

    def serve(self, request: Exchange, object_id: str) -> None:
        """
        Answer a GET or a HEAD for a file.
        """
        range_header: str | None = request.getHeader("range")
        served = ServedRequest(request.method.decode("ascii"), object_id, range_header)
        self.requests.append(served)
        fault = self.faults.take(object_id)
        if fault.hang:
            return
        if not fault.delay_s:
            self._reply(request, served, fault)
            return
        later = self._clock.callLater(fault.delay_s, self._reply, request, served, fault)
        request.notifyFinish().addErrback(lambda _: later.cancel() if later.active() else None)

    def _reply(self, request: Exchange, served: ServedRequest, fault: Fault) -> None:
        object_id, range_header = served.object_id, served.range_header
        head = request.method == b"HEAD"
        file = self.files.get(object_id)
        obeyed = None if head or request.getHeader("if-range") is not None else range_header
        reply = answer(file, obeyed, fault)
        served.status, served.asked = reply.status, None if head else reply.span
        for name, value in reply.headers:
            request.responseHeaders.addRawHeader(name, value)
        if file is None or reply.error is not None:
            send_json(request, reply.status, {"type": f"status_{reply.status}", "message": reply.error})
            served.finished = True
            return
        request.setResponseCode(reply.status)
        length = 0 if reply.span is None else len(reply.span)
        if head:
            _declare(request, length, fault)
            request.finish()
            served.finished = True
            return
        self._send_file(request, served, file, reply.span, fault)

    def _send_file(
        self, request: Exchange, served: ServedRequest, file: MediaFile, span: ByteRange | None, fault: Fault
    ) -> None:
        fd = os.open(file.path, os.O_RDONLY | os.O_CLOEXEC)
        start, length = (0, 0) if span is None else (span.start, len(span))
        flip_at = fault.flip_at
        if flip_at is not None and flip_at < 0:
            flip_at += file.size

        def read(offset: int, size: int) -> bytes:
            return flipped(os.pread(fd, size, start + offset), start + offset, flip_at)

        source = read
        if fault.gzip:
            # Stored, since compressing would hold up every other answer.
            packed = gzip.compress(read(0, length), compresslevel=0)
            length = len(packed)
            request.setHeader("Content-Encoding", "gzip")
            source = lambda offset, size: packed[offset : offset + size]  # noqa: E731
        _declare(request, length, fault)
        close_after = fault.content_length is not None
        Body(
            request,
            served,
            source,
            length,
            self._clock,
            self._rate,
            cut=fault.cut,
            drip=fault.drip,
            close_after=close_after,
            ended=lambda: os.close(fd),
        ).start()

    def _status(self) -> object:
        asked = sum(len(served.asked) for served in self.requests if served.asked is not None)
        return {
            "version": __version__,
            "objects": len(self.files),
            "requests": len(self.requests),
            "bytesAsked": asked,
            "bytesSent": sum(served.sent for served in self.requests),
        }

    def _asked(self) -> object:
        return [
            {
                "method": each.method,
                "objectId": each.object_id,
                "range": each.range_header,
                "status": each.status,
                "sent": each.sent,
            }
            for each in self.requests
        ]

    def _state(self) -> object:
        return {"totalCount": len(self.files), "totalSize": sum(file.size for file in self.files.values())}


def _declare(request: Exchange, length: int, fault: Fault) -> None:
    declared = length if fault.content_length is None else fault.content_length
    request.setHeader("Content-Length", str(declared))


def send_json(request: Exchange, status: int, value: object) -> None:
    """
    A whole answer.
    """
    body = json.dumps(value).encode("ascii")
    request.setResponseCode(status)
    request.setHeader("Content-Type", "application/json")
    request.setHeader("Content-Length", str(len(body)))
    request.write(body)
    request.finish()


class _Files(Resource):
    isLeaf = True

    def __init__(self, node: StorageNode) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._node = node

    def render_GET(self, request: Exchange) -> int:
        # An id that is no text names nothing, and the replacement character keeps it so.
        self._node.serve(request, b"/".join(request.postpath).decode("utf-8", "replace"))
        return NOT_DONE_YET

    render_HEAD = render_GET


class _FaultControl(Resource):
    """
    What is wrong with each answer, from outside of the process: C{{"status": 500}}, or C{{}} to heal the node.
    """

    isLeaf = True

    def __init__(self, node: StorageNode) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._node = node

    def render_PUT(self, request: Any) -> int:
        try:
            self._node.faults.always = fault_of(json.loads(request.content.read()))
        except (TypeError, ValueError) as error:
            send_json(request, 400, {"message": f"Not a fault: {error}"})
        else:
            send_json(request, 200, {})
        return NOT_DONE_YET


class _Json(Resource):
    isLeaf = True

    def __init__(self, value: Callable[[], object]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._value = value

    def render_GET(self, request: Exchange) -> int:
        send_json(request, 200, self._value())
        return NOT_DONE_YET


class QuietSite(Site):
    """
    No access log: the node remembers its requests, and a line for each would drown the node under test.
    """

    noisy = False

    def log(self, request: Request) -> None:
        pass
