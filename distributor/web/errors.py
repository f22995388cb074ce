"""
The errors of the public API: one value for each, and what they look like over HTTP.
"""

from __future__ import annotations

import json

from attrs import evolve, frozen

from distributor.model import (
    CatalogueUnavailable,
    ContentMismatch,
    ObjectNotAccepted,
    ObjectNotDistributed,
    ObjectNotFound,
    Overloaded,
    SourcesFailed,
    SourcesTimedOut,
)
from distributor.web.headers import ALLOW, Headers, api_headers

# That an object is not here may be remembered; L{error_for} is told for how long.
_NEGATIVE = 0

# A node opens its store within a second or so. A crowd passes soon, a query node takes its time to restart; a stopped
# node may be back in a minute, and others serve.
_START_S = 1
_CROWD_S = 5
_CATALOGUE_S = 15
_STOPPED_S = 60


@frozen
class ApiError:
    """
    An error answer.

    @ivar type: a stable snake_case word for programs.
    @ivar message: a sentence for people; nothing of it comes from an exception.
    @ivar retry_after: seconds after which to try again, if that may help.
    @ivar max_age: seconds for which it may be cached; L{None}: not at all.
    """

    status: int
    type: str
    message: str
    retry_after: int | None = None
    max_age: int | None = None


OBJECT_NOT_FOUND = ApiError(404, "object_not_found", "Data object does not exist", max_age=_NEGATIVE)
OBJECT_NOT_ACCEPTED = ApiError(404, "object_not_accepted", "Data object has not been uploaded yet", max_age=_NEGATIVE)
ROUTE_NOT_FOUND = ApiError(404, "route_not_found", "There is nothing at this address")
METHOD_NOT_ALLOWED = ApiError(405, "method_not_allowed", "Only GET, HEAD and OPTIONS are answered here")
PRECONDITION_FAILED = ApiError(412, "precondition_failed", "The data object does not match If-Match")
RANGE_NOT_SATISFIABLE = ApiError(416, "range_not_satisfiable", "The data object has none of the bytes asked for")
OBJECT_NOT_DISTRIBUTED = ApiError(
    421, "object_not_distributed", "Data object not served by this node", max_age=_NEGATIVE
)
INTERNAL_ERROR = ApiError(500, "internal_error", "Unexpected server error")
SOURCES_FAILED = ApiError(502, "sources_failed", "No storage node could deliver the data object")
CONTENT_MISMATCH = ApiError(502, "content_mismatch", "What the storage nodes sent is not the data object")
CATALOGUE_UNAVAILABLE = ApiError(
    503, "catalogue_unavailable", "The catalogue of data objects cannot be reached", retry_after=_CATALOGUE_S
)
STARTING = ApiError(503, "starting", "The node is starting", retry_after=_START_S)
OVERLOADED = ApiError(503, "overloaded", "The node has more to do than it can", retry_after=_CROWD_S)
SHUTTING_DOWN = ApiError(503, "shutting_down", "The node is shutting down", retry_after=_STOPPED_S)
API_STOPPED = ApiError(503, "api_stopped", "The public API of this node has been stopped", retry_after=_STOPPED_S)
SOURCES_TIMED_OUT = ApiError(504, "sources_timed_out", "No storage node delivered the data object in time")

#: All there are, in order of status; what the OpenAPI document lists.
ALL_ERRORS = (
    OBJECT_NOT_FOUND,
    OBJECT_NOT_ACCEPTED,
    ROUTE_NOT_FOUND,
    METHOD_NOT_ALLOWED,
    PRECONDITION_FAILED,
    RANGE_NOT_SATISFIABLE,
    OBJECT_NOT_DISTRIBUTED,
    INTERNAL_ERROR,
    SOURCES_FAILED,
    CONTENT_MISMATCH,
    CATALOGUE_UNAVAILABLE,
    STARTING,
    OVERLOADED,
    SHUTTING_DOWN,
    API_STOPPED,
    SOURCES_TIMED_OUT,
)

_BY_EXCEPTION: dict[type[BaseException], ApiError] = {
    ObjectNotFound: OBJECT_NOT_FOUND,
    ObjectNotAccepted: OBJECT_NOT_ACCEPTED,
    ObjectNotDistributed: OBJECT_NOT_DISTRIBUTED,
    CatalogueUnavailable: CATALOGUE_UNAVAILABLE,
    SourcesFailed: SOURCES_FAILED,
    SourcesTimedOut: SOURCES_TIMED_OUT,
    ContentMismatch: CONTENT_MISMATCH,
    Overloaded: OVERLOADED,
}


def error_for(exception: BaseException, negative_max_age_s: int) -> ApiError:
    """
    What a client is told of C{exception}; of one that is not foreseen, only that something went wrong.

    @param negative_max_age_s: how long others may remember that an object is not here: no longer than this node itself
        does, see C{negative_ttl_s} of its catalogue.
    """
    for kind in type(exception).__mro__:
        if kind in _BY_EXCEPTION:
            error = _BY_EXCEPTION[kind]
            return error if error.max_age is None else evolve(error, max_age=negative_max_age_s)
    return INTERNAL_ERROR


def body(error: ApiError) -> bytes:
    """
    The JSON body.
    """
    return json.dumps({"type": error.type, "message": error.message}).encode("ascii")


def headers(error: ApiError, request_id: str) -> Headers:
    """
    All header fields of the answer but C{Content-Range}, which a 416 needs too.
    """
    fields = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body(error)))),
        ("Cache-Control", "no-store" if error.max_age is None else f"max-age={error.max_age}"),
        *api_headers(request_id),
    ]
    if error.retry_after is not None:
        fields.append(("Retry-After", str(error.retry_after)))
    if error.status == 405:
        fields.append(("Allow", ALLOW))
    return tuple(fields)
