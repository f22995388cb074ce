"""
Tests for L{distributor.web.asset}, over real connections, where the kernel copies.
"""

from __future__ import annotations

from distributor.devnet import Fault
from tests.delivery.sockets import Line, Turns
from tests.web.node_in_memory import ASSET, Answer, answers
from tests.web.test_asset import CAME, CONTENT, AssetCase


class OverTCPTests(AssetCase):
    """
    The same over a real connection, where the kernel copies.
    """

    def setUp(self) -> None:
        super().setUp()
        self.reactor = Turns()
        self.connection = Line(self, self.reactor, self.node.site.buildProtocol)
        self.methods: list[str] = []

    def send(self, *fields: str, method: str = "GET") -> None:
        self.methods.append(method)
        lines = [f"{method} {ASSET} HTTP/1.1", "Host: node", *fields, "", ""]
        self.connection.send("\r\n".join(lines).encode("ascii"))
        self.node.settle()

    def got(self) -> list[Answer]:
        """
        All answers, once the last of them is whole.
        """

        def whole() -> bool:
            come = answers(self.connection.received, self.methods)
            return len(come) == len(self.methods) and come[-1].whole

        self.connection.take_until(whole)
        return answers(self.connection.received, self.methods)

    def test_states(self) -> None:
        """
        One connection gets an object that is missing, then from the disk, then parts of it, then what others get.
        """
        for fields in ((), (), ("Range: bytes=100-199999",), ("Range: bytes=0-9,250000-",), ("If-None-Match: *",)):
            self.send(*fields)
            self.got()
        self.send(method="HEAD")
        self.send("Range: bytes=-1")
        miss, hit, part, parts, unmodified, head, last = self.got()
        self.assertEqual([miss["X-Cache"], hit["X-Cache"]], ["miss", "hit"])
        self.assertTrue(miss.body == hit.body == CONTENT)
        self.assertTrue(part.body == CONTENT[100:200_000])
        self.assertIn(CONTENT[250_000:], parts.body)
        self.assertEqual((unmodified.status, head.status, last.body), (304, 200, CONTENT[-1:]))

    def test_pending(self) -> None:
        """
        Bytes of a download go out as they arrive.
        """
        self.stall()
        self.send()
        self.connection.take_until(lambda: CONTENT[:CAME] in self.connection.received)
        self.go_on()
        [answer] = self.got()
        self.assertTrue(answer.body == CONTENT)
        self.assertEqual(answer["X-Cache"], "pending")

    def test_cut(self) -> None:
        """
        An answer that cannot go on is reset, so that no client takes it for whole.
        """
        self.node.upstream.nodes[0].faults.always = Fault(status=500)
        self.stall()
        self.send()
        self.connection.take_until(lambda: CONTENT[:CAME] in self.connection.received)
        self.go_on()
        self.connection.take_to_the_end()
        self.assertEqual(self.connection.ended, "reset")
        self.assertFalse(answers(self.connection.received, self.methods)[0].whole)

    def test_reader_gone(self) -> None:
        """
        A client that hangs up leaves nothing behind.
        """
        self.node.ask()
        self.send()
        self.reactor.settle()
        self.connection.hang_up(reset=True)
        self.reactor.settle()
        self.successResultOf(self.node.gate.empty())
