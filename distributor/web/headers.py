"""
The header fields of answers: each field's value from plain values, and the sets that answers carry.

Whatever comes from elsewhere (a media type, a file name) is checked or encoded here, so that no value can end its line.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from urllib.parse import quote

from attrs import frozen

from distributor import __version__
from distributor.model import CacheState, ContentHash

Headers = tuple[tuple[str, str], ...]

#: What the node calls itself, to clients and to storage nodes.
SERVER = f"distributor/{__version__}"

ALLOW = "GET, HEAD, OPTIONS"

#: Verified once, an object never changes. Until then a wrong copy must not live long in others' caches.
VERIFIED = "public, max-age=31536000, immutable"
UNVERIFIED = "public, max-age=180, must-revalidate"

# All that an answer may carry, as scripts of other origins see no other field.
_EXPOSED = ", ".join(
    (
        "X-Cache",
        "X-Data-Source",
        "ETag",
        "Cache-Control",
        "Content-Type",
        "Content-Disposition",
        "X-Content-Type-Options",
        "Content-Security-Policy",
        "Access-Control-Allow-Origin",
        "Access-Control-Expose-Headers",
        "Timing-Allow-Origin",
        "Cross-Origin-Resource-Policy",
        "Cache-Status",
        "Server-Timing",
        "X-Request-Id",
        "Accept-Ranges",
        "Content-Length",
        "Content-Range",
        "Retry-After",
    )
)

_CROSS_ORIGIN: Headers = (
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Expose-Headers", _EXPOSED),
    ("Timing-Allow-Origin", "*"),
    ("Cross-Origin-Resource-Policy", "cross-origin"),
)
_NOSNIFF: Headers = (("X-Content-Type-Options", "nosniff"),)

# An uploaded HTML or SVG file must not become a script of this origin.
_ASSET: Headers = (
    ("Accept-Ranges", "bytes"),
    *_NOSNIFF,
    (
        "Content-Security-Policy",
        "sandbox; default-src 'none'; media-src 'self'; img-src 'self'; style-src 'unsafe-inline'",
    ),
    *_CROSS_ORIGIN,
)
_API: Headers = (*_NOSNIFF, *_CROSS_ORIGIN)

# Browsers cap it: two hours in Chromium, a day in Firefox.
_PREFLIGHT_MAX_AGE_S = 86400

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_FIELD_NAME = re.compile(_TOKEN)
# RFC 9110 §8.3.1, in ASCII. There is one way to read each character, so that no input backtracks far. No group is
# possessive: Python 3.11.2, which is Debian's, then forgets where it began, and takes half a parameter for a whole one.
_MEDIA_TYPE = re.compile(
    rf"{_TOKEN}/{_TOKEN}"
    rf"(?:[ \t]*+;[ \t]*+{_TOKEN}=(?:{_TOKEN}|\"(?:[\t !#-\[\]-~]|\\[\t -~])*\"))*"
)
_LONGEST_MEDIA_TYPE = 255
_UNKNOWN_TYPE = "application/octet-stream"

# Most file systems take names of 255 bytes.
_LONGEST_FILE_NAME = 255
# Bidirectional controls make `exe.gpj` of `jpg.exe`.
_MISLEADING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# Controls, surrogates, line and paragraph separators.
_NOT_IN_NAMES = frozenset(("Cc", "Cs", "Zl", "Zp"))
# A leading dot hides a file, or climbs.
_LEADING = re.compile(r"\A[\s.]+")
# In a quoted file name `"` and `\` would need escapes and `%` looks encoded: clients differ (RFC 6266 appendix D).
_FALLBACK = re.compile(r'[^ -~]|["\\%]')
_ATTR_CHAR = "!#$&+-.^_`|~"


@frozen
class Facts:
    """
    What is known of an asset when the head of an answer is written.

    @ivar size: bytes.
    @ivar external: a storage node had to be asked for just what this answer begins with.
    @ivar type: the media type found, from whatever source; it need not be a valid one.
    @ivar collapsed: this answer reads a download that another request started.
    @ivar stored: the download for this answer goes to the cache, or for HEAD would; false when it is passed through.
    @ivar catalogue_s: seconds that the catalogue took, if it was asked.
    @ivar source_s: seconds until a storage node's first byte, if one was asked.
    """

    size: int
    content_hash: ContentHash
    cache: CacheState
    external: bool
    type: str
    collapsed: bool
    stored: bool
    catalogue_s: float | None = None
    source_s: float | None = None


# Base58 takes longer than all the rest of an answer's head.
@lru_cache(maxsize=4096)
def entity_tag(content_hash: ContentHash) -> str:
    """
    The object's strong tag, quotes included; the same on every node, for ever.
    """
    return f'"{content_hash}"'


def cache_control(cache: CacheState) -> str:
    """
    How long others may keep it.
    """
    return VERIFIED if cache is CacheState.HIT else UNVERIFIED


@lru_cache(maxsize=256)
def media_type(text: str) -> str:
    """
    C{text} when it is a media type that an asset may have, else C{application/octet-stream}. A multipart type is none:
    it would make one range look like several (RFC 9110 §15.3.7), or one asset replace itself in a browser.
    """
    if len(text) > _LONGEST_MEDIA_TYPE or _MEDIA_TYPE.fullmatch(text) is None or text[:10].lower() == "multipart/":
        return _UNKNOWN_TYPE
    return text


def content_disposition(download: str | None) -> str:
    """
    Show the asset, or save it under a name (RFC 6266 §4.3, RFC 8187 §3.2).

    @param download: see L{AssetRequest.download<distributor.web.asset_request.AssetRequest>}.
    """
    if download is None:
        return "inline"
    name = _file_name(download)
    if not name:
        return "attachment"
    fallback = _FALLBACK.sub("_", name)
    plain = f'attachment; filename="{fallback}"'
    return plain if fallback == name else f"{plain}; filename*=UTF-8''{quote(name, safe=_ATTR_CHAR)}"


def _file_name(proposed: str) -> str:
    """
    The part of a proposed name that is a name: no directories, nothing invisible, not hidden, not too long.
    """
    base = proposed.replace("\\", "/").rpartition("/")[2]
    visible = "".join(
        char for char in base if char not in _MISLEADING and unicodedata.category(char) not in _NOT_IN_NAMES
    )
    shown = _LEADING.sub("", visible)
    return shown.encode("utf-8")[:_LONGEST_FILE_NAME].decode("utf-8", "ignore").rstrip()


def cache_status(cache: CacheState, collapsed: bool, stored: bool) -> str:
    """
    How the cache handled the request (RFC 9211 §2). An object that is passed through was looked for and not found, so
    it is a C{miss} too, without C{stored}: C{bypass} would say that the cache was not to be asked (§2.2).
    """
    if cache is CacheState.HIT:
        return "distributor; hit"
    value = "distributor; fwd=miss"
    if collapsed:
        return value + "; collapsed"
    return value + "; stored" if stored else value


def server_timing(catalogue_s: float | None, source_s: float | None) -> str | None:
    """
    What a miss waited for, in milliseconds; L{None} when it waited for nothing.
    """
    waits = (("catalogue", catalogue_s), ("source", source_s))
    return ", ".join(f"{name};dur={seconds * 1000:.1f}" for name, seconds in waits if seconds is not None) or None


def asset_headers(facts: Facts, download: str | None, request_id: str) -> Headers:
    """
    What a 200 and a 206 carry, and HEAD's answer, but for what depends on the ranges: C{Content-Type},
    C{Content-Length}, C{Content-Range}.
    """
    headers: Headers = (
        ("X-Cache", facts.cache.value),
        ("X-Data-Source", "external" if facts.external else "local"),
        ("ETag", entity_tag(facts.content_hash)),
        ("Cache-Control", cache_control(facts.cache)),
        ("Content-Disposition", content_disposition(download)),
        ("Cache-Status", cache_status(facts.cache, facts.collapsed, facts.stored)),
        ("X-Request-Id", request_id),
        *_ASSET,
    )
    if facts.cache is CacheState.MISS:
        timing = server_timing(facts.catalogue_s, facts.source_s)
        if timing is not None:
            return (*headers, ("Server-Timing", timing))
    return headers


def not_modified_headers(facts: Facts, request_id: str) -> Headers:
    """
    What a 304 carries: of what a 200 would, that which RFC 9110 §15.4.5 demands, what a script of another origin needs
    to read it, and the state of the cache. Nothing was forwarded or sent, so C{Cache-Status} and C{X-Data-Source} have
    nothing to say.
    """
    return (
        ("ETag", entity_tag(facts.content_hash)),
        ("Cache-Control", cache_control(facts.cache)),
        ("X-Cache", facts.cache.value),
        ("X-Request-Id", request_id),
        *_CROSS_ORIGIN,
    )


def api_headers(request_id: str) -> Headers:
    """
    What every other answer of the public API carries, errors included.
    """
    return (("X-Request-Id", request_id), *_API)


def preflight_headers(requested_headers: str | None, request_id: str) -> Headers:
    """
    All that the 204 to C{OPTIONS} carries.

    @param requested_headers: C{Access-Control-Request-Headers}; each name in it is allowed. C{*} alone would not allow
        C{Authorization}.
    """
    names = [name.strip(" \t") for name in (requested_headers or "").split(",")]
    allowed = ", ".join(name for name in names if _FIELD_NAME.fullmatch(name)) or "*"
    return (
        ("Allow", ALLOW),
        ("Access-Control-Allow-Methods", ALLOW),
        ("Access-Control-Allow-Headers", allowed),
        ("Access-Control-Max-Age", str(_PREFLIGHT_MAX_AGE_S)),
        *api_headers(request_id),
    )
