"""
Tests for L{distributor.cli.client}.
"""

from __future__ import annotations

import json
import socket
from threading import Thread

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from distributor import __version__
from distributor.cli import client as module
from distributor.cli.client import Client, NoAnswer, Refused, judged
from distributor.cli.target import NoTarget, Target
from distributor.web.token import TokenRefused, Tokens
from tests.cli.operator_api import NOW, SECRET, Asked, FakeApi, fake_api


def target(port: int, secret: str = SECRET) -> Target:
    """
    A node on the loopback interface.
    """
    return Target(scheme="http", host="127.0.0.1", port=port, secret=secret)


class ClientTests(SynchronousTestCase):
    """
    L{Client}, against a server that checks signatures.
    """

    def setUp(self) -> None:
        self.api: FakeApi = fake_api(self)
        self.target = target(int(self.api.url.rpartition(":")[2]))
        self.client = Client(self.target, lambda: NOW)

    def test_each_method(self) -> None:
        """
        Address, query and body arrive, and are what has been signed.
        """
        for request in ("GET /objects?after=7&limit=2", "POST /set-worker", "POST /stop-api", "DELETE /objects/7"):
            self.api.answer(request, {"request": request})
        self.assertEqual(
            self.client.get("/objects", after="7", limit=2, other=None), {"request": "GET /objects?after=7&limit=2"}
        )
        self.client.post("/set-worker", {"workerId": 3})
        self.client.post("/stop-api")
        self.client.delete("/objects/7")
        self.assertEqual(self.api.unsigned, [])
        self.assertEqual(
            self.api.asked,
            [
                Asked("GET", "/api/v1/objects?after=7&limit=2", {}),
                Asked("POST", "/api/v1/set-worker", {"workerId": 3}),
                Asked("POST", "/api/v1/stop-api", {}),
                Asked("DELETE", "/api/v1/objects/7", {}),
            ],
        )

    def test_header_fields(self) -> None:
        """
        A body says that it is JSON; each request says who asks.
        """
        self.api.answer("POST /stop-api", {})
        self.client.post("/stop-api")
        [asked] = self.api.asked
        self.assertEqual(asked.field_values["Content-Type"], "application/json")
        self.assertEqual(asked.field_values["User-Agent"], f"distributor/{__version__}")

    def test_no_token_twice(self) -> None:
        """
        The same request within the same second has another token, since a node refuses one that it has seen.
        """
        self.api.answer("GET /status", {})
        for _ in range(3):
            self.client.get("/status")
        self.assertEqual((len(self.api.asked), self.api.unsigned), (3, []))

    def test_a_node_agrees(self) -> None:
        """
        What judges tokens in a node takes these, for their method alone, and each of them once.
        """
        self.api.answer("POST /set-worker", {})
        self.client.post("/set-worker", {"workerId": 3})
        [asked] = self.api.asked
        authorization, body = asked.field_values["Authorization"], {"workerId": 3}
        tokens = Tokens(SECRET)
        self.assertRaises(TokenRefused, tokens.check, authorization, "DELETE", asked.url, body, NOW)
        tokens.check(authorization, "POST", asked.url, body, NOW)
        self.assertRaises(TokenRefused, tokens.check, authorization, "POST", asked.url, body, NOW)

    def test_a_prefix_is_not_signed(self) -> None:
        """
        What a proxy strips, the node does not see.
        """
        client = Client(evolve(self.target, prefix="/operator"), lambda: NOW)
        error = self.assertRaises(Refused, client.get, "/status")
        self.assertIn("401", str(error))
        [complaint] = self.api.unsigned
        self.assertIn("'reqUrl': '/api/v1/status'", complaint)

    def test_wrong_secret(self) -> None:
        """
        It is said what must be the same on both sides.
        """
        client = Client(evolve(self.target, secret="another secret, which is as long as the right one"), lambda: NOW)
        error = self.assertRaises(Refused, client.get, "/status")
        self.assertEqual(
            str(error),
            "the node answers 401: not signed (the secret must be operatorApi.hmacSecret of the node, and the clocks "
            "must agree)",
        )

    def test_no_secret(self) -> None:
        """
        What cannot be a secret is refused before anything is asked.
        """
        key = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="
        pem = f"-----BEGIN PUBLIC KEY-----\n{key}\n-----END PUBLIC KEY-----"
        error = self.assertRaises(NoTarget, Client, evolve(self.target, secret=pem), lambda: NOW)
        self.assertTrue(str(error).startswith("the secret cannot be used: "))

    def test_nobody_listens(self) -> None:
        """
        It is said where, and what a node needs to listen there.
        """
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
        error = self.assertRaises(NoAnswer, Client(target(port), lambda: NOW).get, "/status")
        self.assertEqual(
            str(error),
            f"nothing listens at http://127.0.0.1:{port}: does the node run, and is operatorApi.port in its "
            "configuration?",
        )

    def test_no_such_host(self) -> None:
        """
        A name that DNS cannot have, so that nobody is asked for it.
        """
        nowhere = evolve(self.target, host="a" * 70)
        error = self.assertRaises(NoAnswer, Client(nowhere, lambda: NOW).get, "/status")
        self.assertRegex(str(error), r"\Ahttp://a{70}:\d+ cannot be reached: ")

    def test_tls_where_there_is_none(self) -> None:
        """
        C{https} to a node that speaks plain HTTP.
        """
        error = self.assertRaises(NoAnswer, Client(evolve(self.target, scheme="https"), lambda: NOW).get, "/status")
        self.assertRegex(str(error), r"\Ahttps://127.0.0.1:\d+: no TLS: ")

    def test_too_large_an_answer(self) -> None:
        """
        There is an end to what is read.
        """
        self.patch(module, "LARGEST_ANSWER", 9)
        self.api.answer("GET /status", b"[1234567]", b"[12345678]")
        self.assertIn("no object of JSON", str(self.assertRaises(NoAnswer, self.client.get, "/status")))
        self.assertIn("more than 9 bytes", str(self.assertRaises(NoAnswer, self.client.get, "/status")))


