"""
Tests for L{distributor.config.checks}.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from distributor.config.checks import contradictions, missing, notices
from distributor.config.environment import PREFIX
from tests.config.test_layers import gathered

SQUID = {"storageSquid": "http://s/graphql"}
QUERY_NODE = {"queryNode": "http://q/graphql"}
MANIFEST = {"catalogue": {"manifest": "m.yml"}}


class CheckCase(SynchronousTestCase):
    """
    Configurations, each key of which is fit.
    """

    def contradicted(self, document: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> list[str]:
        values, problems = gathered(document, environ)
        self.assertEqual(problems, [])
        return list(contradictions(values))

    def noticed(self, document: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> list[str]:
        values, problems = gathered(document, environ)
        self.assertEqual(problems, [])
        return list(notices(values))


class MissingTests(SynchronousTestCase):
    """
    What must be given.
    """

    def missing(self, document: Mapping[str, Any], *, catalogue: bool = True) -> list[str]:
        return list(missing(gathered(document)[0], "c.yml", catalogue=catalogue))

    def test_missing(self) -> None:
        """
        A node needs a name, and somewhere to learn of objects from.
        """
        self.assertEqual(
            self.missing({}),
            [
                "c.yml: id: is required, and must be text",
                "c.yml: endpoints.storageSquid: is required, and must be an http or https URL; or else give "
                "endpoints.queryNode or catalogue.manifest",
            ],
        )

    def test_one_catalogue_is_enough(self) -> None:
        """
        Either a query node, of whichever generation, or a manifest; the demo needs none.
        """
        for given in ({"endpoints": SQUID}, {"endpoints": QUERY_NODE}, {"endpoints": SQUID | QUERY_NODE}, MANIFEST):
            self.assertEqual(self.missing({"id": "x"} | given), [])
        self.assertEqual(self.missing({"id": "x"}, catalogue=False), [])


class ContradictionTests(CheckCase):
    """
    What does not go together.
    """

    def test_two_catalogues(self) -> None:
        """
        A manifest and a query node exclude each other, and both places are named; two query nodes do not.
        """
        self.assertEqual(self.contradicted({"endpoints": SQUID | QUERY_NODE}), [])
        why = "objects are listed by a manifest or by a query node, not by both"
        self.assertEqual(
            self.contradicted({"endpoints": SQUID, **MANIFEST}),
            [f"c.yml: catalogue.manifest: excludes endpoints.storageSquid, which c.yml gives: {why}"],
        )
        self.assertEqual(
            self.contradicted(MANIFEST, {"ENDPOINTS__QUERY_NODE": "http://q"}),
            [
                f"c.yml: catalogue.manifest: excludes endpoints.queryNode, which {PREFIX}ENDPOINTS__QUERY_NODE gives: "
                f"{why}"
            ],
        )

    def test_operator_api(self) -> None:
        """
        Nobody gets an operator's API without a secret.
        """
        secret = "operatorApi.hmacSecret: is required where operatorApi.port is given, and must be a secret"
        self.assertEqual(self.contradicted({"operatorApi": {"port": 1}}), [f"c.yml: {secret}"])
        self.assertEqual(self.contradicted({}, {"OPERATOR_API__PORT": "0"}), [f"{PREFIX}OPERATOR_API__PORT: {secret}"])
        self.assertEqual(self.contradicted({"operatorApi": {"port": 1, "hmacSecret": "s"}}), [])

    def test_log_files(self) -> None:
        """
        Log files have to be somewhere, unless there are none.
        """
        required = "logs.file.path: is required where {} is given, and must be a path"
        self.assertEqual(self.contradicted({"log": {"file": "info"}}), ["c.yml: " + required.format("log.file.level")])
        self.assertEqual(
            self.contradicted({"logs": {"file": {"maxFiles": 1}}}), ["c.yml: " + required.format("logs.file.maxFiles")]
        )
        for fine in (
            {"log": {"file": "off"}},
            {"logs": {"file": {"level": "off", "maxFiles": 1}}},
            {"logs": {"file": {"path": "l"}}},
            {"logs": {"console": {"level": "info"}}},
            {"log": {"file": "info"}, "directories": {"logs": "l"}},
            {"directories": {"logs": "l"}},
        ):
            self.assertEqual(self.contradicted(fine), [])

    def test_two_log_directories(self) -> None:
        """
        The two keys for it exclude each other, unless the environment overrides a file of the first generation.
        """
        excluded = "logs.file.path: excludes directories.logs, where older files have it"
        older, newer = {"directories": {"logs": "l"}}, {"logs": {"file": {"path": "l"}}}
        self.assertEqual(self.contradicted(older | newer), [f"c.yml: {excluded}"])
        self.assertEqual(self.contradicted(newer, {"DIRECTORIES__LOGS": "l"}), [f"c.yml: {excluded}"])
        self.assertEqual(
            self.contradicted({}, {"DIRECTORIES__LOGS": "l", "LOGS__FILE__PATH": "l"}),
            [f"{PREFIX}LOGS__FILE__PATH: {excluded}"],
        )
        self.assertEqual(self.contradicted(older, {"LOGS__FILE__PATH": "l"}), [])


class NoticeTests(CheckCase):
    """
    What an operator is told of.
    """

    def test_nothing(self) -> None:
        """
        A configuration all of which is used is nothing to talk about.
        """
        self.assertEqual(self.noticed({"id": "x", "operatorApi": {"port": 1, "hmacSecret": "s", "host": "::1"}}), [])

    def test_without_effect(self) -> None:
        """
        Keys without an effect are named, all in one line, as they are written; what is switched off is not.
        """
        document = {
            "keys": ["//Alice"],
            "endpoints": {"joystreamNodeWs": "ws://node", "elasticSearch": "es"},
            "log": {"elastic": "info"},
            "logs": {"elastic": {"auth": {"username": "u", "password": "p"}, "indexPrefix": "i", "endpoint": "e"}},
        }
        self.assertEqual(
            self.noticed(document),
            [
                "without an effect here: endpoints.joystreamNodeWs, endpoints.elasticSearch, log.elastic.level, "
                "logs.elastic.endpoint, logs.elastic.indexPrefix, logs.elastic.auth.username, "
                "logs.elastic.auth.password, keys"
            ],
        )
        self.assertEqual(self.noticed({"log": {"elastic": "off"}}), [])

    def test_no_operator_api(self) -> None:
        """
        What belongs to an operator's API that there is not.
        """
        end = "has no effect without operatorApi.port: there is no operator's API"
        self.assertEqual(
            self.noticed({"operatorApi": {"hmacSecret": "s", "host": "::1"}}),
            [f"operatorApi.hmacSecret {end}", f"operatorApi.host {end}"],
        )
