"""
How far a download is, for those who watch.
"""

from __future__ import annotations

from attrs import frozen

_MIB = 1024 * 1024


@frozen(kw_only=True, str=False)
class Progress:
    """
    How far a download is.

    @ivar present: bytes in the file.
    @ivar rate: bytes per second, lately.
    @ivar sources: the storage nodes that bring it at present.
    @ivar seconds_left: at this rate; L{None} if nothing comes.
    """

    id: str
    state: str
    size: int
    present: int
    rate: float
    readers: int
    sources: tuple[str, ...]
    seconds_left: float | None

    def __str__(self) -> str:
        percent = 100 * self.present // self.size if self.size else 100
        left = "" if self.seconds_left is None else f", {self.seconds_left:.0f} s left"
        return (
            f"object {self.id} {self.state}: {percent} % of {self.size / _MIB:.1f} MiB at {self.rate / _MIB:.1f} MiB/s"
            f"{left}; {self.readers} readers, {len(self.sources)} storage nodes"
        )
