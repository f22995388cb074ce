"""
What a client asks of an asset, as a value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from urllib.parse import parse_qsl

from attrs import frozen

from distributor.web.conditions import EntityTags, parse_entity_tags
from distributor.web.ranges import RangeSpec, parse_range

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


@frozen
class AssetRequest:
    """
    A GET or HEAD of an asset.

    @ivar method: C{GET} or C{HEAD}.
    @ivar object_id: as it is in the path; nothing here has checked it.
    @ivar range: the ranges asked for; L{None} when the field is absent or to be ignored.
    @ivar if_match: L{None} when the field is absent; so the next two.
    @ivar if_range: the field as it is.
    @ivar download: L{None} to show the asset; to save it, the name to propose, or the empty string for none.
    @ivar request_id: what this request is called in the log and in C{X-Request-Id}.
    """

    method: str
    object_id: str
    range: tuple[RangeSpec, ...] | None
    if_match: EntityTags | None
    if_none_match: EntityTags | None
    if_range: str | None
    download: str | None
    request_id: str


def asset_request(
    method: str,
    object_id: str,
    header: Callable[[str], str | None],
    query: bytes,
    new_request_id: Callable[[], str],
) -> AssetRequest:
    """
    Read a request.

    @param header: the value of a field, by its name in any case, or L{None}; see L{field_value}.
    @param query: what follows the C{?} of the request target, undecoded: Twisted's C{Request.args} drops a
        C{?download} that has no C{=}.
    @param new_request_id: called when the client sent no usable id.
    """
    wanted = header("Range")
    if_match = header("If-Match")
    if_none_match = header("If-None-Match")
    return AssetRequest(
        method=method,
        object_id=object_id,
        # Range is defined for GET alone (RFC 9110 §14.2).
        range=parse_range(wanted) if wanted is not None and method == "GET" else None,
        if_match=None if if_match is None else parse_entity_tags(if_match),
        if_none_match=None if if_none_match is None else parse_entity_tags(if_none_match),
        if_range=header("If-Range"),
        download=download_name(query) if query else None,
        request_id=request_id(header("X-Request-Id"), new_request_id),
    )


def request_id(offered: str | None, new_request_id: Callable[[], str]) -> str:
    """
    The client's id when it is 1 to 64 of C{[A-Za-z0-9._-]}, and so harmless in a header and in a log; else a new one.
    """
    if offered is not None and _REQUEST_ID.fullmatch(offered):
        return offered
    return new_request_id()


def download_name(query: bytes) -> str | None:
    """
    The value of the first C{download} in a query string; L{None} when there is none.
    """
    for name, value in parse_qsl(query.decode("utf-8", "replace"), keep_blank_values=True):
        if name == "download":
            return value
    return None


def field_value(lines: Sequence[bytes] | None) -> str | None:
    """
    A header field's lines, as C{Headers.getRawHeaders} gives them for a name in bytes, as one value (RFC 9110 §5.3).
    Latin-1, as octets beyond ASCII are opaque (§5.5) and must not raise.
    """
    return b", ".join(lines).decode("latin-1") if lines else None
