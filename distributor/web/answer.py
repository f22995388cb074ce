"""
The answer to a request for an asset that exists: the one place that decides it.

Pure: the ordinary way and the short one ask it, and neither decides anything of HTTP itself.
"""

from __future__ import annotations

from typing import Literal

from attrs import frozen

from distributor.model import ByteRange
from distributor.web import errors
from distributor.web.asset_request import AssetRequest
from distributor.web.conditions import Verdict, judge, range_applies
from distributor.web.headers import Facts, Headers, asset_headers, entity_tag, media_type, not_modified_headers
from distributor.web.multipart import Pieces, body_length, content_range, multipart_pieces, multipart_type
from distributor.web.ranges import RangeSpec, resolve

__all__ = ["Answer", "Facts", "Selection", "answer", "heeds_range", "select", "select_ranges"]


@frozen
class Selection:
    """
    What of the object is to be sent, and under which status.

    @ivar ranges: in the order of sending; empty for an empty object, and where none of it is sent.
    """

    status: Literal[200, 206, 304, 412, 416]
    ranges: tuple[ByteRange, ...] = ()


@frozen
class Answer:
    """
    A whole answer.

    @ivar headers: with C{Content-Length}, except for 304.
    @ivar pieces: the body in order: bytes as they are, and ranges of the object. HEAD has none, beside the headers of
        GET.
    """

    status: int
    headers: Headers
    pieces: Pieces


def select(request: AssetRequest, size: int, etag: str) -> Selection:
    """
    Decide the status and the bytes. It needs no more than the catalogue or the index knows, so that nothing is
    downloaded for a 304, 412 or 416.

    @param size: of the object, in bytes.
    @param etag: its strong entity tag, quotes included.
    """
    verdict = judge(request.if_match, request.if_none_match, etag)
    if verdict is Verdict.FAILED:
        return Selection(412)
    if verdict is Verdict.NOT_MODIFIED:
        return Selection(304)
    if request.range is not None and heeds_range(request, etag):
        return select_ranges(request.range, size)
    return _whole(size)


def heeds_range(request: AssetRequest, etag: str) -> bool:
    """
    Whether a C{Range} field matters, if the conditions of a request hold.
    """
    return request.method == "GET" and range_applies(request.if_range, etag)


def select_ranges(specs: tuple[RangeSpec, ...], size: int) -> Selection:
    """
    As L{select}, for a C{Range} field that is heeded.
    """
    ranges = resolve(specs, size)
    if ranges is None:
        return _whole(size)
    return Selection(206, ranges) if ranges else Selection(416)


def _whole(size: int) -> Selection:
    return Selection(200, (ByteRange(0, size),) if size else ())


def answer(request: AssetRequest, facts: Facts, boundary: str) -> Answer:
    """
    Decide the whole answer.

    @param boundary: for an answer of several parts: random, 1 to 70 of C{[0-9A-Za-z_.+-]}.
    @raise ValueError: C{boundary} was needed and is not such.
    """
    selection = select(request, facts.size, entity_tag(facts.content_hash))
    status, ranges = selection.status, selection.ranges
    if status == 304:
        return Answer(304, not_modified_headers(facts, request.request_id), ())
    if status == 412:
        return _error(request, errors.PRECONDITION_FAILED)
    if status == 416:
        return _error(request, errors.RANGE_NOT_SATISFIABLE, ("Content-Range", f"bytes */{facts.size}"))
    pieces: Pieces = ranges
    own_type = body_type = media_type(facts.type)
    partial: Headers = ()
    if len(ranges) > 1:
        pieces = multipart_pieces(boundary, own_type, ranges, facts.size)
        body_type = multipart_type(boundary)
    elif status == 206:
        partial = (("Content-Range", content_range(ranges[0], facts.size)),)
    # All of a 200's fields go on a 206, after If-Range too, where RFC 9110 §15.3.7 would rather have fewer: players
    # read Content-Type from each.
    headers = (
        ("Content-Type", body_type),
        ("Content-Length", str(body_length(pieces))),
        *partial,
        *asset_headers(facts, request.download, request.request_id),
    )
    return Answer(status, headers, pieces if request.method == "GET" else ())


def _error(request: AssetRequest, error: errors.ApiError, *more: tuple[str, str]) -> Answer:
    pieces = (errors.body(error),) if request.method == "GET" else ()
    return Answer(error.status, (*errors.headers(error, request.request_id), *more), pieces)
