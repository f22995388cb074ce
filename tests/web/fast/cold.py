"""
Requests for an object that is not on the disk, over real connections.
"""

from __future__ import annotations

from distributor.devnet.faults import Cut, Ending, Fault
from distributor.web.fast.head import PlainHead, plain_head
from tests.delivery.sockets import Line
from tests.upstream import TIMEOUT_S, payload
from tests.web.fast.hits import FastCase
from tests.web.node_in_memory import Answer, answers

COLD = payload(600_000, seed=3)
COLD_ASSET = "/api/v1/asset/9"

#: How much of an object has come when its storage node falls silent.
CAME = 200_000


def head(target: str = "/api/v1/asset/7", *fields: str, method: str = "GET") -> PlainHead:
    """
    The head of a request.
    """
    lines = [f"{method} {target} HTTP/1.1", "Host: node", *fields, "", ""]
    plain = plain_head("\r\n".join(lines).encode("ascii"))
    assert plain is not None
    return plain


class ColdCase(FastCase):
    """
    A node that distributes an object which it does not have.
    """

    def setUp(self) -> None:
        super().setUp()
        self.node.list("9", COLD, type="video/mp4")
        self.faults = self.node.upstream.nodes[0].faults
        self.first = self.line()

    def stall(self) -> None:
        """
        Somebody reads the object, of which some has come.
        """
        self.faults.next.append(Fault(cut=Cut(CAME, Ending.STALL)))
        self.ask(self.first, COLD_ASSET)
        self.come(self.first, CAME)

    def go_on(self) -> None:
        """
        The storage node is asked for the rest.
        """
        self.node.clock.advance(TIMEOUT_S)
        self.node.settle()

    def come(self, line: Line, length: int) -> None:
        """
        Let so many bytes come to a client at least.
        """

        def enough() -> bool:
            self.node.settle()
            return len(line.received) >= length

        line.take_until(enough)

    def find(self, line: Line, *methods: str) -> list[Answer]:
        """
        The answers to requests with those methods, once they are whole, storage nodes getting on with it.
        """

        def whole() -> bool:
            self.node.settle()
            come = answers(line.received, list(methods))
            return len(come) == len(methods) and come[-1].whole

        line.take_until(whole)
        return answers(line.received, list(methods))
