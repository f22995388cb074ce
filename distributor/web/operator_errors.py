"""
The errors of the operator's API, and what all of its answers look like over HTTP.

Other than the public API's, they tell what exactly was wrong: who reads them holds the secret.
"""

from __future__ import annotations

from attrs import evolve

from distributor.model import DistributorError
from distributor.web import errors
from distributor.web.errors import ApiError
from distributor.web.headers import Headers

ALLOW = "GET, HEAD, POST, DELETE"

# No proxy on the way may keep what is for the operator; and nothing here is for scripts of other origins, so that there
# is none of the public API's CORS.
_ALWAYS: Headers = (("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"))

BAD_REQUEST = ApiError(400, "bad_request", "The request is not as it must be")
UNAUTHORIZED = ApiError(401, "unauthorized", "The request is not signed by the operator")
NOT_HERE = ApiError(404, "object_not_found", "There is nothing of this data object here")
METHOD_NOT_ALLOWED = ApiError(405, "method_not_allowed", "This address is not for this method")
ALREADY_STOPPED = ApiError(409, "already_stopped", "The public API has been stopped already")
ALREADY_STARTED = ApiError(409, "already_started", "The public API has not been stopped")
SHUTTING_DOWN = ApiError(409, "shutting_down", "The node is shutting down already")
DOWNLOADING = ApiError(409, "object_downloading", "The data object is being downloaded")
VERIFYING = ApiError(409, "already_verifying", "The data objects are being verified already")
NO_QUERY_NODE = ApiError(409, "no_query_node", "This node has no query node that knows of workers and buckets")
BODY_TOO_LARGE = ApiError(413, "body_too_large", "The body is larger than any that is of use here")
NOT_JSON = ApiError(415, "unsupported_media_type", "The body must be application/json")
TOO_MANY_TOKENS = ApiError(429, "too_many_requests", "More requests than can be told apart", retry_after=60)
DISK_FAILED = ApiError(500, "disk_failed", "The disk has refused")

#: All there are, in order of status; what the OpenAPI document lists.
ALL_ERRORS = (
    BAD_REQUEST,
    UNAUTHORIZED,
    NOT_HERE,
    errors.ROUTE_NOT_FOUND,
    METHOD_NOT_ALLOWED,
    ALREADY_STOPPED,
    ALREADY_STARTED,
    SHUTTING_DOWN,
    DOWNLOADING,
    VERIFYING,
    NO_QUERY_NODE,
    BODY_TOO_LARGE,
    NOT_JSON,
    TOO_MANY_TOKENS,
    errors.INTERNAL_ERROR,
    DISK_FAILED,
    errors.STARTING,
)


class Refused(DistributorError):
    """
    What the operator asks for is not done.

    @ivar error: what the answer is.
    """

    def __init__(self, error: ApiError, message: str | None = None) -> None:
        """
        @param message: in place of that of C{error}, which is the same for all.
        """
        self.error = error if message is None else evolve(error, message=message)
        super().__init__(self.error.message)


def answer_headers(type: str, length: int, request_id: str) -> Headers:
    """
    All header fields of an answer.

    @param length: of the body, in bytes.
    """
    return (("Content-Type", type), ("Content-Length", str(length)), ("X-Request-Id", request_id), *_ALWAYS)


def error_headers(error: ApiError, request_id: str) -> Headers:
    """
    All header fields of an error's answer.
    """
    fields = list(answer_headers("application/json", len(errors.body(error)), request_id))
    if error.status == 401:
        fields.append(("WWW-Authenticate", "Bearer"))
    if error.status == 405:
        fields.append(("Allow", ALLOW))
    if error.retry_after is not None:
        fields.append(("Retry-After", str(error.retry_after)))
    return tuple(fields)
