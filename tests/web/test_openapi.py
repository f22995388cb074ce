"""
The OpenAPI document against the code, and against the API that the node must fulfil.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

import distributor
from distributor.devnet import library_files
from distributor.model import BLAKE3_256, CacheState, ContentHash
from distributor.web.answer import Facts, answer
from distributor.web.asset_request import asset_request
from distributor.web.errors import ALL_ERRORS, ApiError
from distributor.web.errors import headers as error_headers
from distributor.web.headers import Headers, preflight_headers
from distributor.web.public_api import BASE, PublicApi
from tests.web.openapi import Document, DocumentTestsMixin

DOCUMENT = Document("openapi.json")

#: Errors that stand in place of any route, and not behind one of them.
ANYWHERE = ("route_not_found",)

#: What Argus' distributor node promises: its paths and methods, the names of its operations, and the schema (or that
#: there is a body, or none) for each status.
SEED: dict[tuple[str, str], tuple[str, dict[str, str | None]]] = {
    ("/status", "get"): ("public.status", {"200": "StatusResponse", "500": None}),
    ("/buckets", "get"): ("public.buckets", {"200": "BucketsResponse", "500": None}),
    ("/asset/{objectId}", "head"): ("public.assetHead", {"200": None, "404": None, "421": None, "500": None}),
    ("/asset/{objectId}", "get"): (
        "public.asset",
        {"200": "string", "206": "string", "404": "ErrorResponse", "421": "ErrorResponse", "500": None},
    ),
}


class DocumentTests(DocumentTestsMixin, SynchronousTestCase):
    """
    The document by itself.
    """

    document = DOCUMENT

    def test_demo(self) -> None:
        """
        The objects of the examples are in the built-in library, and one of them is empty.
        """
        examples = DOCUMENT.components["parameters"]["objectId"]["examples"]
        files = library_files()
        self.assertEqual({each["value"] for each in examples.values()} - set(files), set())
        self.assertEqual(files[examples["empty"]["value"]].size, 0)


class SeedTests(SynchronousTestCase):
    """
    The API that clients of the network know.
    """

    def test_operations(self) -> None:
        """
        Its operations are there, by the names it gave them, with its statuses and schemas.
        """
        for (path, method), (operation_id, statuses) in SEED.items():
            self.assertEqual(DOCUMENT.paths[path][method]["operationId"], operation_id)
            for status, name in statuses.items():
                content = DOCUMENT.response(path, method, status).get("content", {})
                for media in content.values() if name is not None else ():
                    schema = media["schema"]
                    self.assertEqual(schema.get("$ref", schema.get("type", "")).rpartition("/")[2], name)
                self.assertTrue(content or name is None, f"{method} {path} {status} has no body")

    def test_base(self) -> None:
        """
        Paths start where they always did.
        """
        self.assertEqual([server["url"] for server in DOCUMENT.content["servers"]], ["/api/v1"])

    def test_asset_headers(self) -> None:
        """
        An answer with bytes says how the object is cached, and where the bytes come from.
        """
        for method, status, names in (
            ("head", 200, ["X-Cache"]),
            ("get", 200, ["X-Cache", "X-Data-Source"]),
            ("get", 206, ["X-Cache", "X-Data-Source"]),
        ):
            found = DOCUMENT.response("/asset/{objectId}", method, status)["headers"]
            for name in names:
                self.assertTrue(DOCUMENT.resolve(found[name])["required"])

    def test_status(self) -> None:
        """
        A status needs its six fields, five of them integers, and may have more.
        """
        schema = DOCUMENT.validator(DOCUMENT.components["schemas"]["StatusResponse"])
        integers = ("objectsInCache", "storageLimit", "storageUsed", "uptime", "downloadsInProgress")
        status: dict[str, object] = {"id": "my-node", **dict.fromkeys(integers, 0)}
        self.assertTrue(schema.is_valid({**status, "queryNodeStatus": {"state": "idle"}}))
        for name in status:
            self.assertFalse(schema.is_valid({key: status[key] for key in status if key != name}), name)
        for name in integers:
            for wrong in ("0", 0.5, None):
                self.assertFalse(schema.is_valid({**status, name: wrong}), name)
        self.assertFalse(schema.is_valid({**status, "id": 7}))

    def test_buckets(self) -> None:
        """
        Buckets are listed, or are all of a worker's; never both, and never neither.
        """
        schema = DOCUMENT.validator(DOCUMENT.components["schemas"]["BucketsResponse"])
        right: list[object] = [{"bucketIds": []}, {"bucketIds": [0]}, {"bucketIds": ["0:1", 2]}, {"allByWorkerId": 3}]
        for value in right:
            self.assertTrue(schema.is_valid(value), value)
        wrong: list[object] = [
            {},
            {"bucketIds": [0], "allByWorkerId": 3},
            {"bucketIds": 0},
            {"bucketIds": [0.5]},
            {"bucketIds": [None]},
            {"allByWorkerId": "3"},
        ]
        for value in wrong:
            self.assertFalse(schema.is_valid(value), value)

    def test_error(self) -> None:
        """
        An error has a message.
        """
        schema = DOCUMENT.validator(DOCUMENT.components["schemas"]["ErrorResponse"])
        self.assertTrue(schema.is_valid({"type": "internal_error", "message": "Unexpected server error"}))
        self.assertFalse(schema.is_valid({"type": "internal_error"}))


class CodeTests(SynchronousTestCase):
    """
    The document, and the page about the API, say what the code does.
    """

    def assertDescribed(self, described: dict[str, Any], headers: Headers) -> None:
        """
        Each header field is in a response object, with a value that it allows, and none that it requires is missing.
        """
        sent = dict(headers)
        self.assertEqual(len(sent), len(headers), "a field is there twice")
        media = sent.pop("Content-Type", None)
        self.assertEqual(sent.keys() - described["headers"].keys(), set())
        for name, reference in described["headers"].items():
            header = DOCUMENT.resolve(reference)
            if name not in sent:
                self.assertFalse(header["required"], f"{name} is missing")
                continue
            schema = header["schema"]
            value: object = int(sent[name]) if schema["type"] == "integer" else sent[name]
            self.assertTrue(DOCUMENT.validator(schema).is_valid(value), f"{name}: {value}")
        if "content" in described:
            [*types] = described["content"]
            self.assertTrue("*/*" in types or media in types, media)

    def test_routes(self) -> None:
        """
        The paths and methods are the routes of the API.
        """
        routes: dict[str, set[str]] = {}
        for rule in PublicApi.app.url_map.iter_rules():
            path = re.sub(r"<path:[a-z_]+>", "{objectId}", rule.rule)
            path = path if path == "/" else path.rstrip("/")
            routes.setdefault(path, set()).update(rule.methods or ())
        everywhere = routes.pop("/{objectId}")
        self.assertEqual(everywhere, {"OPTIONS"})
        described: dict[str, set[str]] = {}
        for path, method, _ in DOCUMENT.operations():
            described.setdefault(DOCUMENT.address(path), set()).add(method.upper())
        self.assertEqual(described, {path: methods | everywhere for path, methods in routes.items()})
        self.assertEqual(DOCUMENT.content["servers"][0]["url"], BASE)

    def test_error_types(self) -> None:
        """
        The types of errors are those that there are.
        """
        types = DOCUMENT.components["schemas"]["ErrorResponse"]["properties"]["type"]["enum"]
        self.assertEqual(types, [error.type for error in ALL_ERRORS])

    def test_errors(self) -> None:
        """
        A GET of an asset may meet all of them: each with its type and message among the examples for its status, and
        with the header fields that it has.
        """
        found: list[ApiError] = []
        for status, reference in DOCUMENT.paths["/asset/{objectId}"]["get"]["responses"].items():
            described = DOCUMENT.resolve(reference)
            if int(status) < 400:
                continue
            errors = [error for error in ALL_ERRORS if error.status == int(status) and error.type not in ANYWHERE]
            examples = described["content"]["application/json"]["examples"]
            expected = {error.type: {"value": {"type": error.type, "message": error.message}} for error in errors}
            self.assertEqual(examples, expected)
            for error in errors:
                more = (("Content-Range", "bytes */10"),) if error.status == 416 else ()
                self.assertDescribed(described, (*error_headers(error, "id"), *more))
            found += errors
        self.assertEqual(found, [error for error in ALL_ERRORS if error.type not in ANYWHERE])

    def test_methods(self) -> None:
        """
        Every operation tells of the answer to other methods.
        """
        for path, method, _ in DOCUMENT.operations():
            self.assertIn("Allow", DOCUMENT.response(path, method, 405)["headers"])

    def test_page(self) -> None:
        """
        The page for readers has the same errors, paths and header fields with bytes.
        """
        page = (Path(distributor.__file__).parents[1] / "docs" / "http-api.rst").read_text(encoding="utf-8")
        listed = re.findall(r"^(\d{3}) +``([a-z_]+)``", page, re.MULTILINE)
        self.assertEqual(listed, [(str(error.status), error.type) for error in ALL_ERRORS])
        for path in DOCUMENT.paths:
            self.assertIn(f"``{DOCUMENT.address(path)}``", page)
        fields = re.findall(r"^``([A-Z][A-Za-z-]*[a-z])`` ", page, re.MULTILINE)
        self.assertIn("X-Cache", fields)
        self.assertEqual(set(fields) - DOCUMENT.response("/asset/{objectId}", "get", 206)["headers"].keys(), set())

    def test_preflight(self) -> None:
        """
        The preflight has the header fields that it has.
        """
        for path in DOCUMENT.paths:
            self.assertDescribed(
                DOCUMENT.response(path, "options", 204), preflight_headers("range, x-request-id", "id")
            )
            self.assertDescribed(DOCUMENT.response(path, "options", 204), preflight_headers(None, "id"))

    @given(
        method=st.sampled_from(["GET", "HEAD"]),
        fields=st.fixed_dictionaries(
            {},
            optional={
                "Range": st.sampled_from(["bytes=0-1", "bytes=-5", "bytes=0-0,5-", "bytes=9999-", "lines=1"]),
                "If-None-Match": st.sampled_from(["*", '"x"']),
                "If-Match": st.sampled_from(["*", '"x"']),
                "If-Range": st.just('"x"'),
                "X-Request-Id": st.sampled_from(["a.b-c_d", "not one"]),
            },
        ),
        query=st.sampled_from([b"", b"download", b"download=a", b"download=%C3%BC%22%0A"]),
        facts=st.builds(
            Facts,
            size=st.integers(0, 20),
            content_hash=st.builds(ContentHash, st.just(BLAKE3_256), st.binary(min_size=32, max_size=32)),
            cache=st.sampled_from(CacheState),
            external=st.booleans(),
            type=st.sampled_from(["video/mp4", "text/vtt; charset=utf-8", "nonsense"]),
            collapsed=st.booleans(),
            stored=st.booleans(),
            catalogue_s=st.none() | st.floats(0, 100),
            source_s=st.none() | st.floats(0, 100),
        ),
    )
    def test_assets(self, method: str, fields: dict[str, str], query: bytes, facts: Facts) -> None:
        """
        Whatever is asked of an asset that exists, the answer has a status, a media type and header fields that the
        document gives.
        """
        decided = answer(asset_request(method, "7", fields.get, query, lambda: "new"), facts, "boundary")
        for path in ("/asset/{objectId}", "/assets/{objectId}"):
            self.assertDescribed(DOCUMENT.response(path, method.lower(), decided.status), decided.headers)
