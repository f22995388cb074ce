"""
Answers that are decided once, and sent many times: what all about one object have in common, and what all to the same
head have.
"""

from __future__ import annotations

from attrs import frozen
from twisted.web.http import RESPONSES
from twisted.web.http_headers import Headers

from distributor.cache import Entry
from distributor.model import ByteRange, CacheState
from distributor.node import Found
from distributor.transfer.media_type import media_type
from distributor.web.answer import Facts, Selection, answer, select
from distributor.web.asset_request import AssetRequest
from distributor.web.conditions import EntityTags
from distributor.web.fast.head import PlainHead
from distributor.web.headers import SERVER, entity_tag
from distributor.web.multipart import body_length, content_range
from distributor.web.ranges import RangeSpec, parse_range

# For each status, a request that has it. It need not be the client's: what else the fields depend on is in _VARYING.
_ASKING = {
    200: AssetRequest("GET", "0", None, None, None, None, None, ""),
    206: AssetRequest("GET", "0", (RangeSpec(0, 0),), None, None, None, None, ""),
    304: AssetRequest("GET", "0", None, None, EntityTags(any=True), None, None, ""),
}

#: What is not the same in all answers of one status, in the order in which it comes.
_VARYING = (b"Date", b"Content-Length", b"Content-Range", b"X-Request-Id")


@frozen
class Decided:
    """
    The answer to a head.

    @ivar plain: the head; that of an answer L{with_range}, but for this field.
    @ivar taken: how many bytes the head is.
    @ivar wanted: the bytes that are sent; L{None} where there are none, or they are not asked for.
    @ivar length: how many those are.
    @ivar reads: whether the object is read for it, were it an empty one.
    @ivar head: the head of the answer, without the date and the id of the request that belong between its parts.
    """

    plain: PlainHead
    taken: int
    asked: AssetRequest
    prepared: Prepared
    selection: Selection
    wanted: ByteRange | None
    length: int
    reads: bool
    head: tuple[bytes, bytes, bytes]

    def with_range(self, value: str, taken: int) -> Decided | None:
        """
        The answer to the same head with a C{Range} field in it, where there is none.

        @param taken: how many bytes that head is.
        """
        was = self.asked
        # As asset_request does.
        wanted = parse_range(value) if was.method == "GET" else None
        asked = AssetRequest(
            was.method, was.object_id, wanted, was.if_match, was.if_none_match, was.if_range, was.download, ""
        )
        return self.prepared.decide(self.plain, asked, taken)


class Prepared:
    """
    All that answers about one object have in common.

    @ivar entry: what the store says of it; another one is another object.
    """

    def __init__(self, found: Found, entry: Entry) -> None:
        self._facts = Facts(
            size=found.object.size,
            content_hash=found.object.content_hash,
            cache=CacheState.HIT,
            external=False,
            type=media_type(b"", found.type, None),
            collapsed=False,
            stored=True,
        )
        self._etag = entity_tag(found.object.content_hash)
        self._parts: dict[tuple[int, bytes, bool], list[bytes]] = {}
        self.found = found
        self.entry = entry

    def decide(self, plain: PlainHead, asked: AssetRequest, taken: int) -> Decided | None:
        """
        What to answer; L{None} where that is an error, or has several parts.

        @param asked: what the head says. Whatever the request is called, it is answered the same.
        @param taken: how many bytes the head is.
        """
        selection = select(asked, self._facts.size, self._etag)
        if selection.status not in (200, 206, 304) or len(selection.ranges) > 1:
            return None
        reads = selection.status != 304 and plain.method == "GET"
        wanted = selection.ranges[0] if reads and selection.ranges else None
        length = wanted.stop - wanted.start if wanted is not None else 0
        return Decided(plain, taken, asked, self, selection, wanted, length, reads, self._head(plain, selection))

    def _head(self, plain: PlainHead, selection: Selection) -> tuple[bytes, bytes, bytes]:
        key = selection.status, plain.version, plain.closes
        parts = self._parts.get(key)
        if parts is None:
            parts = self._parts[key] = self._split(*key)
        if selection.status == 304:
            first, second, last = parts
            return first, second, last
        length = body_length(selection.ranges)
        if selection.status == 200:
            first, before_length, second, last = parts
            return first, b"%b%d%b" % (before_length, length, second), last
        first, before_length, before_range, second, last = parts
        where = content_range(selection.ranges[0], self._facts.size).encode("ascii")
        return first, b"%b%d%b%b%b" % (before_length, length, before_range, where, second), last

    def _split(self, status: int, version: bytes, closes: bool) -> list[bytes]:
        """
        The head of an answer, split where the values are that vary.
        """
        decided = answer(_ASKING[status], self._facts, "")
        assert decided.status == status, decided
        fields = Headers()
        # In the order in which they come to be in the ordinary way.
        if closes and version == b"1.1":
            fields.addRawHeader(b"Connection", b"close")
        fields.addRawHeader(b"Server", SERVER.encode("ascii"))
        fields.addRawHeader(b"Date", b"")
        for name, value in decided.headers:
            fields.addRawHeader(name, value)
        parts = [b"HTTP/%b %d %b\r\n" % (version, status, RESPONSES[status])]
        varying = []
        for field, [fixed] in fields.getAllRawHeaders():
            parts[-1] += field + b": "
            if field in _VARYING:
                varying.append(field)
                parts.append(b"")
            else:
                parts[-1] += fixed
            parts[-1] += b"\r\n"
        expected = {200: _VARYING[:2] + _VARYING[3:], 206: _VARYING, 304: (_VARYING[0], _VARYING[3])}[status]
        assert tuple(varying) == expected, varying
        parts[-1] += b"\r\n"
        return parts
