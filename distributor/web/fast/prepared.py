"""
Heads of answers, made once for each object, of which only a few values change from one answer to the next.
"""

from __future__ import annotations

from twisted.web.http import RESPONSES
from twisted.web.http_headers import Headers

from distributor.cache import Entry
from distributor.model import CacheState
from distributor.node import Found
from distributor.transfer.media_type import media_type
from distributor.web.answer import Facts, Selection, answer
from distributor.web.asset_request import AssetRequest
from distributor.web.conditions import EntityTags
from distributor.web.headers import SERVER, entity_tag
from distributor.web.multipart import body_length, content_range
from distributor.web.ranges import RangeSpec

# For each status, a request that has it. It need not be the client's: what else the fields depend on is below.
_PLAIN = AssetRequest("GET", "0", None, None, None, None, None, "")
_ASKING = {
    200: _PLAIN,
    206: AssetRequest("GET", "0", (RangeSpec(0, 0),), None, None, None, None, ""),
    304: AssetRequest("GET", "0", None, None, EntityTags(any=True), None, None, ""),
}

#: What is not the same in all answers of one status.
_VARYING = frozenset((b"Date", b"Content-Length", b"Content-Range", b"X-Request-Id"))


class Prepared:
    """
    All that answers about one object have in common.

    @ivar entry: what the store says of it; another one is another object.
    """

    def __init__(self, found: Found, entry: Entry, facts: Facts) -> None:
        self._templates: dict[tuple[int, bytes, bool], bytes] = {}
        self._facts = facts
        self.found = found
        self.entry = entry
        self.size = facts.size
        self.etag = entity_tag(facts.content_hash)

    @classmethod
    def of(cls, found: Found, entry: Entry) -> Prepared:
        """
        Those about a complete object.
        """
        facts = Facts(
            size=found.object.size,
            content_hash=found.object.content_hash,
            cache=CacheState.HIT,
            external=False,
            type=media_type(b"", found.type, None),
            collapsed=False,
            stored=True,
        )
        return cls(found, entry, facts)

    def head(self, selection: Selection, version: bytes, closes: bool, date: bytes, request_id: str) -> bytes:
        """
        The status line and the fields of an answer.

        @param selection: with status 200, 206 or 304, and one range at most.
        @param version: C{b"1.0"} or C{b"1.1"}.
        @param closes: whether the client has said that it will close the connection.
        """
        key = selection.status, version, closes
        template = self._templates.get(key)
        if template is None:
            template = self._templates[key] = self._template(*key)
        values = {b"Date": date, b"X-Request-Id": request_id.encode("ascii")}
        if selection.status != 304:
            values[b"Content-Length"] = b"%d" % body_length(selection.ranges)
            if selection.status == 206:
                values[b"Content-Range"] = content_range(selection.ranges[0], self.size).encode("ascii")
        return template % values

    def _template(self, status: int, version: bytes, closes: bool) -> bytes:
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
        lines = [b"HTTP/%b %d %b\r\n" % (version, status, RESPONSES[status])]
        for field, [fixed] in fields.getAllRawHeaders():
            shown = b"%%(%b)b" % field if field in _VARYING else fixed.replace(b"%", b"%%")
            lines.append(b"%b: %b\r\n" % (field, shown))
        return b"".join([*lines, b"\r\n"])
