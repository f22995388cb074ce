"""
What can go wrong at a query node, as values.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import field, frozen, validators


def _names(names: Iterable[str]) -> frozenset[str]:
    return frozenset(names)


@frozen(kw_only=True)
class QueryFault:
    """
    How the answer to one query differs from a healthy one; C{QueryFault()} is healthy. A node that is down does not
    listen: L{NodeService.stopService<distributor.devnet.service.NodeService>}, or C{kill -9}.

    @ivar delay_s: seconds before anything is done.
    @ivar hang: never answer.
    @ivar drop: cut the connection instead of answering.
    @ivar status: answer with this status, and a page as a reverse proxy would send.
    @ivar text: answer 200 with this in the place of JSON.
    @ivar broken: names of GraphQL fields that fail, wherever they stand: 200 with C{errors}, and with as much of
        C{data} as the schema lets stand.
    @ivar padding: bytes of white space behind the answer, which JSON allows.
    """

    delay_s: float = field(default=0.0, validator=validators.ge(0))
    hang: bool = False
    drop: bool = False
    status: int | None = None
    text: str | None = None
    broken: frozenset[str] = field(default=frozenset(), converter=_names)
    padding: int = field(default=0, validator=validators.ge(0))


HEALTHY = QueryFault()
