"""
Tests for L{distributor.web.token}.
"""

from __future__ import annotations

import base64
import hmac
import json
import warnings
from collections.abc import Mapping
from typing import Any

import jwt
from hypothesis import assume, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from distributor.web.token import LONGEST_AGE_S, SKEW_S, TokenRefused, Tokens, TooManyTokens, canonical, sign

SECRET = "a secret that is long enough to please everybody"
NOW = 1_700_000_000.0
URL = "/api/v1/set-worker"
BODY: Mapping[str, object] = {"workerId": 3}

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10)
BODIES = st.dictionaries(st.text(), VALUES, max_size=4)


def part(value: object) -> str:
    """
    One part of a token, as RFC 7515 writes it.
    """
    return base64.urlsafe_b64encode(json.dumps(value).encode("ascii")).rstrip(b"=").decode("ascii")


class TokenCase(SynchronousTestCase):
    """
    One who judges tokens.
    """

    def setUp(self) -> None:
        self.tokens = Tokens(SECRET)

    def claim(self, **changed: Any) -> str:
        """
        A token whose payload is right but for what is C{changed}; L{None} leaves it out.
        """
        claims = {"iat": int(NOW), "reqUrl": URL, "reqBody": BODY, **changed}
        return jwt.encode({name: value for name, value in claims.items() if value is not None}, SECRET, "HS256")

    def check(self, token: str, *, now: float = NOW, url: str = URL, body: Mapping[str, object] = BODY) -> None:
        """
        Let it be judged.
        """
        self.tokens.check(f"Bearer {token}", "POST", url, body, now)

    def assert_refused(self, token: str, why: str, **more: Any) -> None:
        with self.assertRaises(TokenRefused) as caught:
            self.check(token, **more)
        self.assertIn(why, str(caught.exception))
        self.assertNotIn(SECRET, str(caught.exception))


