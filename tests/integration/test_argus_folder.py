"""
What Argus leaves, taken over by a real node, and left for Argus again.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.client import IncompleteRead
from typing import Any

from distributor.devnet.answers import Generation
from tests.integration.client import ask, get, settled
from tests.integration.media import folder
from tests.integration.network import OTHERS, OURS, WORKER_ID, QueryNodeProcess, chain, data_object, eventually
from tests.integration.operator import SECRET, OperatorTestCase, port_of
from tests.integration.process import Node, StorageNodeProcess
from tests.upstream import payload

PREFIX = "JOYSTREAM_DISTRIBUTOR__"

#: What begins as a picture does, a film, a subtitle, and things that cannot be told by their first bytes.
CONTENTS = {
    "1": b"\x89PNG\r\n\x1a\n" + payload(50_000),
    "2": b"\x00\x00\x00\x20ftypisom" + payload(60_000, 2),
    "3": b"WEBVTT\n\n00:00.000 --> 00:01.000\nHello\n",
    "4": b"no known kind of file" + payload(40_000, 4),
    "5": b"nor is this" + payload(3_000, 5),
    "6": b"this one is wrong on the disk" + payload(30_000, 6),
    "7": b"and so is this, by its size" + payload(20_000, 7),
    "8": b"others distribute this" + payload(10_000, 8),
}

#: What Argus knows, and what the right ones are to be served as.
TYPES = {
    "1": "image/png",
    "2": "video/mp4",
    "3": "text/vtt",
    "4": "video/x-told-by-argus",
    "5": "application/octet-stream",
}
WRONG = {"6": CONTENTS["6"][:-1] + b"!", "7": CONTENTS["7"][:-1]}

#: The query node knows nothing of this one.
UNKNOWN = {"9": b"nobody knows this"}

#: When the first was used, in milliseconds; each of the others a millisecond later.
USED_AT = 1_700_000_000_001

OLDER = """
id: test-node
endpoints:
  queryNode: http://query-node.invalid/graphql
  joystreamNodeWs: ws://127.0.0.1:9944
directories:
  data: ./local/data
  cache: ./local/cache
  logs: ./local/logs
log:
  file: debug
  console: verbose
limits:
  storage: 100G
  maxConcurrentStorageNodeDownloads: 100
  maxConcurrentOutboundConnections: 300
  outboundRequestsTimeout: 5000
  pendingDownloadTimeoutSec: 3600
  maxCachedItemSize: 1G
intervals:
  saveCacheState: 60
  checkStorageNodeResponseTimes: 60
  cacheCleanup: 1
port: 3334
keys:
  - suri: //Alice
buckets: all
workerId: 0
"""

NEWER = """
id: test-node
endpoints:
  storageSquid: http://query-node.invalid/graphql
  joystreamNodeWs: ws://127.0.0.1:9944
directories:
  assets: ./local/data
  cacheState: ./local/cache
logs:
  file:
    level: debug
    path: ./local/logs
    maxFiles: 30
    maxSize: 50485760
  console:
    level: verbose
  elastic:
    level: info
    endpoint: http://127.0.0.1:9200
limits:
  storage: 100G
  maxConcurrentStorageNodeDownloads: 100
  maxConcurrentOutboundConnections: 300
  outboundRequestsTimeoutMs: 5000
  pendingDownloadTimeoutSec: 3600
  maxCachedItemSize: 1G
  dataObjectSourceByObjectIdTTL: 60
  queryNodeCacheTTL: 60
intervals:
  saveCacheState: 60
  checkStorageNodeResponseTimes: 60
  cacheCleanup: 1
publicApi:
  port: 3334
operatorApi:
  port: 3335
  hmacSecret: this-is-not-so-secret
keys:
  - suri: //Alice
  - mnemonic: one two three
    type: ed25519
