"""
An OpenAPI document of ours, for tests; and what is true of each of them, whatever the API.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib import resources
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import jsonschema_rs
import schemathesis
from twisted.trial.unittest import SynchronousTestCase

from distributor import __version__

if TYPE_CHECKING:
    _Case = SynchronousTestCase
else:
    # Else trial would run the tests of the mixin by themselves.
    _Case = object

#: What stands beside the operations of a path.
_NO_OPERATIONS = ("servers", "parameters")


class Document:
    """
    A document, as far as it is looked at.

    @ivar content: as JSON has it.
    """

    def __init__(self, name: str) -> None:
        """
        @param name: of the file that the API answers with.
        """
        text = resources.files("distributor.web").joinpath(name).read_text(encoding="utf-8")
        self.content: dict[str, Any] = json.loads(text)

    @property
    def components(self) -> dict[str, Any]:
        """
        By kind and name.
        """
        found: dict[str, Any] = self.content["components"]
        return found

    @property
    def paths(self) -> dict[str, Any]:
        """
        As they are written, without their base.
        """
        found: dict[str, Any] = self.content["paths"]
        return found

    def resolve(self, value: Any) -> Any:
        """
        What a reference stands for; anything else is itself.
        """
        while isinstance(value, dict) and "$ref" in value:
            found: Any = self.content
            for part in value["$ref"].removeprefix("#/").split("/"):
                found = found[unquote(part).replace("~1", "/").replace("~0", "~")]
            value = found
        return value

    def validator(self, schema: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
        """
        A validator for a schema of the document.
        """
        return jsonschema_rs.Draft202012Validator({**schema, "components": self.components})

    def address(self, path: str) -> str:
        """
        A path with its base.
        """
        [server] = self.paths[path].get("servers", self.content["servers"])
        base: str = server["url"]
        return base.rstrip("/") + path

    def operations(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """
        Path, method and operation.
        """
        for path, item in self.paths.items():
            for method, operation in item.items():
                if method not in _NO_OPERATIONS:
                    yield path, method, operation

    def response(self, path: str, method: str, status: int | str) -> dict[str, Any]:
        """
        The response object.
        """
        found: dict[str, Any] = self.resolve(self.paths[path][method]["responses"][str(status)])
        return found


def walk(value: Any) -> Iterator[dict[str, Any]]:
    """
    Every object in C{value}, itself included.
    """
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from walk(inner)


class DocumentTestsMixin(_Case):
    """
    The document by itself. To be inherited from beside C{SynchronousTestCase}.

    @ivar document: which one.
    """

    document: Document

    def test_valid(self) -> None:
        """
        It is an OpenAPI 3.1 document of this version of the program.
        """
        content = self.document.content
        self.assertTrue(content["openapi"].startswith("3.1."))
        schemathesis.openapi.from_dict(content).validate()
        self.assertEqual(content["info"]["version"], __version__)

    def test_references(self) -> None:
        """
        Every reference leads to a component, and every component is referred to.
        """
        used = {each["$ref"] for each in walk(self.document.content) if "$ref" in each}
        used |= {f"#/components/securitySchemes/{name}" for [name] in self.document.content.get("security", [])}
        there = {f"#/components/{kind}/{name}" for kind, items in self.document.components.items() for name in items}
        self.assertEqual(used, there)

    def test_operation_ids(self) -> None:
        """
        No two operations have the same id.
        """
        ids = [operation["operationId"] for _, _, operation in self.document.operations()]
        self.assertEqual(len(ids), len(set(ids)))

    def test_path_parameters(self) -> None:
        """
        Every path declares the parameters in its template, and no others.
        """
        for path, _, operation in self.document.operations():
            parameters = [*self.document.paths[path].get("parameters", []), *operation.get("parameters", [])]
            declared = [self.document.resolve(each) for each in parameters]
            # An operation may have one of its path's in words of its own.
            names = dict.fromkeys(each["name"] for each in declared if each["in"] == "path")
            self.assertEqual(list(names), re.findall(r"\{(\w+)\}", path))

    def test_examples(self) -> None:
        """
        Schemas are valid JSON Schema 2020-12, and every example is what its schema says.
        """
        checked = 0
        schemas = list(self.document.components["schemas"].values())
        for holder in walk(self.document.content):
            schema = holder.get("schema")
            if not isinstance(schema, dict):
                continue
            schemas.append(schema)
            for example in holder.get("examples", {}).values():
                self.document.validator(schema).validate(example["value"])
                checked += 1
        for schema in schemas:
            jsonschema_rs.meta.validate(schema)
            for value in schema.get("examples", []):
                self.document.validator(schema).validate(value)
                checked += 1
        self.assertGreater(checked, 30)
