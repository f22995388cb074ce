"""
Tests for L{distributor.web.fast.exchange}: plain requests for what is not on the disk, over real connections.
"""

from __future__ import annotations

from twisted.logger import capturedLogs, formatEvent

from distributor.devnet.faults import Fault
from distributor.web.errors import SHUTTING_DOWN
from distributor.web.fast.head import LONGEST_HEAD
from tests.web.fast.cold import CAME, COLD, COLD_ASSET, ColdCase
from tests.web.fast.hits import SMALL, SMALL_ASSET
from tests.web.node_in_memory import answers


class NotOnTheDiskTests(ColdCase):
    """
    What is answered, and how.
    """

    def test_fetched(self) -> None:
        """
        An object that nobody has asked for yet, one that is not there, and hits, one after another on one connection.
        """
        line = self.line()
        targets = [COLD_ASSET, SMALL_ASSET, "/api/v1/asset/99", COLD_ASSET, SMALL_ASSET]
        line.send("".join(f"GET {target} HTTP/1.1\r\nHost: node\r\n\r\n" for target in targets).encode("ascii"))
        found = self.find(line, *["GET"] * 5)
        self.assertEqual([each.status for each in found], [200, 200, 404, 200, 200])
        self.assertTrue([found[at].body for at in (0, 1, 3, 4)] == [COLD, SMALL, COLD, SMALL])
        self.assertEqual([found[at]["X-Cache"] for at in (0, 1, 3, 4)], ["miss", "hit", "hit", "hit"])
        self.assertEqual(self.ordinary, [])

    def test_pending(self) -> None:
        """
        What has come of an object is sent without waiting for the rest; who wants more gets it when it comes.
        """
        self.stall()
        early, late = self.line(), self.line()
        self.ask(early, COLD_ASSET, "Range: bytes=1000-1999")
        self.ask(early, COLD_ASSET, method="HEAD")
        found = self.find(early, "GET", "HEAD")
        self.assertTrue(found[0].body == COLD[1000:2000])
        self.assertEqual([each["X-Cache"] for each in found], ["pending", "pending"])
        self.ask(late, COLD_ASSET, "Range: bytes=1000-")
        self.come(late, CAME - 1000)
        self.assertFalse(answers(late.received, ["GET"])[0].whole)
        self.go_on()
        self.assertTrue(self.find(late, "GET")[0].body == COLD[1000:])
        self.assertTrue(self.find(self.first, "GET")[0].body == COLD)
        self.assertEqual(self.ordinary, [])

    def test_several_ranges(self) -> None:
        """
        Several ranges of what is on the disk, and of what is not.
        """
        line = self.line()
        for target in SMALL_ASSET, COLD_ASSET:
            self.ask(line, target, "Range: bytes=0-9,100-109")
        for answer, content in zip(self.find(line, "GET", "GET"), (SMALL, COLD), strict=True):
            self.assertEqual(answer.status, 206)
            self.assertIn(b"\r\n\r\n" + content[100:110] + b"\r\n--", answer.body)
        self.assertEqual(self.ordinary, [])

    def test_last_on_its_connection(self) -> None:
        """
        The connection ends with the answer where the client, or the node, wants it so.
        """
        for version, field in (("1.1", "Connection: close"), ("1.0", "Accept: */*")):
            line = self.line()
            request = f"GET {COLD_ASSET} HTTP/{version}\r\nHost: node\r\n{field}\r\nRange: bytes=0-9\r\n\r\n"
            line.send((request * 2).encode("ascii"))
            self.come(line, 1)
            line.take_to_the_end()
            [answer] = answers(line.received, ["GET"])
            self.assertEqual((answer.body, line.ended), (COLD[:10], "closed"))
        line = self.line()
        self.node.gate.close(SHUTTING_DOWN)
        self.ask(line, "/api/v1/asset/99")
        line.take_to_the_end()
        [answer] = answers(line.received, ["GET"])
        self.assertEqual((answer.status, answer["Connection"], line.ended), (503, "close", "closed"))

    def test_at_once(self) -> None:
        """
        The head and what is there of the body leave in the turn in which they can.
        """
        self.stall()
        line = self.line()
        self.ask(line, COLD_ASSET, "Range: bytes=1000-10999")
        self.assertTrue(line.take(20_000).endswith(COLD[1000:11_000]))


