"""
Asks a node: one request, one answer, one connection.

It blocks. A command asks one thing after the other and has nothing else to do meanwhile, so that a reactor would add
nothing but a second way for a program to be interrupted.
"""

from __future__ import annotations

import http.client
import json
import secrets
import ssl
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from distributor import __version__
from distributor.cli.target import NoTarget, Target
from distributor.cli.words import text
from distributor.model import DistributorError
from distributor.web.token import sign

#: An object of JSON.
Answer = Mapping[str, Any]

_BASE = "/api/v1"

#: How long a node may be silent, in seconds: to explain an object it may have to ask a query node that does not answer.
TIMEOUT_S = 60.0

#: The largest answer, in bytes: a thousand rows are a hundredth of that.
LARGEST_ANSWER = 64 * 1024 * 1024


class NoAnswer(DistributorError):
    """The node could not be asked, or what answers is no node."""


class Refused(DistributorError):
    """
    The node says no.

    @ivar status: that of HTTP.
    @ivar type: the word for programs; L{None} where it said none.
    """

    def __init__(self, message: str, status: int, type: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.type = type


class Client:
    """
    Asks one node, and signs what it asks.
    """

    def __init__(self, target: Target, seconds: Callable[[], float]) -> None:
        """
        @param seconds: the time, in seconds since 1970.
        @raise NoTarget: the secret cannot be one.
        """
        self._target = target
        self._seconds = seconds
        self._token("GET", "/", {})

    def _token(self, method: str, url: str, body: Mapping[str, object]) -> str:
        try:
            # Two requests may be alike, and in the same second: without an id, the second would be a replay.
            return sign(self._target.secret, url, body, self._seconds(), method=method, id=secrets.token_hex(8))
        except ValueError as error:
            raise NoTarget(f"the secret cannot be used: {text(str(error))}") from None

    def get(self, path: str, **query: object) -> Answer:
        """
        See L{ask}.

        @param query: those that are L{None} are left away.
        """
        given = {name: value for name, value in query.items() if value is not None}
        return self.ask("GET", f"{path}?{urlencode(given)}" if given else path)

    def post(self, path: str, body: Mapping[str, object] | None = None) -> Answer:
        """
        See L{ask}.
        """
        return self.ask("POST", path, {} if body is None else body)

    def delete(self, path: str) -> Answer:
        """
        See L{ask}.
        """
        return self.ask("DELETE", path)

    def ask(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Answer:
        """
        Ask, and wait for the answer.

        @param path: and the query, after the base that all addresses share.
        @param body: L{None}: there is none.
        @raise NoAnswer: the node cannot be reached, or is none.
        @raise Refused: the answer is an error.
        """
        url = _BASE + path
        headers = {
            "Accept": "application/json",
            "Authorization": "Bearer " + self._token(method, url, {} if body is None else body),
            "Connection": "close",
            "User-Agent": f"distributor/{__version__}",
        }
        content = None
        if body is not None:
            content = json.dumps(body).encode("ascii")
            headers["Content-Type"] = "application/json"
        status, got = self._exchange(method, self._target.prefix + url, content, headers)
        return judged(method, url, status, got, self._target.url)

    def _exchange(self, method: str, url: str, content: bytes | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
        where = self._target.url
        try:
            connection = self._connection()
            try:
                connection.request(method, url, content, headers)
                response = connection.getresponse()
                got = response.read(LARGEST_ANSWER + 1)
                if response.length and len(got) <= LARGEST_ANSWER:
                    # With a limit, read() does not say so itself.
                    raise http.client.IncompleteRead(got, response.length)
            finally:
                connection.close()
        except ConnectionRefusedError:
            raise NoAnswer(
                f"nothing listens at {where}: does the node run, and is operatorApi.port in its configuration?"
            ) from None
        except TimeoutError:
            raise NoAnswer(f"{where} does not answer within {TIMEOUT_S:.0f} s") from None
        except ssl.SSLError as error:
            raise NoAnswer(f"{where}: no TLS: {text(error.reason or str(error))}") from None
        except http.client.HTTPException as error:
            raise NoAnswer(f"{where} does not speak HTTP, or was cut off: {text(repr(error))}") from None
        except (OSError, UnicodeError) as error:
            # The latter: a name that DNS cannot have.
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise NoAnswer(f"{where} cannot be reached: {text(reason)}") from None
        if len(got) > LARGEST_ANSWER:
            raise NoAnswer(f"{where} answers with more than {LARGEST_ANSWER} bytes")
        return response.status, got

    def _connection(self) -> http.client.HTTPConnection:
        target = self._target
        if target.scheme == "https":
            return http.client.HTTPSConnection(target.host, target.port, timeout=TIMEOUT_S)
        return http.client.HTTPConnection(target.host, target.port, timeout=TIMEOUT_S)


def judged(method: str, url: str, status: int, content: bytes, where: str) -> Answer:
    """
    What an answer says. Pure.

    @raise NoAnswer: nothing that a node would say.
    @raise Refused: it is an error.
    """
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        if status in (404, 405):
            raise _unknown_to_node(method, url, status, None)
        raise NoAnswer(f"{where} answers {status}, and no object of JSON: is this the operator's API of a node?")
    if status == 200:
        return answer
    type = answer["type"] if isinstance(answer.get("type"), str) else None
    said = text(answer.get("message") or http.client.responses.get(status, "no reason given"))
    if status == 405 or (status == 404 and type in (None, "route_not_found")):
        raise _unknown_to_node(method, url, status, type)
    if status == 401:
        said += " (the secret must be operatorApi.hmacSecret of the node, and the clocks must agree)"
    raise Refused(f"the node answers {status}: {said}", status, type)


def _unknown_to_node(method: str, url: str, status: int, type: str | None) -> Refused:
    address = url.partition("?")[0]
    return Refused(
        f"the node does not know {method} {address}: it is older than this program ({__version__}), or no node",
        status,
        type,
    )
