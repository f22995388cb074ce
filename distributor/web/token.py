"""
The operator's tokens: who may tell a node what to do, and that each word is said once.

A token is a JWT (RFC 7519) in compact form, signed with HMAC-SHA256 over a secret that both sides know, as Argus'
operators use it. Its payload names the request that it is for; so one that was seen on its way is of no other use.
"""

from __future__ import annotations

import heapq
import json
import re
from collections.abc import Mapping
from typing import Any

from attrs import frozen
from jwt.algorithms import HMACAlgorithm
from jwt.api_jws import PyJWS
from jwt.exceptions import PyJWTError

from distributor.model import DistributorError

#: How old a token may be, in seconds.
LONGEST_AGE_S = 300

#: By how much the clocks of the two sides may differ, in seconds.
SKEW_S = 30

#: How many tokens are remembered: each takes some 200 bytes, until it has expired, and no operator asks that often.
MOST_REMEMBERED = 50_000

_ALGORITHM = "HS256"
_BEARER = re.compile(r"bearer +(?P<token>[^ ]+) *", re.IGNORECASE | re.ASCII)

# A signature of 32 bytes has 43 characters, of which the last has two bits that stand for nothing. PyJWT wants them to
# be zero: else there would be other texts of the same token, each of which could be used once more.
_PART = "[A-Za-z0-9_-]+"
_COMPACT = re.compile(rf"{_PART}\.{_PART}\.[A-Za-z0-9_-]{{43}}", re.ASCII)


class TokenRefused(DistributorError):
    """
    A request is not the operator's. The message says why; it holds nothing of the secret, nor of the token.
    """


class TooManyTokens(DistributorError):
    """More tokens are in force than can be remembered."""


class _HmacSha256(HMACAlgorithm):
    """
    Takes a secret of any length: it is for the operator to choose, who is told of a short one when the node starts, and
    not by a warning in the midst of its log.
    """

    def __init__(self) -> None:
        super().__init__(HMACAlgorithm.SHA256)

    def check_key_length(self, key: bytes) -> str | None:
        return None


def _jws() -> PyJWS:
    """
    A signer that knows one algorithm, whatever the head of a token says.
    """
    jws = PyJWS(algorithms=[])
    jws.register_algorithm(_ALGORITHM, _HmacSha256())
    return jws


def canonical(value: object) -> str:
    """
    A JSON value as a text which is the same for equal values, and for those alone: C{1}, C{1.0} and C{true} differ.

    @raise ValueError: it is none: not a number, infinite, or nested too deeply.
    """
    try:
        return json.dumps(value, sort_keys=True, allow_nan=False, separators=(",", ":"))
    except (TypeError, RecursionError) as error:
        raise ValueError("not a JSON value") from error


def sign(
    secret: str, url: str, body: Mapping[str, object], now: float, *, method: str | None = None, id: str | None = None
) -> str:
    """
    A token for one request.

    @param url: path and query, as the node receives them: behind a proxy, without the prefix that it strips.
    @param body: the JSON object that is sent; an empty one where none is.
    @param now: seconds since 1970.
    @param method: the token is for this method alone. Argus does not say it.
    @param id: sets apart two tokens for the same request within one second, of which the node would refuse the second.
    @raise ValueError: the secret cannot be one, or the body is no JSON.
    """
    claims: dict[str, object] = {"iat": int(now), "reqUrl": url, "reqBody": dict(body)}
    if method is not None:
        claims["reqMethod"] = method
    if id is not None:
        claims["jti"] = id
    payload = canonical(claims).encode("ascii")
    try:
        return _jws().encode(payload, secret, _ALGORITHM)
    except PyJWTError as error:
        raise ValueError(str(error)) from error


@frozen
class Claims:
    """
    What a token says that was signed for this request, as far as its body is not concerned.

    @ivar signed: the signature, which no other token has.
    @ivar expires_at: when it is of no use any more, in seconds since 1970.
    """

    body: str
    signed: str
    expires_at: float


