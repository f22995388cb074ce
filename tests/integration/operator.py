"""
An operator of a real node: tokens as a JWT library makes them, calls over a real port, and the command line.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import jwt
from attrs import frozen
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.network import NetworkTestCase
from tests.integration.process import PATIENCE_S, ROOT, Node, environment

SECRET = "a secret that is long enough for HS256"

#: The values of metrics, by their names and labels.
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@frozen
class Answered:
    """
    What the operator's API says.

    @ivar body: of JSON, where it is that; else text.
    """

    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def type(self) -> object:
        """
        Of an error.
        """
        return self.body["type"]


def port_of(node: Node) -> int:
    """
    Where the operator's API of a node is.
    """
    return int(node.wait_for(r"The operator's API is at IPv4Address\(.*port=(\d+)\)")[1])


def call(port: int, method: str, path: str, body: object = None, token: str | None = None) -> Answered:
    """
    One request.

    @param path: with the query.
    """
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    content = None
    if body is not None:
        content = json.dumps(body)
        headers["Content-Type"] = "application/json"
    with closing(HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)) as connection:
        connection.request(method, path, content, headers)
        response = connection.getresponse()
        text = response.read().decode("utf-8")
        is_json = response.headers.get_content_type() == "application/json"
        return Answered(response.status, json.loads(text) if is_json else text, dict(response.headers))


def samples(text: str) -> Samples:
    """
    Metrics, as Prometheus' own library reads them.
    """
    return {
        (sample.name.removeprefix("distributor_"), frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


class OperatorTestCase(NetworkTestCase):
    """
    A node with an operator's API.

    @ivar port: where that is.
    """

    port: int
    _tokens = 0

    def start_operated(
        self, data_dir: Path | None = None, args: Sequence[str | Path] = (), ttl_s: int = 60, **more: Any
    ) -> Node:
        """
        Start one.
        """
        node = self.start_node(data_dir, args, ttl_s, operatorApi={"port": 0, "hmacSecret": SECRET}, **more)
        self.port = port_of(node)
        return node

    def token(
        self, path: str, body: object = None, secret: str = SECRET, algorithm: str = "HS256", **claims: Any
    ) -> str:
        """
        What signs a request; as the operator's programs make it, unless something is said to be otherwise.
        """
        # What is asked twice in a second must not look like a replay.
        self._tokens += 1
        payload = {"iat": int(time.time()), "reqUrl": path, "reqBody": body or {}, "jti": str(self._tokens)}
        return jwt.encode({**payload, **claims}, secret, algorithm)

    def operator(self, method: str, path: str, body: object = None) -> Answered:
        """
        A request that is signed as it must be.

        @param path: behind C{/api/v1}.
        """
        path = f"/api/v1{path}"
        return call(self.port, method, path, body, self.token(path, body))

    def do(self, method: str, path: str, body: object = None) -> Any:
        """
        A request that is to succeed.
        """
        answered = self.operator(method, path, body)
        self.assertEqual(answered.status, 200, answered.body)
        return answered.body

    def told(self, path: str) -> Any:
        """
        What a GET tells.
        """
        return self.do("GET", path)

    def metrics(self) -> Samples:
        """
        The metrics of the node.
        """
        return samples(call(self.port, "GET", "/metrics").body)

    def metric(self, name: str, **labels: str) -> float:
        """
        One of them; 0 where it is not there.
        """
        return self.metrics().get((name, frozenset(labels.items())), 0)

    def command(self, *arguments: str | Path) -> str:
        """
        C{python -m distributor ARGUMENTS}, which is to succeed and to complain of nothing.

        @return: what it prints.
        """
        done = subprocess.run(
            [sys.executable, "-m", "distributor", *map(str, arguments)],
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        return done.stdout
