"""
What is asked of a server that has all of it in its cache.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from benchmarks.processes import MIB, Server

#: Sizes of the objects, by id.
OBJECTS: Mapping[str, int] = {"1": 1024, "2": 10 * 1024, "3": 100 * 1024, "4": MIB, "5": 256 * MIB}

NODE = "distributor"
KLEIN = "Klein route"

#: Connections that do nothing, where a case has some.
IDLE = 1000

#: Lua that has C{wrk} say what it counted; its own summary rounds.
DONE = """
done = function(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format("RESULT %d %d %d %d %d\\n", summary.requests, summary.duration, summary.bytes,
        errors.connect + errors.read + errors.write + errors.timeout + errors.status, latency:percentile(99)))
end
"""

_RANGES = """
math.randomseed({seed})
request = function()
    local start = math.random(0, {size} - {length} - 1)
    return wrk.format("GET", nil, {{["Range"] = string.format("bytes=%d-%d", start, start + {length} - 1)}})
end
"""


@frozen
class Case:
    """
    @ivar object_id: what is asked for.
    @ivar target: the least that the node should reach of the best nginx, if a limit was set.
    @ivar script: Lua for C{wrk}; C{$ETAG} stands for the server's own tag.
    @ivar ranges: whether parts are asked for.
    @ivar idle: connections that do nothing meanwhile.
    @ivar heads: ask with HEAD, which C{wrk} cannot: it would wait for the bodies.
    @ivar beside: whether some read a large object meanwhile, and whether that is C{"warm"} or C{"cold"}.
    @ivar cost: the most processor time of the best nginx that the node may take.
    @ivar tls: ask over TLS.
    @ivar quick: whether it belongs to the few that are measured when there is little time.
    @ivar several: whether it is measured with several workers, too.
    """

    title: str
    object_id: str
    target: float | None
    script: str = ""
    ranges: bool = False
    idle: int = 0
    heads: bool = False
    beside: str = ""
    cost: float | None = None
    tls: bool = False
    quick: bool = False
    several: bool = False

    def fits(self, server: Server) -> bool:
        """
        Whether a server can be asked so.
        """
        # It would send the whole each time.
        return not (self.ranges and server.name == KLEIN) and not (self.tls and server.tls_port is None)


def ranges(length: int) -> str:
    """
    Lua that asks for that many bytes of the largest object, from anywhere.
    """
    return _RANGES.format(seed=6, size=OBJECTS["5"], length=length)


CASES = (
    Case("1 KiB", "1", None),
    Case("10 KiB", "2", 0.60, quick=True, several=True),
    Case("100 KiB", "3", 0.90, quick=True, several=True),
    Case("1 MiB", "4", 1.0, cost=1.1, quick=True, several=True),
    Case("1 MiB over TLS", "4", 0.6, tls=True, quick=True),
    Case("ranges of 64 KiB", "5", 0.60, ranges(64 * 1024), ranges=True, quick=True, several=True),
    Case("ranges of 1 MiB", "5", 1.0, ranges(MIB), ranges=True, cost=1.1, quick=True, several=True),
    Case("ranges of 8 MiB", "5", 1.0, ranges(8 * MIB), ranges=True, cost=1.1, quick=True, several=True),
    Case("304", "2", 0.5, "wrk.headers[\"If-None-Match\"] = '$ETAG'\n", quick=True, several=True),
    Case("HEAD", "2", 0.5, heads=True),
    Case("new connection each, 10 KiB", "2", 0.4, 'wrk.headers["Connection"] = "close"\n', several=True),
    Case(f"10 KiB, and {IDLE} idle connections", "2", None, idle=IDLE),
    Case("10 KiB, and ranges of 1 MiB that are in memory", "2", None, beside="warm"),
    Case("10 KiB, and ranges of 1 MiB that are not", "2", None, beside="cold"),
)
