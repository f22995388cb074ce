"""
The OpenAPI document of the operator's API against the code, and the page about it against the document.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import distributor
from distributor.web import errors
from distributor.web.operator_api import BASE, OperatorApi
from distributor.web.operator_errors import ALL_ERRORS, answer_headers, error_headers
from distributor.web.operator_request import LARGEST_BODY, MOST_IDS, MOST_ROWS, USUAL_ROWS
from distributor.web.token import LONGEST_AGE_S, SKEW_S
from tests.web.openapi import Document, DocumentTestsMixin
from tests.web.test_operator_api import OPEN, SIGNED

DOCUMENT = Document("operator-openapi.json")
PAGE = (Path(distributor.__file__).parents[1] / "docs" / "operator-api.rst").read_text(encoding="utf-8")


def addressed() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """
    Path with its base, method and operation.
    """
    for path, method, operation in DOCUMENT.operations():
        yield DOCUMENT.address(path), method.upper(), operation


class DocumentTests(DocumentTestsMixin, SynchronousTestCase):
    """
    The document by itself.
    """

    document = DOCUMENT


class CodeTests(SynchronousTestCase):
    """
    The document says what the code does.
    """

    def test_routes(self) -> None:
        """
        The paths and methods are the routes of the API. HEAD goes with GET, and metrics have a second address.
        """
        routes: dict[str, set[str]] = {}
        for rule in OperatorApi.app.url_map.iter_rules():
            path = re.sub(r"<object_id>", "{objectId}", rule.rule)
            routes.setdefault(path, set()).update(rule.methods or ())
        for methods in routes.values():
            self.assertEqual("HEAD" in methods, "GET" in methods)
            methods.discard("HEAD")
        self.assertEqual(routes.pop("/metrics"), {"GET"})
        described: dict[str, set[str]] = {}
        for path, method, _ in addressed():
            described.setdefault(path, set()).add(method)
        self.assertEqual(described, routes)

    def test_security(self) -> None:
        """
        The routes without a token are those that are tested to be.
        """
        opened = {path for path, _, operation in addressed() if operation.get("security") == []}
        self.assertEqual(opened | {"/metrics"}, set(OPEN))
        for path, _, operation in addressed():
            self.assertEqual("401" in operation["responses"], path not in opened)

    def test_requests(self) -> None:
        """
        What the tests of the routes send is what the document allows, all operations among them.
        """
        seen = set()
        for method, target, body, _, _ in SIGNED:
            path, _, query = target.partition("?")
            path = BASE + re.sub(r"/7$", "/{objectId}", path)
            [operation] = [each for at, how, each in addressed() if (at, how) == (path, method)]
            seen.add(operation["operationId"])
            names = {DOCUMENT.resolve(each)["name"] for each in operation["parameters"]}
            self.assertEqual({each.partition("=")[0] for each in query.split("&") if each} - names, set())
            if body is not None:
                schema = operation["requestBody"]["content"]["application/json"]["schema"]
                DOCUMENT.validator(schema).validate(body)
        opened = {operation["operationId"] for _, _, operation in addressed() if "security" in operation}
        self.assertEqual(seen, {operation["operationId"] for _, _, operation in addressed()} - opened)

    def test_errors(self) -> None:
        """
        Each error is an example for its status, with the header fields that it has; all of them, in their order.
        """
        types = DOCUMENT.components["schemas"]["ErrorResponse"]["properties"]["type"]["enum"]
        self.assertEqual(types, [error.type for error in ALL_ERRORS])
        statuses: dict[str, dict[str, Any]] = {}
        for _, _, operation in addressed():
            for status, found in operation["responses"].items():
                if status != "200":
                    statuses[status] = DOCUMENT.resolve(found)
        self.assertEqual(set(statuses), {str(error.status) for error in ALL_ERRORS})
        for status, described in statuses.items():
            here = [error for error in ALL_ERRORS if str(error.status) == status]
            expected = {error.type: {"value": {"type": error.type, "message": error.message}} for error in here}
            self.assertEqual(described["content"]["application/json"]["examples"], expected)
            for error in here:
                self.assert_fields(described, dict(error_headers(error, "id")))

    def assert_fields(self, described: dict[str, Any], sent: dict[str, str]) -> None:
        media = sent.pop("Content-Type")
        self.assertIn(media, described["content"])
        self.assertEqual(set(sent), set(described["headers"]))
        for name, reference in described["headers"].items():
            schema = DOCUMENT.resolve(reference)["schema"]
            value: object = int(sent[name]) if schema["type"] == "integer" else sent[name]
            self.assertTrue(DOCUMENT.validator(schema).is_valid(value), f"{name}: {value}")

    def test_answers(self) -> None:
        """
        An answer has the type and the header fields that are described.
        """
        for path, method, operation in addressed():
            described = operation["responses"]["200"]
            type = OPEN.get(path, "application/json")
            self.assertEqual(list(described["content"]), [type], f"{method} {path}")
            self.assert_fields(described, dict(answer_headers(type, 10, "id")))

    def test_limits(self) -> None:
        """
        The limits are those of the code.
        """
        limit = DOCUMENT.components["parameters"]["limit"]["schema"]
        self.assertEqual((limit["maximum"], limit["default"]), (MOST_ROWS, USUAL_ROWS))
        self.assertEqual(DOCUMENT.components["schemas"]["ObjectIds"]["properties"]["objects"]["maxItems"], MOST_IDS)
        scheme = DOCUMENT.components["securitySchemes"]["token"]["description"]
        self.assertIn(f"at most {LONGEST_AGE_S // 60} minutes", scheme)
        self.assertIn(f"{SKEW_S} s", scheme)
        self.assertIn(f"{LARGEST_BODY // 1024} KiB", DOCUMENT.components["responses"]["TooLarge"]["description"])


class PageTests(SynchronousTestCase):
    """
    The page for operators.
    """

    def test_addresses(self) -> None:
        """
        Every address is on it, with its method.
        """
        for path, method, _ in addressed():
            self.assertRegex(PAGE, rf"(?m)^``{method}`` +``{re.escape(path)}[`?]", f"{method} {path}")

    def test_errors(self) -> None:
        """
        Every error is on it.
        """
        listed = re.findall(r"^(\d{3}) +``([a-z_]+)``", PAGE, re.MULTILINE)
        self.assertEqual(listed, [(str(error.status), error.type) for error in ALL_ERRORS])
        self.assertIn(errors.ROUTE_NOT_FOUND.type, PAGE)