workerId: 0
"""


def cache_json(contents: Mapping[str, bytes]) -> str:
    """
    What Argus writes of such files.
    """
    groups: list[list[object]] = [[] for _ in range(24)]
    for place, (object_id, content) in enumerate(sorted(contents.items())):
        size = -(-len(content) // 1024)
        used = {"sizeKB": size, "popularity": place + 1, "lastAccessTime": USED_AT + place}
        groups[max(1, size // (place + 1)).bit_length() - 1].append([object_id, used])
    return json.dumps({"lruCacheGroups": groups, "mimeTypeByObjectId": list(TYPES.items())})


class ArgusFolderTests(OperatorTestCase):
    """
    A folder of Argus', with its configuration and its environment.
    """

    def setUp(self) -> None:
        self.contents = dict(CONTENTS)
        self.storage = StorageNodeProcess.start(self, folder(self, CONTENTS))
        self.base = self.directory()
        self.assets = self.base / "local" / "data"
        self.assets.mkdir(parents=True)
        self.state = self.base / "local" / "cache"
        self.state.mkdir()
        left = {**CONTENTS, **WRONG, **UNKNOWN}
        for object_id, content in left.items():
            (self.assets / object_id).write_bytes(content)
        (self.state / "cache.json").write_text(cache_json(left))

    def query(self, generation: Generation) -> None:
        """
        Start a query node.
        """
        objects = [data_object(id, content, "text/vtt" if id == "3" else None) for id, content in CONTENTS.items()]
        bags = {OURS: objects[:-1], OTHERS: objects[-1:]}
        self.query_node = QueryNodeProcess.start(self, chain([self.storage.url], bags), generation)

    def take_over(self, config: str, query_node: str) -> Node:
        """
        Start the node as Argus was started; the environment has ports that are free, and a network that is here.

        @param query_node: the variable for the URL of the query node.
        """
        (self.base / "config.yml").write_text(config)
        (self.base / "secret").write_text(f"{SECRET}\n")
        variables = {
            query_node: self.query_node.url,
            "WORKER_ID": str(WORKER_ID),
            "PUBLIC_API__PORT": "0",
            "OPERATOR_API__PORT": "0",
            "OPERATOR_API__HMAC_SECRET_FILE": "secret",
            "SOURCES__ALLOW_PRIVATE_ADDRESSES": "true",
            "LIMITS__MAX_CACHED_ITEM_SIZE": "off",
            "NO_SUCH_KEY": "1",
        }
        env = {f"{PREFIX}{name}": value for name, value in variables.items()}
        self.node = Node(self, ["distributor"], env, self.base)
        self.node.wait_for("Serving at ")
        self.port = port_of(self.node)
        return self.node

    def files(self) -> dict[str, bytes]:
        """
        What is in the folder.
        """
        return {path.name: path.read_bytes() for path in self.assets.iterdir() if path.is_file()}

    def served(self, object_id: str) -> tuple[str | None, str | None]:
        """
        How a whole object is served, and as what.
        """
        code, answer, body = get(self, self.asset(object_id))
        self.assertEqual(code, 200)
        self.assertTrue(body == CONTENTS[object_id], f"other bytes than those of object {object_id}")
        return answer.headers["X-Cache"], answer.headers["Content-Type"]

    def is_hit(self, object_id: str) -> bool:
        """
        Whether it has been verified.
        """
        return self.served(object_id)[0] == "hit"

    def is_replaced(self, object_id: str) -> bool:
        """
        Whether readers get an object whose file was wrong; until then they get less of it, visibly.
        """
        response = ask(self, self.asset(object_id))
        try:
            return response.status == 200 and response.read() == CONTENTS[object_id]
        except (IncompleteRead, ConnectionError):
            return False

    def test_taken_over(self) -> None:
        """
        Files are served at once, as C{pending} and with the type that Argus would give them; then as C{hit}. No storage
        node is asked for what is right, what is wrong is replaced, and nothing else is deleted. Then Argus can go on,
        or this node, with a configuration of the other generation.
        """
        self.query(Generation.HYDRA)
        # Until all have come to ask, nothing can be verified.
        self.query_node.signal(signal.SIGSTOP)
        self.addCleanup(self.query_node.signal, signal.SIGCONT)
        node = self.take_over(OLDER, "ENDPOINTS__QUERY_NODE")
        with ThreadPoolExecutor(len(TYPES)) as pool:
            asked = [pool.submit(self.served, object_id) for object_id in TYPES]
            eventually(self, lambda: self.metric("answers_in_progress") == len(TYPES), "they do not come to ask")
            self.query_node.signal(signal.SIGCONT)
            self.assertEqual([each.result() for each in asked], [("pending", type) for type in TYPES.values()])
        for object_id, type in TYPES.items():
            eventually(self, partial(self.is_hit, object_id), f"object {object_id} is not verified")
            self.assertEqual(self.served(object_id), ("hit", type))
        for object_id in WRONG:
            eventually(self, partial(self.is_replaced, object_id), f"object {object_id} is not replaced")
        self.assertEqual({each["objectId"] for each in self.requests_of(self.storage)}, set(WRONG))
        self.assertEqual([self.status_of(object_id) for object_id in "89"], [421, 404])
        settled(self, node.url)
        self.check_log(node, "endpoints.joystreamNodeWs, keys")
        (self.state / "cache.json").unlink()
        self.assertEqual(self.do("POST", "/save-cache-state"), {"written": True})
        self.check_written()
        self.assertTrue(self.is_hit("5"))
        node.stop()
        self.check_written()
        self.assertEqual(self.files(), {**CONTENTS, **UNKNOWN})

        self.query_node.stop()
        self.query(Generation.SQUID)
        node = self.take_over(NEWER, "ENDPOINTS__STORAGE_SQUID")
        for object_id in CONTENTS.keys() - {"8"}:
            self.assertTrue(self.is_hit(object_id), object_id)
        self.check_log(node, "endpoints.joystreamNodeWs, logs.elastic.level, logs.elastic.endpoint, keys")
        node.stop()
        self.check_written()
        self.assertEqual(self.files(), {**CONTENTS, **UNKNOWN})
        # What docs/migration.rst has people remove before they go back is all there is besides.
        self.assertEqual({path.name for path in self.assets.iterdir()} - self.files().keys(), {".partial"})

    def check_written(self) -> None:
        """
        There is a C{cache.json} that Argus reads, with everything that is in the folder: it would delete the rest.
        """
        written: Any = json.loads((self.state / "cache.json").read_text())
        self.assertEqual(set(written), {"lruCacheGroups", "mimeTypeByObjectId"})
        self.assertEqual(len(written["lruCacheGroups"]), 24)
        uses = {}
        for group in written["lruCacheGroups"]:
            times = [use["lastAccessTime"] for _, use in group]
            self.assertEqual(times, sorted(times))
            uses.update(dict(group))
        files = self.files()
        self.assertEqual(set(uses), set(files))
        for object_id, use in uses.items():
            self.assertEqual(set(use), {"sizeKB", "popularity", "lastAccessTime"})
            self.assertEqual({type(value) for value in use.values()}, {int}, use)
            self.assertEqual(use["sizeKB"], -(-len(files[object_id]) // 1024))
        # What nobody has asked for since, and what somebody has.
        last = sorted({**CONTENTS, **UNKNOWN}).index("9")
        self.assertEqual(uses["9"]["lastAccessTime"], USED_AT + last)
        self.assertGreater(uses["1"]["lastAccessTime"], USED_AT + last)
        types = dict(written["mimeTypeByObjectId"])
        self.assertEqual({id: types.get(id) for id in "1234"}, {id: TYPES[id] for id in "1234"})

    def check_log(self, node: Node, idle: str) -> None:
        """
        What has no effect is named once; a variable that means nothing is no reason not to start.
        """
        self.assertEqual(node.log().count(f"without an effect here: {idle}"), 1)
        self.assertEqual(node.log().count(f"{PREFIX}NO_SUCH_KEY: there is no such key"), 1)
        self.assertNotIn(SECRET, node.log())
        self.assertTrue(list((self.base / "local" / "logs").iterdir()), "there are no log files")
