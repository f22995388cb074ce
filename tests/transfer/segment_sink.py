"""
The other side of a segment, for its tests.
"""

from __future__ import annotations

from distributor.model import StorageNode
from distributor.sources import Body, SourceError
from distributor.transfer.segment import Segment


class Sink:
    """
    Remembers what a segment tells; may pause or stop it at its first byte.

    @ivar alternative: whom to ask as well.
    """

    def __init__(self, at_first_byte: str | None = None) -> None:
        self.data = b""
        self.start: int | None = None
        self.ends: list[SourceError | None] = []
        self.dropped: list[tuple[StorageNode, SourceError]] = []
        self.alternative: StorageNode | None = None
        self._at_first_byte = at_first_byte

    def segment_alternative(self, segment: Segment) -> StorageNode | None:
        return self.alternative

    def segment_dropped(self, segment: Segment, node: StorageNode, error: SourceError) -> None:
        self.dropped.append((node, error))

    def segment_answered(self, segment: Segment, body: Body) -> None:
        self.start = body.start

    def segment_received(self, segment: Segment, offset: int, data: bytes) -> None:
        assert self.start is not None
        assert offset == self.start + len(self.data)
        self.data += data
        if self._at_first_byte is not None:
            getattr(segment, self._at_first_byte)()

    def segment_ended(self, segment: Segment, error: SourceError | None) -> None:
        self.ends.append(error)
