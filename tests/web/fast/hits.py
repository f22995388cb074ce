"""
A node with hits, over real connections.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request

from distributor.model import P, T
from tests.delivery.readers import Threads
from tests.delivery.sockets import Line, Turns
from tests.stored import in_thread
from tests.upstream import payload
from tests.web.node_in_memory import ASSET, Answer, NodeInMemory, answers

#: More than the kernel's buffers take; and little enough to be sent from memory.
LARGE = payload(1_000_000)
SMALL = payload(10_000, seed=2)
SMALL_ASSET = "/api/v1/asset/8"


class Switch:
    """
    Threads that are there at first, and can be made to wait.
    """

    def __init__(self) -> None:
        self.threads: Threads | None = None

    def __call__(self, f: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        return (self.threads or in_thread)(f, *args, **kwargs)


class FastCase(SynchronousTestCase):
    """
    A node that has a large object and a small one on its disk.

    @ivar ordinary: what was asked for in the ordinary way.
    """

    def setUp(self) -> None:
        self.switch = Switch()
        self.node = NodeInMemory(self, LARGE, in_thread=self.switch)
        self.node.list("8", SMALL)
        for target in ASSET, SMALL_ASSET:
            self.assertTrue(self.node.ask(target).whole)
            self.assertTrue(self.node.ask(target).whole)
        self.reactor = Turns()
        self.ordinary: list[bytes] = []
        render = self.node.site.resource.render

        def watched(request: Request) -> object:
            self.ordinary.append(request.uri)
            return render(request)

        self.patch(self.node.site.resource, "render", watched)

    def line(self) -> Line:
        """
        A connection over TCP.
        """
        return Line(self, self.reactor, self.node.site.buildProtocol)

    def ask(self, line: Line, target: str = ASSET, *fields: str, method: str = "GET") -> None:
        """
        The client sends a request.
        """
        line.send("\r\n".join([f"{method} {target} HTTP/1.1", "Host: node", *fields, "", ""]).encode("ascii"))

    def got(self, line: Line, *methods: str) -> list[Answer]:
        """
        The answers to requests with those methods, once they are whole.
        """

        def whole() -> bool:
            come = answers(line.received, list(methods))
            return len(come) == len(methods) and come[-1].whole

        line.take_until(whole)
        return answers(line.received, list(methods))

    @property
    def file(self) -> Path:
        """
        Of the large object.
        """
        return self.node.directory / "assets" / "7"
