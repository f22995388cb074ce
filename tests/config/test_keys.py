"""
Tests for L{distributor.config.keys}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from distributor.config.keys import HIDDEN, KEYS, SCHEMA, SECTIONS, SETTINGS, SHORT, spelled_below

# What ../shared documents of Argus list: neither more nor less is needed for its files to be read.
ARGUS = """
id endpoints.storageSquid endpoints.queryNode endpoints.joystreamNodeWs directories.assets directories.cacheState
logs.file.level logs.file.path logs.file.maxFiles logs.file.maxSize logs.file.frequency logs.file.archive
logs.console.level logs.elastic.level logs.elastic.endpoint logs.elastic.indexPrefix logs.elastic.auth.username
logs.elastic.auth.password limits.storage limits.maxConcurrentStorageNodeDownloads
limits.maxConcurrentOutboundConnections limits.outboundRequestsTimeoutMs limits.pendingDownloadTimeoutSec
limits.maxCachedItemSize limits.dataObjectSourceByObjectIdTTL limits.queryNodeCacheTTL intervals.saveCacheState
intervals.checkStorageNodeResponseTimes intervals.cacheCleanup publicApi.port operatorApi.port operatorApi.hmacSecret
keys buckets workerId
"""


class KeysTests(SynchronousTestCase):
    """
    The table fits together.
    """

    def test_argus(self) -> None:
        """
        Every key that Argus documents is there, with the names that its first generation had.
        """
        self.assertEqual(set(ARGUS.split()) - {key.path for key in KEYS}, set())
        older = {spelling: key.path for key in KEYS for spelling in key.older if not spelling.startswith("log.")}
        self.assertEqual(
            older,
            {
                "port": "publicApi.port",
                "directories.data": "directories.assets",
                "directories.cache": "directories.cacheState",
                "limits.outboundRequestsTimeout": "limits.outboundRequestsTimeoutMs",
            },
        )
        for key in KEYS:
            if key.path.startswith("logs."):
                self.assertEqual(key.older, (key.path.replace("logs.", "log.", 1),))

    def test_spellings(self) -> None:
        """
        No path is used twice, and none is both a key and a mapping.
        """
        spellings = [spelling for key in KEYS for spelling in key.spellings]
        self.assertEqual(len(spellings), len({*spellings, *SECTIONS}) - len(SECTIONS))
        self.assertEqual(set(SCHEMA.keys), set(spellings))
        self.assertTrue(set(SHORT) <= set(SECTIONS))
        self.assertTrue(set(SHORT.values()) <= set(spellings))

    def test_defaults(self) -> None:
        """
        Every default is fit, and no required key has one.
        """
        for key in KEYS:
            if key.default is not None:
                key.kind.read(key.default)
                self.assertFalse(key.required)

    def test_secrets(self) -> None:
        """
        These are the secrets, of which nothing is shown; of URLs neither passwords nor queries are.
        """
        secret = [key.path for key in KEYS if key.shown("x") == HIDDEN]
        self.assertEqual(secret, ["logs.elastic.auth.password", "operatorApi.hmacSecret", "keys"])
        written = "wss://me:pass@node:1/a?token=b&c"
        for key in KEYS:
            if "URL" in key.kind.expected:
                self.assertEqual(key.shown(written), f"wss://{HIDDEN}@node:1/a?{HIDDEN}")
                self.assertEqual(key.shown("http://node/graphql"), "http://node/graphql")
            elif key.path not in secret:
                self.assertEqual(key.shown(written), written)

    def test_idle_keys_say_so(self) -> None:
        """
        The documentation of a key says whether it has an effect.
        """
        for key in KEYS:
            self.assertEqual(key.idle, key.meaning.startswith("No effect"), key.path)

    def test_below(self) -> None:
        """
        Keys are found by the mapping that they are in, however it is spelled.
        """
        self.assertEqual(
            spelled_below("operatorApi"), ("operatorApi.port", "operatorApi.host", "operatorApi.hmacSecret")
        )
        self.assertEqual(spelled_below("log.console"), ("log.console.level",))
        self.assertEqual(spelled_below("log"), tuple(each for each in SETTINGS if each.startswith("log.")))
        self.assertEqual(spelled_below("id"), ("id",))
