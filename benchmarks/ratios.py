"""
How the node compares with a peer that was measured in the same rounds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import frozen

from benchmarks.hit_servers import NGINX
from benchmarks.report import Figures, middle


@frozen
class Ratio:
    """
    @ivar median: the node's median divided by the peer's.
    @ivar least: the least of the quotients of single rounds.
    @ivar most: the most of them.
    """

    median: float
    least: float
    most: float

    def __str__(self) -> str:
        spread = "" if self.least == self.most else f" ({self.least:.2f} to {self.most:.2f})"
        return f"{self.median:.2f}{spread}"


def ratio(ours: Sequence[Figures], theirs: Sequence[Figures], key: str) -> Ratio:
    """
    @param ours: the node's rounds; C{theirs} are those of the peer, measured right behind.
    """
    pairs = [(one[key] or 0.0, max(other[key] or 0.0, 1e-9)) for one, other in zip(ours, theirs, strict=True)]
    each = [one / other for one, other in pairs]
    median = middle([one for one, _ in pairs]) / middle([other for _, other in pairs])
    return Ratio(median, min(each), max(each))


def best(found: Mapping[str, Sequence[Figures]]) -> str | None:
    """
    The nginx configuration that gives the most answers; C{None} where there is no nginx.
    """
    return max(
        (name for name in found if name in NGINX),
        key=lambda name: middle([one["perSecond"] or 0.0 for one in found[name]]),
        default=None,
    )