class OtherServersTests(SynchronousTestCase):
    """
    What listens there is no node.
    """

    def answered(self, answer: bytes | None) -> str:
        """
        Why a request fails that is answered with these bytes, after which the connection ends; or with silence.
        """
        listening = socket.create_server(("127.0.0.1", 0))
        done = Thread(target=self._serve, args=(listening, answer))
        done.start()
        client = Client(target(listening.getsockname()[1]), lambda: NOW)
        error = self.assertRaises(NoAnswer, client.get, "/status")
        listening.close()
        done.join()
        return str(error)

    def _serve(self, listening: socket.socket, answer: bytes | None) -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(65536)
            if answer is None:
                # Until the other side has had enough.
                connection.recv(1)
            else:
                connection.sendall(answer)

    def test_other_protocols(self) -> None:
        """
        Nothing, another protocol, or an answer that is cut off.
        """
        for answer in (b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"):
            self.assertRegex(self.answered(answer), r"\Ahttp://127.0.0.1:\d+ (does not speak HTTP|cannot be reached)")

    def test_silence(self) -> None:
        """
        Patience has an end.
        """
        self.patch(module, "TIMEOUT_S", 0.05)
        self.assertIn("does not answer within", self.answered(None))

    def test_a_web_site(self) -> None:
        """
        HTTP, and no JSON.
        """
        said = self.answered(b"HTTP/1.1 302 Found\r\nContent-Length: 6\r\n\r\n<html>")
        self.assertRegex(said, r"answers 302, and no object of JSON: is this the operator's API of a node\?\Z")


class JudgedTests(SynchronousTestCase):
    """
    L{judged}: from status and body to an answer or an error.
    """

    def refused(self, status: int, answer: object) -> Refused:
        """
        The error for an answer of JSON.
        """
        error: Refused = self.assertRaises(
            Refused, judged, "GET", "/api/v1/explain/7?x", status, json.dumps(answer).encode(), "http://node"
        )
        return error

    def test_errors_of_a_node(self) -> None:
        """
        The message is the node's; status and type are kept for who decides by them.
        """
        for status, type, message in (
            (409, "already_stopped", "The public API has been stopped already"),
            (404, "object_not_found", "There is nothing of this data object here"),
            (503, "starting", "The node is starting"),
        ):
            error = self.refused(status, {"type": type, "message": message})
            self.assertEqual(
                (str(error), error.status, error.type), (f"the node answers {status}: {message}", status, type)
            )

    def test_an_older_node(self) -> None:
        """
        An address that the node does not know, in whatever words.
        """
        expected = (
            f"the node does not know GET /api/v1/explain/7: it is older than this program ({__version__}), or no node"
        )
        for status, answer in (
            (404, {"type": "route_not_found", "message": "x"}),
            (404, {"error": "Not found"}),
            (405, {"type": "method_not_allowed"}),
            (404, "text"),
        ):
            self.assertEqual(str(self.refused(status, answer)), expected)

    def test_no_message(self) -> None:
        """
        Where a node says nothing, HTTP's own words have to do.
        """
        self.assertEqual(str(self.refused(500, {})), "the node answers 500: Internal Server Error")
        self.assertEqual(str(self.refused(599, {"message": "\x1b[2J"})), r"the node answers 599: \x1b[2J")

    @given(st.binary(max_size=40) | st.sampled_from([b"[" * 100_000, b"9" * 5000]), st.integers(100, 599))
    def test_whatever_comes(self, content: bytes, status: int) -> None:
        """
        Whatever it is, it is an answer or one of two errors.
        """
        try:
            answer = judged("GET", "/api/v1/status", status, content, "http://node")
        except (NoAnswer, Refused) as error:
            self.assertTrue(str(error).isprintable())
        else:
            self.assertEqual((status, answer), (200, json.loads(content)))
