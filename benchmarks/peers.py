"""
What one would write with Twisted and with Klein in ten lines, to be measured beside the node.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from klein import Klein
from twisted.internet import reactor
from twisted.web.resource import Resource
from twisted.web.server import Request, Site
from twisted.web.static import File

from benchmarks.processes import LOOPBACK


def klein_route(media: Path) -> Resource:
    """
    A route that reads a file and returns it.
    """
    app = Klein()

    @app.route("/api/v1/asset/<object_id>")
    def asset(request: Request, object_id: str) -> bytes:
        return (media / object_id).read_bytes()

    resource: Resource = app.resource()
    return resource


def static_file(media: Path) -> Resource:
    """
    C{twisted.web.static.File}.
    """
    root, api, version = Resource(), Resource(), Resource()
    root.putChild(b"api", api)
    api.putChild(b"v1", version)
    version.putChild(b"asset", File(str(media)))
    return root


PEERS = {"klein": klein_route, "static": static_file}


if __name__ == "__main__":
    _, name, port, media = sys.argv
    factory: Any = Site(PEERS[name](Path(media)))
    reactor.listenTCP(int(port), factory, backlog=1024, interface=LOOPBACK)
    reactor.run()
