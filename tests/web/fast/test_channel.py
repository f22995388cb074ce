"""
Tests for L{distributor.web.fast.channel}: hits over real connections, and clients that are slow or go away.
"""

from __future__ import annotations

from socket import IPPROTO_TCP, TCP_USER_TIMEOUT

from twisted.internet.defer import Deferred
from twisted.internet.tcp import Connection
from twisted.logger import capturedLogs, formatEvent

from distributor.delivery import direct
from distributor.web.errors import API_STOPPED
from distributor.web.fast import visit
from distributor.web.fast.hits import PAGE, Hits
from distributor.web.fast.hits import SMALL as COPIED
from distributor.web.forwarded import Proxies
from distributor.web.site import PublicSite
from tests.delivery.sockets import Line
from tests.web.fast.hits import LARGE, SMALL, SMALL_ASSET, FastCase
from tests.web.node_in_memory import ASSET, answers


class ShortWayTests(FastCase):
    """
    Plain requests for what is on the disk.
    """

    def test_plain(self) -> None:
        """
        All kinds of plain answers come the short way, one after another on one connection.
        """
        etag = self.node.ask(method="HEAD")["ETag"]
        line = self.line()
        for fields in ((), ("Range: bytes=10-19",), ("Range: bytes=10-",), (f"If-None-Match: {etag}",)):
            self.ask(line, ASSET, *fields)
            self.ask(line, SMALL_ASSET, *fields)
        self.ask(line, method="HEAD")
        found = self.got(line, *["GET"] * 8, "HEAD")
        self.assertEqual([each.status for each in found], [200, 200, 206, 206, 206, 206, 304, 200, 200])
        self.assertTrue(found[0].body == LARGE)
        self.assertTrue(found[1].body == found[7].body == SMALL)
        self.assertTrue(found[2].body == LARGE[10:20])
        self.assertTrue(found[3].body == SMALL[10:20])
        self.assertTrue(found[4].body == LARGE[10:])
        self.assertEqual({each["X-Cache"] for each in found}, {"hit"})
        self.assertEqual(self.ordinary, [])

    def test_others(self) -> None:
        """
        What is not plain goes the ordinary way, in its turn; after it the connection is fast again.
        """
        line = self.line()
        self.ask(line, SMALL_ASSET)
        self.ask(line, SMALL_ASSET, "X-Unheard-Of: 1")
        self.ask(line, "/healthz")
        self.ask(line, SMALL_ASSET)
        found = self.got(line, *["GET"] * 4)
        self.assertEqual([each.body for each in found], [SMALL, SMALL, b"ok\n", SMALL])
        self.assertEqual(self.ordinary, [SMALL_ASSET.encode(), b"/healthz"])

    def test_pipelined(self) -> None:
        """
        Requests that come together are answered in order, plain and other, large and small.
        """
        line = self.line()
        targets = [ASSET, SMALL_ASSET, "/healthz", ASSET, f"{SMALL_ASSET}?download", SMALL_ASSET]
        line.send("".join(f"GET {target} HTTP/1.1\r\nHost: node\r\n\r\n" for target in targets).encode())
        found = self.got(line, *["GET"] * 6)
        self.assertTrue([each.body for each in found] == [LARGE, SMALL, b"ok\n", LARGE, SMALL, SMALL])
        self.assertEqual(self.ordinary, [b"/healthz", f"{SMALL_ASSET}?download".encode()])

    def test_closed_by_the_client(self) -> None:
        """
        The connection ends behind the answer that was to be the last, and nothing is answered after it.
        """
        for first in ("GET {} HTTP/1.1\r\nConnection: close\r\n\r\n", "GET {} HTTP/1.0\r\n\r\n"):
            for target, body in ((ASSET, LARGE), (SMALL_ASSET, SMALL)):
                line = self.line()
                line.send((first.format(target) * 2).encode("ascii"))
                line.take_to_the_end()
                [answer] = answers(line.received, ["GET"])
                self.assertTrue(answer.body == body)
                self.assertEqual(line.ended, "closed")

    def test_read_ahead(self) -> None:
        """
        A client that asks and asks while it takes nothing is not read on and on.
        """
        line = self.line()
        self.ask(line)
        sent = 1
        self.reactor.settle()
        while line.transport in self.reactor.getReaders():
            self.assertLess(sent, 1000, "it is read on and on")
            line.send(b"GET /api/v1/asset/8 HTTP/1.1\r\nHost: node\r\n\r\n" * 20)
            sent += 20
        self.assertTrue([each.body for each in self.got(line, *["GET"] * sent)] == [LARGE, *[SMALL] * (sent - 1)])
        self.ask(line, SMALL_ASSET)
        self.got(line, *["GET"] * (sent + 1))

    def test_small_answers_that_nobody_takes(self) -> None:
        """
        Nor are more small answers written than one transport may hold.
        """
        line = self.line()
        line.send(b"GET /api/v1/asset/8 HTTP/1.1\r\nHost: node\r\n\r\n" * 200)
        self.reactor.settle()
        self.assertLess(len(line.transport.dataBuffer) + line.transport._tempDataLen, 100_000)
        self.assertTrue(all(each.body == SMALL for each in self.got(line, *["GET"] * 200)))

    def test_sockets_that_are_nearly_full(self) -> None:
        """
        Heads and bodies stay in their order where a socket takes a part of one, or nothing.
        """
        self.patch(visit, "SMALL", 100)
        line = self.line()
        starts = range(0, 100 * 2011, 2011)
        for start in starts:
            self.ask(line, ASSET, f"Range: bytes={start}-{start + 1500 + start % 997}")
        found = self.got(line, *["GET"] * len(starts))
        for start, answer in zip(starts, found, strict=True):
            self.assertTrue(answer.body == LARGE[start : start + 1501 + start % 997])

    def test_pages(self) -> None:
        """
        A body may begin and end anywhere in a page of the file, whatever part of it the kernel copies.
        """
        line = self.line()
        begun: list[int] = []

        def send_now(transport: Connection, fd: int, offset: int, stop: int, warm_stop: int) -> int:
            begun.append(offset)
            return direct.send_now(transport, fd, offset, stop, warm_stop)

        self.patch(visit, "send_now", send_now)
        places = (0, 1, PAGE - 1, PAGE, PAGE + 1)
        runs = [(start, COPIED + length) for start in places for length in (0, *places, 100_000)]
        for start, length in runs:
            self.ask(line, ASSET, f"Range: bytes={start}-{start + length - 1}")
        found = self.got(line, *["GET"] * len(runs))
        for (start, length), answer in zip(runs, found, strict=True):
            self.assertTrue(answer.body == LARGE[start : start + length], f"{length} bytes from {start} on")
        self.assertEqual({offset % PAGE for offset in begun}, {0}, "not whole pages")
        self.assertEqual(self.ordinary, [])

    def test_accounts(self) -> None:
        """
        A hit counts as one for eviction, and has its line in the log.
        """
        touched: list[str] = []
        self.patch(self.node.store, "touch", touched.append)
        line = self.line()
        with capturedLogs() as events:
            for target, fields in ((ASSET, "X-Request-Id: first"), (SMALL_ASSET, "X-Request-Id: second")):
                self.ask(line, target, fields)
                self.got(line, *["GET"] * (1 + len(touched) - 1))
            self.ask(line, SMALL_ASSET, "X-Request-Id: third", method="HEAD")
            self.patch(self.node.assets, "proxies", Proxies(["127.0.0.0/8"]))
            self.ask(line, SMALL_ASSET, "X-Request-Id: fourth", "X-Forwarded-For: 192.0.2.7")
            self.got(line, "GET", "GET", "HEAD", "GET")
            self.node.access.flush()
            text = "\n".join(formatEvent(event) for event in events)
        self.assertEqual(touched, ["7", "8", "8"])
        self.assertRegex(text, r"127\.0\.0\.1 GET /api/v1/asset/7 200 1000000 B \d\.\d{3} s first")
        self.assertRegex(text, r"127\.0\.0\.1 GET /api/v1/asset/8 200 10000 B \d\.\d{3} s second")
        self.assertRegex(text, r"127\.0\.0\.1 HEAD /api/v1/asset/8 200 0 B \d\.\d{3} s third")
        self.assertRegex(text, r"192\.0\.2\.7 GET /api/v1/asset/8 200 10000 B \d\.\d{3} s fourth")

    def test_replaced(self) -> None:
        """
        An object that has gone and come back is described as it is now.
        """
        self.assertEqual(self.node.ask(SMALL_ASSET)["Content-Type"], "application/octet-stream")
        self.successResultOf(Deferred.fromCoroutine(self.node.store.remove("8")))
        self.node.list("8", b"other", type="text/x-other")
        # The short way does not hear of it.
        self.assertEqual(self.node.ask(f"{SMALL_ASSET}?download")["X-Cache"], "miss")
        self.ordinary.clear()
        etag = self.node.ask(SMALL_ASSET, "Range: bytes=0-1")["ETag"]
        answer = self.node.ask(SMALL_ASSET)
        self.assertEqual(answer["ETag"], etag)
        self.assertEqual((answer.body, answer["X-Cache"], answer["Content-Type"]), (b"other", "hit", "text/x-other"))
        self.assertEqual(self.ordinary, [])

    def test_stopped(self) -> None:
        """
        Who is not let in hears it, and the connection ends, as in the ordinary way.
        """
        line = self.line()
        self.ask(line, SMALL_ASSET)
        self.node.gate.close(API_STOPPED)
        self.ask(line, SMALL_ASSET)
        line.take_to_the_end()
        self.assertEqual([each.status for each in answers(line.received, ["GET", "GET"])], [200, 503])

    def test_full(self) -> None:
        """
        A slow client takes a place, for as long as its answer takes; who is refused is so by the ordinary way.
        """
        self.patch(self.node.gate, "_most", 1)
        slow, other = self.line(), self.line()
        self.ask(slow)
        self.ask(other, SMALL_ASSET)
        other.take_to_the_end()
        self.assertEqual(answers(other.received, ["GET"])[0].status, 503)
        self.got(slow, "GET")
        again = self.line()
        self.ask(again, SMALL_ASSET)
        self.assertEqual(self.got(again, "GET")[0].status, 200)