class ClientTests(ColdCase):
    """
    Clients that leave, and trouble.
    """

    def test_leaves(self) -> None:
        """
        Whoever leaves while it waits for its first byte, or for more, is inside no longer; what it had is logged.
        """
        self.stall()
        for first, sent in ((CAME + 1000, 0), (CAME - 1000, 1000)):
            line = self.line()
            self.node.access.flush()
            with capturedLogs() as events:
                self.ask(line, COLD_ASSET, f"Range: bytes={first}-", "X-Request-Id: gone-1")
                self.reactor.settle()
                self.assertEqual(len(self.node.gate), 2)
                line.hang_up()
                self.reactor.settle()
                [text] = [formatEvent(event) for event in events if "gone-1" in str(formatEvent(event))]
            self.assertEqual(len(self.node.gate), 1)
            self.assertRegex(text, f" 20[06] {sent} B ")
            self.assertEqual([event for event in events if event["log_level"].name != "info"], [])

    def test_read_ahead(self) -> None:
        """
        A client that asks and asks is not read on and on, however often its connection has been full and is not any
        more; what was read is answered in the end.
        """
        self.stall()
        channel = self.first.transport.protocol
        request = f"GET {SMALL_ASSET} HTTP/1.1\r\nHost: node\r\nAccept: {'x' * 1000}\r\n\r\n".encode("ascii")
        self.first.send(request * 20)
        self.assertNotIn(self.first.transport, self.reactor.getReaders())
        # As a transport does, whose buffer gets full and is empty again.
        channel.pauseProducing()
        channel.resumeProducing()
        self.assertNotIn(self.first.transport, self.reactor.getReaders())
        self.go_on()
        found = self.find(self.first, *["GET"] * 21)
        self.assertTrue([each.body for each in found] == [COLD, *[SMALL] * 20])

    def test_behind_the_last(self) -> None:
        """
        What comes behind a request that was to be the last is not kept.
        """
        line = self.line()
        channel = line.transport.protocol
        line.send(b"GET /api/v1/asset/8 HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n")
        channel.dataReceived(b"GET /api/v1/asset/8 HTTP/1.1\r\nHost: node\r\n\r\n")
        self.assertEqual(channel._came, b"")
        line.take_to_the_end()
        self.assertEqual(len(answers(line.received, ["GET"])), 1)

    def test_head_that_is_plain_in_part(self) -> None:
        """
        A head that was known but for a range that is not plain is taken the ordinary way, whoever may come in.
        """
        line = self.line()
        self.ask(line, SMALL_ASSET)
        self.node.gate.close(SHUTTING_DOWN)
        self.ask(line, SMALL_ASSET, f"Range: bytes={'0' * LONGEST_HEAD}-9")
        line.take_to_the_end()
        self.assertEqual([each.status for each in answers(line.received, ["GET", "GET"])], [200, 503])
        self.assertEqual(self.ordinary, [SMALL_ASSET.encode("ascii")])

    def test_cut(self) -> None:
        """
        An answer that cannot go on is cut behind its head; before it, the client is told why.
        """
        self.stall()
        self.faults.always = Fault(status=500)
        waiting = self.line()
        self.ask(waiting, COLD_ASSET, f"Range: bytes={CAME + 1000}-")
        self.go_on()
        self.assertEqual(self.find(waiting, "GET")[0].status, 502)
        self.first.take_to_the_end()
        self.assertEqual(self.first.ended, "reset")

    def test_unforeseen(self) -> None:
        """
        Trouble that nobody has thought of is logged, and what was sent does not look whole.
        """

        def trouble(*_: object) -> None:
            raise RuntimeError("unforeseen")

        self.patch(self.node.access, "note", trouble)
        line = self.line()
        self.ask(line, "/api/v1/asset/99")
        line.take_to_the_end()
        self.assertEqual(line.ended, "reset")
        [failure] = self.flushLoggedErrors(RuntimeError)
        self.assertEqual(failure.getErrorMessage(), "unforeseen")