class Tokens:
    """
    Judges tokens, and remembers those that have been used.
    """

    def __init__(self, secret: str, most: int = MOST_REMEMBERED) -> None:
        """
        @raise ValueError: the secret is empty, or is a public key or another thing that is no secret.
        """
        sign(secret, "/", {}, 0)
        self._secret = secret
        self._jws = _jws()
        self._most = most
        self._seen: set[str] = set()
        # The same by the time when they expire, the first first.
        self._expiring: list[tuple[float, str]] = []

    def check(self, authorization: str | None, method: str, url: str, body: Mapping[str, object], now: float) -> None:
        """
        L{verify} and L{accept} at once.
        """
        self.accept(self.verify(authorization, method, url, now), body, now)

    def verify(self, authorization: str | None, method: str, url: str, now: float) -> Claims:
        """
        Judge all but the body, which nobody should have to read for somebody without the secret.

        @param authorization: the value of that header field.
        @param url: path and query, as they were received.
        @param now: seconds since 1970.
        @raise TokenRefused: it is not the operator's.
        """
        bearer = _BEARER.fullmatch(authorization or "")
        if bearer is None:
            raise TokenRefused("Authorization must be: Bearer, and a token")
        token = bearer["token"]
        payload = self._payload(token)
        issued_at = _seconds(payload, "iat")
        if issued_at is None:
            raise TokenRefused("the token must say when it was issued (iat)")
        # Compared, not subtracted: an integer may be larger than any float.
        if issued_at > now + SKEW_S:
            raise TokenRefused("the token is from the future: do the clocks agree?")
        if not issued_at >= now - LONGEST_AGE_S - SKEW_S:
            raise TokenRefused(f"the token is older than {LONGEST_AGE_S} s")
        _check_other_times(payload, now)
        if payload.get("reqUrl") != url:
            raise TokenRefused("the token is for another address (reqUrl)")
        if payload.get("reqMethod", method) != method:
            raise TokenRefused("the token is for another method (reqMethod)")
        if not isinstance(payload.get("reqBody"), dict):
            raise TokenRefused("the token must hold the body of the request (reqBody)")
        return Claims(canonical(payload["reqBody"]), token.rpartition(".")[2], issued_at + LONGEST_AGE_S + SKEW_S)

    def _payload(self, token: str) -> dict[str, Any]:
        """
        What the owner of the secret has signed.
        """
        if _COMPACT.fullmatch(token) is None:
            raise TokenRefused("the token is not a JWT in compact form")
        try:
            written = self._jws.decode(token, self._secret, algorithms=[_ALGORITHM])
            payload = json.loads(written)
            canonical(payload)
        except (PyJWTError, ValueError, RecursionError):
            # Which of them it was would help nobody but somebody who tries.
            raise TokenRefused("the token is not signed with the secret of this node, by HS256") from None
        if not isinstance(payload, dict):
            raise TokenRefused("the payload of the token is not an object")
        return payload

    def accept(self, claims: Claims, body: Mapping[str, object], now: float) -> None:
        """
        Judge the body; then the token has been used.

        @raise TokenRefused: it is for another body, or was used before.
        @raise TooManyTokens: it cannot be remembered that it has been used.
        """
        if canonical(dict(body)) != claims.body:
            raise TokenRefused("the token is for another body (reqBody)")
        while self._expiring and self._expiring[0][0] < now:
            self._seen.remove(heapq.heappop(self._expiring)[1])
        if claims.signed in self._seen:
            raise TokenRefused("the token has been used before")
        if len(self._seen) >= self._most:
            raise TooManyTokens(f"{self._most} tokens within {LONGEST_AGE_S + SKEW_S} s")
        self._seen.add(claims.signed)
        heapq.heappush(self._expiring, (claims.expires_at, claims.signed))


def _seconds(payload: Mapping[str, Any], claim: str) -> float | None:
    value = payload.get(claim)
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _check_other_times(payload: Mapping[str, Any], now: float) -> None:
    """
    C{exp} and C{nbf} (RFC 7519 §4.1), where the token has them.
    """
    for claim in ("exp", "nbf"):
        if claim in payload and _seconds(payload, claim) is None:
            raise TokenRefused(f"{claim} is not a time")
    expires_at, not_before = _seconds(payload, "exp"), _seconds(payload, "nbf")
    if expires_at is not None and expires_at <= now - SKEW_S:
        raise TokenRefused("the token has expired (exp)")
    if not_before is not None and not_before > now + SKEW_S:
        raise TokenRefused("the token is not in force yet (nbf)")