class ClientTests(FastCase):
    """
    Clients that are slow, or go away.
    """

    def assert_over(self) -> None:
        """
        Nobody is inside any more, and no file is in use.
        """
        self.successResultOf(self.node.gate.empty())
        self.assertNotIn("7", self.node.store.files)

    def test_slow(self) -> None:
        """
        A slow client costs a descriptor, and no memory here.
        """
        line = self.line()
        self.ask(line)
        self.reactor.settle()
        self.assertIn("7", self.node.store.files)
        self.assertEqual((line.transport.dataBuffer, line.transport._tempDataLen), (b"", 0))
        while not answers(line.received, ["GET"]) or not answers(line.received, ["GET"])[0].whole:
            line.take_some(30_000)
            self.assertEqual((line.transport.dataBuffer, line.transport._tempDataLen), (b"", 0))
        self.reactor.settle()
        self.assert_over()

    def test_gone(self) -> None:
        """
        A client that closes, resets, or will not send any more, has its answer ended; its line says how far it came.
        """
        for end in ("closes", "resets", "is half closed"):
            line = self.line()
            with capturedLogs() as events:
                self.ask(line, ASSET, "X-Request-Id: gone-1")
                self.reactor.settle()
                if end == "is half closed":
                    line.shut_down()
                else:
                    line.hang_up(reset=end == "resets")
                # What is in its buffers may be sent before the end is seen.
                self.reactor.settle()
                self.node.access.flush()
                text = "\n".join(formatEvent(event) for event in events)
            self.assert_over()
            self.assertRegex(text, r"GET /api/v1/asset/7 200 [1-9]\d{3,5} B .* gone-1", end)
            self.assertTrue(line.transport.disconnected, end)

    def test_thrown_out(self) -> None:
        """
        A node that will wait no longer cuts answers.
        """
        line = self.line()
        self.ask(line)
        self.reactor.settle()
        self.node.gate.throw_out()
        self.reactor.settle()
        self.assert_over()
        line.take_to_the_end()
        self.assertEqual(line.ended, "reset")

    def test_idle(self) -> None:
        """
        An idle connection ends after the time that it may be idle; an answer may take longer than that.
        """
        site = PublicSite(self.node.api, Hits(self.node.assets), timeout=60, reactor=self.reactor)
        line = Line(self, self.reactor, site.buildProtocol)
        self.reactor.advance(40)
        self.ask(line, SMALL_ASSET)
        self.reactor.advance(40)
        self.ask(line)
        self.reactor.settle()
        self.reactor.advance(600)
        self.got(line, "GET", "GET")
        self.assertFalse(line.transport.disconnecting)
        self.reactor.settle()
        self.reactor.advance(59)
        self.assertFalse(line.transport.disconnecting)
        self.reactor.advance(2)
        self.reactor.settle()
        self.assertTrue(line.transport.disconnected)
        for call in self.reactor.getDelayedCalls():
            call.cancel()


class StuckTests(FastCase):
    """
    Clients that take nothing.
    """

    def test_not_for_ever(self) -> None:
        """
        The kernel ends the connection of a client that takes nothing for two minutes.
        """
        before = set(self.node.site.channels)
        line = self.line()
        self.ask(line, SMALL_ASSET)
        self.got(line, "GET")
        [channel] = self.node.site.channels - before
        handle = channel.transport.getHandle()  # type: ignore[union-attr]
        self.assertEqual(handle.getsockopt(IPPROTO_TCP, TCP_USER_TIMEOUT), 120_000)
