"""
Answers that are decided once, and sent many times: what all about one object have in common, and what all to the same
head have.
"""

from __future__ import annotations

from attrs import define, evolve

from distributor.cache import Entry
from distributor.model import ByteRange, CacheState
from distributor.node import Found
from distributor.transfer.media_type import media_type
from distributor.web.answer import Facts, Selection, answer, heeds_range, select, select_ranges
from distributor.web.asset_request import AssetRequest
from distributor.web.conditions import EntityTags
from distributor.web.fast.answer_head import head_fields, spelt, status_line
from distributor.web.fast.head import PlainHead
from distributor.web.headers import entity_tag
from distributor.web.multipart import body_length, content_range
from distributor.web.ranges import RangeSpec, parse_range

# For each status, a request that has it. It need not be the client's: what else the fields depend on is in _VARYING.
_ASKING = {
    200: AssetRequest("GET", "0", None, None, None, None, None, ""),
    206: AssetRequest("GET", "0", (RangeSpec(0, 0),), None, None, None, None, ""),
    304: AssetRequest("GET", "0", None, None, EntityTags(any=True), None, None, ""),
}

#: What is not the same in all answers of one status, in the order in which it comes.
_VARYING = ("Date", "Content-Length", "Content-Range", "X-Request-Id")


# Not frozen, which takes twice as long to make: there is one for each range that is asked for.
@define(eq=False)
class Decided:
    """
    The answer to a head.

    @ivar plain: the head; that of an answer L{with_range}, but for this field.
    @ivar taken: how many bytes the head is.
    @ivar status: of the answer.
    @ivar wanted: the bytes that are sent; L{None} where there are none, or they are not asked for.
    @ivar length: how many those are.
    @ivar reads: whether the object is read for it, were it an empty one.
    @ivar heeds_range: whether a C{Range} field would matter.
    @ivar head: the head of the answer, without the date and the id of the request that belong between its parts.
    """

    plain: PlainHead
    taken: int
    prepared: Prepared
    status: int
    wanted: ByteRange | None
    length: int
    reads: bool
    heeds_range: bool
    head: tuple[bytes, bytes, bytes]

    def with_range(self, value: str, taken: int) -> Decided | None:
        """
        The answer to the same head with a C{Range} field in it, where there is none.

        @param taken: how many bytes that head is.
        """
        specs = parse_range(value) if self.heeds_range else None
        if specs is None:
            return evolve(self, taken=taken)
        return self.prepared.decide_ranges(self.plain, specs, taken)


class Prepared:
    """
    All that answers about one object have in common.

    @ivar entry: what the store says of it, if it is there; another one is another object.
    @ivar external: a storage node is asked for just what they begin with.
    """

    def __init__(self, found: Found, entry: Entry | None, *, external: bool = False) -> None:
        self._facts = Facts(
            size=found.object.size,
            content_hash=found.object.content_hash,
            cache=found.cache,
            external=external,
            type=media_type(b"", found.type, None),
            collapsed=found.cache is not CacheState.HIT,
            stored=True,
        )
        self._etag = entity_tag(found.object.content_hash)
        self._parts: dict[tuple[int, bytes, bool], list[bytes]] = {}
        self.found = found
        self.entry = entry
        self.external = external

    def is_for(self, found: Found) -> bool:
        """
        Whether answers about C{found} are the same.
        """
        mine = self.found
        # As little of it as that depends on: a crowd asks this for each of its requests.
        return found.object is mine.object and found.cache is mine.cache and found.type == mine.type

    def decide(self, plain: PlainHead, asked: AssetRequest, taken: int) -> Decided | None:
        """
        What to answer; L{None} where that is an error, or has several parts.

        @param asked: what the head says. Whatever the request is called, it is answered the same.
        @param taken: how many bytes the head is.
        """
        selection = select(asked, self._facts.size, self._etag)
        return self.decide_selected(plain, selection, taken, selection.status == 200 and heeds_range(asked, self._etag))

    def decide_ranges(self, plain: PlainHead, specs: tuple[RangeSpec, ...], taken: int) -> Decided | None:
        """
        The same, for a head of which it is known that these ranges are all that its C{Range} field changes.
        """
        return self.decide_selected(plain, select_ranges(specs, self._facts.size), taken, True)

    def decide_selected(
        self, plain: PlainHead, selection: Selection, taken: int, heeds_range: bool = False
    ) -> Decided | None:
        """
        The same, where it is known already what of the object that is.

        @param heeds_range: see L{Decided}.
        """
        status, ranges = selection.status, selection.ranges
        if status not in _ASKING or len(ranges) > 1:
            return None
        reads = status != 304 and plain.method == "GET"
        wanted = ranges[0] if reads and ranges else None
        length = wanted.stop - wanted.start if wanted is not None else 0
        head = self._head(plain, selection)
        return Decided(plain, taken, self, status, wanted, length, reads, heeds_range, head)

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
        parts = [status_line(version, status)]
        varying = []
        for field, fixed in head_fields(version, decided.headers, "", closes=closes):
            parts[-1] += spelt(field) + b": "
            if field in _VARYING:
                varying.append(field)
                parts.append(b"")
            else:
                parts[-1] += fixed.encode("ascii")
            parts[-1] += b"\r\n"
        expected = {200: _VARYING[:2] + _VARYING[3:], 206: _VARYING, 304: (_VARYING[0], _VARYING[3])}[status]
        assert tuple(varying) == expected, varying
        parts[-1] += b"\r\n"
        return parts