class SignedTests(TokenCase):
    """
    What is accepted.
    """

    @given(BODIES, st.text(st.characters(min_codepoint=33, max_codepoint=126)))
    def test_what_is_signed_is_accepted(self, body: Mapping[str, object], url: str) -> None:
        """
        Any request that is signed is accepted, once.
        """
        tokens = Tokens(SECRET)
        authorization = f"Bearer {sign(SECRET, url, body, NOW)}"
        tokens.check(authorization, "POST", url, body, NOW)
        self.assertRaises(TokenRefused, tokens.check, authorization, "POST", url, body, NOW)

    def test_others_can_sign(self) -> None:
        """
        A token as any other library makes it is accepted; what is sent through JSON and back is the same body.
        """
        self.check(self.claim(), body=json.loads(json.dumps(BODY)))

    def test_ours_can_be_read_by_others(self) -> None:
        """
        What is signed here is a JWT for others.
        """
        token = sign(SECRET, URL, BODY, NOW, method="POST", id="x")
        claims = jwt.decode(token, SECRET, ["HS256"], options={"verify_iat": False})
        self.assertEqual(claims, {"iat": int(NOW), "reqUrl": URL, "reqBody": BODY, "reqMethod": "POST", "jti": "x"})

    def test_scheme(self) -> None:
        """
        The name of the scheme is written in any case (RFC 9110 section 11.1).
        """
        for scheme in ("Bearer ", "bearer ", "BEARER  "):
            self.tokens.check(scheme + sign(SECRET, URL, BODY, NOW, id=scheme), "POST", URL, BODY, NOW)

    def test_short_secrets(self) -> None:
        """
        A short secret is the operator's choice, and no reason for a warning at every request.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tokens = Tokens("x")
            tokens.check(f"Bearer {sign('x', URL, BODY, NOW)}", "POST", URL, BODY, NOW)

    def test_what_is_no_secret(self) -> None:
        """
        Nothing at all, or a public key, cannot be a secret; and that is seen at once.
        """
        for secret in ("", "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----"):
            self.assertRaises(ValueError, Tokens, secret)


class ForgedTests(TokenCase):
    """
    What is not the operator's.
    """

    @given(st.data())
    def test_one_character(self, data: st.DataObject) -> None:
        """
        A token of which one character is another is none.
        """
        token = sign(SECRET, URL, BODY, NOW)
        at = data.draw(st.integers(0, len(token) - 1))
        other = data.draw(st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ ~é"))
        assume(token[at] != other)
        with self.assertRaises(TokenRefused):
            Tokens(SECRET).check(f"Bearer {token[:at]}{other}{token[at + 1 :]}", "POST", URL, BODY, NOW)

    def test_last_character(self) -> None:
        """
        The last character has bits that stand for nothing: other texts of the same signature are refused, since each
        could be used once more.
        """
        token = sign(SECRET, URL, BODY, NOW)
        for other in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_":
            if other != token[-1]:
                self.assertRaises(TokenRefused, self.check, token[:-1] + other)
        self.check(token)

    @given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
    def test_anything(self, text: str) -> None:
        """
        Whatever stands in the field is refused, and nothing else happens.
        """
        for value in (text, f"Bearer {text}"):
            self.assertRaises(TokenRefused, Tokens(SECRET).check, value, "POST", URL, BODY, NOW)

    @given(st.lists(VALUES, min_size=2, max_size=2))
    def test_any_json(self, parts: list[Any]) -> None:
        """
        Nor does any JSON in place of head and payload.
        """
        token = f"{part(parts[0])}.{part(parts[1])}.{'A' * 43}"
        self.assertRaises(TokenRefused, Tokens(SECRET).check, f"Bearer {token}", "POST", URL, BODY, NOW)

    @given(VALUES)
    def test_any_signed_payload(self, payload: Any) -> None:
        """
        A payload that is signed, and says nothing of use, is refused.
        """
        token = jwt.api_jws.PyJWS().encode(json.dumps(payload).encode("ascii"), SECRET, "HS256")
        self.assertRaises(TokenRefused, Tokens(SECRET).check, f"Bearer {token}", "POST", URL, BODY, NOW)

    def test_no_token(self) -> None:
        """
        A request without one is told what is missing.
        """
        for value in (None, "", "Bearer", "Bearer ", "Basic eDp5", "Bearer a b"):
            with self.assertRaises(TokenRefused) as caught:
                self.tokens.check(value, "POST", URL, BODY, NOW)
            self.assertIn("Bearer", str(caught.exception))

    def test_another_secret(self) -> None:
        """
        Somebody else's signature is none.
        """
        self.assert_refused(sign(SECRET + "x", URL, BODY, NOW), "not signed")

    def test_algorithms(self) -> None:
        """
        HS256 alone, whatever the head says: neither none, nor a longer hash, nor a public key's.
        """
        claims = {"iat": int(NOW), "reqUrl": URL, "reqBody": BODY}
        for algorithm in ("HS384", "HS512"):
            self.assert_refused(jwt.encode(claims, SECRET * 2, algorithm), "compact form")
        unsigned = jwt.encode(claims, "", "none")
        self.assert_refused(unsigned, "compact form")
        signature = sign(SECRET, URL, BODY, NOW).rpartition(".")[2]
        others: list[Any] = ["none", "None", "HS512", "RS256", "ES256", "", None, ["HS256"], {"HS256": 1}, 1]
        for other in others:
            for padded in (signature, "A" * 43):
                self.assert_refused(f"{part({'alg': other})}.{part(claims)}.{padded}", "not signed")
        self.assert_refused(f"{part({})}.{part(claims)}.{signature}", "not signed")

    def test_head(self) -> None:
        """
        A head that wants to be understood otherwise is refused, be it signed.
        """
        heads: list[dict[str, Any]] = [
            {"b64": False, "crit": ["b64"]},
            {"crit": ["x"], "x": 1},
            {"crit": []},
            {"kid": 1},
        ]
        for head in heads:
            token = jwt.api_jws.PyJWS().encode(b"{}", SECRET, "HS256")
            payload = token.split(".")[1]
            forged = part({"alg": "HS256", **head})
            signed = hmac.digest(SECRET.encode("ascii"), f"{forged}.{payload}".encode("ascii"), "sha256")
            signature = base64.urlsafe_b64encode(signed).rstrip(b"=").decode("ascii")
            self.assertRaises(TokenRefused, self.check, f"{forged}.{payload}.{signature}")


class TimeTests(TokenCase):
    """
    How old a token may be.
    """

    @given(st.integers(-2 * LONGEST_AGE_S, 2 * LONGEST_AGE_S))
    def test_age(self, age_s: int) -> None:
        """
        It may be five minutes old, and the clocks half a minute apart.
        """
        tokens = Tokens(SECRET)
        authorization = f"Bearer {sign(SECRET, URL, BODY, NOW - age_s)}"
        if -SKEW_S <= age_s <= LONGEST_AGE_S + SKEW_S:
            tokens.check(authorization, "POST", URL, BODY, NOW)
        else:
            self.assertRaises(TokenRefused, tokens.check, authorization, "POST", URL, BODY, NOW)

    def test_what_is_no_time(self) -> None:
        """
        C{iat} is a number, and there.
        """
        others: list[Any] = [None, True, str(int(NOW)), [int(NOW)], {}]
        for value in others:
            self.assert_refused(self.claim(iat=value), "iat")
        for number in (10**400, -(10**400), float("nan"), float("inf"), float("-inf")):
            self.assertRaises(TokenRefused, self.check, self.claim(iat=number))
        self.check(self.claim(iat=NOW + 0.5))

    def test_other_times(self) -> None:
        """
        One who limits a token further is heeded.
        """
        self.assert_refused(self.claim(exp=int(NOW) - SKEW_S), "exp")
        self.assert_refused(self.claim(exp="soon"), "exp")
        self.assert_refused(self.claim(nbf=int(NOW) + SKEW_S + 1), "nbf")
        self.check(self.claim(exp=int(NOW) + 10, nbf=int(NOW)))


class RequestTests(TokenCase):
    """
    A token is for one request.
    """

    def test_url(self) -> None:
        """
        Path and query are those that were received, to the letter.
        """
        for url in (
            "/api/v1/set-worker/",
            "/api/v1/set-worker?",
            "/distributor/api/v1/set-worker",
            "/API/v1/set-worker",
        ):
            self.assert_refused(self.claim(), "reqUrl", url=url)
        for value in (None, 1, [URL], URL + " "):
            self.assert_refused(self.claim(reqUrl=value), "reqUrl")

    def test_method(self) -> None:
        """
        A token that names its method is for that alone; Argus' do not.
        """
        self.assert_refused(self.claim(reqMethod="GET"), "reqMethod")
        self.check(self.claim(reqMethod="POST"))

    def test_body(self) -> None:
        """
        The body is the same in every value and type: one is not true, nor 1.0.
        """
        for number, (signed, sent) in enumerate(
            (
                ({"workerId": 1}, {"workerId": True}),
                ({"workerId": 1}, {"workerId": 1.0}),
                ({"workerId": 0}, {"workerId": False}),
                ({"workerId": 1}, {"workerId": "1"}),
                ({"workerId": None}, {}),
                ({"a": [1, 2]}, {"a": [2, 1]}),
                ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}),
                ({}, {"workerId": 1}),
            )
        ):
            for one, other in ((signed, sent), (sent, signed)):
                self.assert_refused(self.claim(reqBody=one, jti=str(number)), "reqBody", body=other)

    @given(BODIES, BODIES)
    def test_bodies(self, signed: Mapping[str, object], sent: Mapping[str, object]) -> None:
        """
        Two bodies are the same when their JSON is, whatever the order of names.
        """
        same = canonical(signed) == canonical(sent)
        try:
            Tokens(SECRET).check(f"Bearer {sign(SECRET, URL, signed, NOW)}", "POST", URL, sent, NOW)
        except TokenRefused:
            self.assertFalse(same)
        else:
            self.assertTrue(same)

    def test_order_of_names(self) -> None:
        """
        In which order names are written is no matter.
        """
        self.check(self.claim(reqBody={"a": 1, "b": {"c": 2, "d": 3}}), body={"b": {"d": 3, "c": 2}, "a": 1})

    def test_body_is_an_object(self) -> None:
        """
        A token without a body is for no request: where there is none, it says so by an empty object.
        """
        others: list[Any] = [None, [], "", 0, False, "{}"]
        for value in others:
            self.assert_refused(self.claim(reqBody=value), "reqBody", body={})
        self.check(self.claim(reqBody={}), body={})


class ReplayTests(TokenCase):
    """
    A token is used once.
    """

    def test_again(self) -> None:
        """
        The second time it is refused, as long as it would be in force.
        """
        token = sign(SECRET, URL, BODY, NOW + SKEW_S)
        self.check(token)
        for later_s in (0, 1, LONGEST_AGE_S, LONGEST_AGE_S + 2 * SKEW_S):
            self.assert_refused(token, "before", now=NOW + later_s)
        self.assert_refused(token, "older", now=NOW + LONGEST_AGE_S + 2 * SKEW_S + 1)

    def test_refused_is_not_used(self) -> None:
        """
        Who sends a token with another body, or too early, has not used it up.
        """
        token = sign(SECRET, URL, BODY, NOW)
        self.assert_refused(token, "reqBody", body={})
        self.assert_refused(token, "future", now=NOW - SKEW_S - 1)
        self.check(token)

    def test_two_of_one_second(self) -> None:
        """
        The same request twice within a second needs something that sets the tokens apart.
        """
        self.check(sign(SECRET, URL, BODY, NOW))
        self.assert_refused(sign(SECRET, URL, BODY, NOW + 0.9), "before")
        self.check(sign(SECRET, URL, BODY, NOW, id="1"))
        self.check(sign(SECRET, URL, BODY, NOW, id="2"))

    def test_memory_is_bounded(self) -> None:
        """
        What has expired is forgotten; and where there is more than can be remembered, nothing is accepted any more.
        """
        self.tokens = Tokens(SECRET, most=3)
        for number in range(3):
            self.check(sign(SECRET, URL, BODY, NOW + number, id=str(number)), now=NOW + number)
        fourth = sign(SECRET, URL, BODY, NOW + 2)
        self.assertRaises(TooManyTokens, self.check, fourth, now=NOW + 2)
        self.assert_refused(sign(SECRET, URL, BODY, NOW + 1, id="1"), "before", now=NOW + 2)
        self.check(fourth, now=NOW + LONGEST_AGE_S + SKEW_S + 1)


class CanonicalTests(SynchronousTestCase):
    """
    Values as texts.
    """

    @given(VALUES, VALUES)
    def test_equal(self, one: Any, other: Any) -> None:
        """
        The same text is the same value.
        """
        if canonical(one) == canonical(other):
            self.assertEqual(one, other)
            self.assertEqual(json.loads(canonical(one)), one)

    def test_no_json(self) -> None:
        """
        What JSON cannot say is refused.
        """
        deep: Any = []
        for _ in range(100_000):
            deep = [deep]
        for value in (float("nan"), float("inf"), b"", {1, 2}, deep):
            self.assertRaises(ValueError, canonical, value)
