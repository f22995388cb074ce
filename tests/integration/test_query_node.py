"""
A node whose catalogue is a query node, both as real processes.
"""

from __future__ import annotations

import json
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from distributor.devnet.answers import Generation
from tests.integration.client import get, settled, status
from tests.integration.media import MIB, folder
from tests.integration.network import OTHERS, OURS, NetworkTestCase, QueryNodeProcess, chain, data_object, eventually
from tests.integration.process import Node, StorageNodeProcess
from tests.upstream import payload

#: A dozen: that one of them leaves is no large loss.
CONTENTS = {str(number): payload(1000 + number, number) for number in range(1, 13)}

#: What a refresh asks about.
BAGS = "Bags"


class LifeTests(NetworkTestCase):
    """
    A query node that is away.
    """

    def test_down_at_the_start(self) -> None:
        """
        The node starts without its query node, serves what it has, says 503 of what it does not know; and serves all,
        untold, once the query node is back.
        """
        self.begin(CONTENTS)
        self.start_node()
        self.assert_served("1", "miss")
        settled(self, self.node.url)
        data_dir = self.node.data_dir
        self.node.stop()
        port, url = self.query_node.port, self.query_node.url
        self.query_node.kill()

        self.start_node(data_dir, ttl_s=1, endpoints={"queryNode": url})
        self.assert_served("1", "hit")
        code, answer, body = get(self, self.asset("2"))
        self.assertEqual((code, json.loads(body)["type"]), (503, "catalogue_unavailable"))
        self.assertGreater(int(answer.headers["Retry-After"]), 0)
        self.assertEqual(get(self, f"{self.node.url}/readyz")[0], 200)
        self.node.wait_for("What this node distributes cannot be found out at present")
        self.assertIn("unreachable", str(self.query_node_status()["lastError"]))

        QueryNodeProcess.start(self, self.query_node.network, port=port)
        self.node.wait_for("The query node answers again")
        self.assert_served("2", "miss")
        self.assert_served("1", "hit")

    def query_node_status(self) -> dict[str, object]:
        """
        What the node says of it.
        """
        told: dict[str, object] = status(self, self.node.url)["queryNodeStatus"]
        return told

    def test_status_waits_for_nothing(self) -> None:
        """
        While the query node hangs, and readers wait for it, C{/status}, C{/buckets} and C{/healthz} answer, and what is
        here is served.
        """
        self.begin(CONTENTS)
        self.start_node()
        self.assert_served("1")
        settled(self, self.node.url)
        self.query_node.signal(signal.SIGSTOP)
        self.addCleanup(self.query_node.signal, signal.SIGCONT)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(self.status_of, "2")
            self.assertEqual(self.query_node_status()["generation"], "squid")
            self.assertEqual(json.loads(get(self, f"{self.node.url}/api/v1/buckets")[2]), {"allByWorkerId": 3})
            self.assertEqual(get(self, f"{self.node.url}/healthz")[0], 200)
            self.assert_served("1", "hit")
            self.assertFalse(waiting.done())
            self.query_node.signal(signal.SIGCONT)
            self.assertEqual(waiting.result(), 200)


class ScopeTests(NetworkTestCase):
    """
    What is ours, and what is not, or not any more.
    """

    def cached(self, ttl_s: int = 1, **more: Any) -> Node:
        """
        A node that has all objects, and asks anew every second.
        """
        self.begin(CONTENTS)
        node = self.start_node(ttl_s=ttl_s, **more)
        for object_id in CONTENTS:
            self.assert_served(object_id)
        settled(self, node.url)
        return node

    def refreshed(self, times: int = 1) -> None:
        """
        Wait until the query node has been asked so often what the node distributes; and for the end of it.
        """
        before = len(self.query_node.asked(self, BAGS))
        eventually(self, lambda: len(self.query_node.asked(self, BAGS)) > before + times, "it is not asked any more")

    def test_what_is_not_served(self) -> None:
        """
        What there is not, what others distribute, and what has not been uploaded: each has its answer; what cannot be
        an id is not asked for.
        """
        self.begin(CONTENTS, others=["3"])
        waiting = data_object("77", b"not here yet", accepted=False)
        others = [self.objects["3"], data_object("78", b"", accepted=False)]
        ours = [item for id, item in self.objects.items() if id != "3"]
        self.query_node.redistribute({OURS: [*ours, waiting], OTHERS: others})
        self.start_node()
        absent = (404, "object_not_found", "Data object does not exist")
        self.assert_refused("99", *absent)
        for wrong in ("0x1", "01", "9" * 21, "..%2f1", "-1"):
            self.assert_refused(wrong, *absent)
        elsewhere = (421, "object_not_distributed", "Data object not served by this node")
        self.assert_refused("3", *elsewhere)
        # That comes first.
        self.assert_refused("78", *elsewhere)
        self.assert_refused("77", 404, "object_not_accepted", "Data object has not been uploaded yet")
        asked = sorted(each["variables"]["id"] for each in self.query_node.asked(self, "DataObject"))
        self.assertEqual(asked, ["3", "77", "78", "99"])

    def test_what_leaves(self) -> None:
        """
        An object that leaves the node's buckets is answered with 421 after the next refresh, and deleted at the next
        cleaning up; the others are as before. Once it is back, it is served again.
        """
        node = self.cached(intervals={"cacheCleanup": 1})
        self.redistribute("5")
        node.wait_for("1 objects here are other nodes' by now")
        self.assert_refused("5", 421, "object_not_distributed", "Data object not served by this node")
        eventually(self, lambda: not (node.data_dir / "assets" / "5").exists(), "it is not deleted")
        self.assertEqual(settled(self, node.url)["objectsInCache"], len(CONTENTS) - 1)
        for object_id in CONTENTS.keys() - {"5"}:
            self.assert_served(object_id, "hit")
        self.redistribute()
        eventually(self, lambda: self.status_of("5") == 200, "it is not served again")
        self.assert_served("5")

    def test_what_has_left_goes_first(self) -> None:
        """
        When room is needed, what has left goes before what was used longer ago.
        """
        contents = {str(number): payload(300_000, number) for number in range(1, 15)}
        self.begin(contents)
        node = self.start_node(ttl_s=1, limits={"storage": "4M"})
        for number in range(1, 14):
            self.assert_served(str(number))
        settled(self, node.url)
        self.redistribute("13")
        node.wait_for("1 objects here are other nodes' by now")
        self.assert_served("14")
        settled(self, node.url)
        kept = {path.name for path in (node.data_dir / "assets").iterdir() if path.is_file()}
        self.assertEqual(kept, set(contents) - {"13"})

    def test_refreshes_that_fail(self) -> None:
        """
        Refreshes that fail, one that brings errors beside half of the data, and one that brings nothing change nothing;
        what three in a row agree on takes effect.
        """
        node = self.cached()
        for fault in ({"status": 502}, {"broken": ["objects"]}, {"text": "<html>"}, {"drop": True}):
            before = len(node.log())
            self.query_node.misbehave(**fault)
            node.wait_for("cannot be found out at present", before)
            for object_id in CONTENTS:
                self.assert_served(object_id, "hit")
            self.query_node.misbehave()
            node.wait_for("The query node answers again", before)
        before = len(node.log())
        self.redistribute(*CONTENTS)
        node.wait_for(r"12 of 12 objects would not be distributed here any more: held back .*\(1 of 3", before)
        self.redistribute()
        self.refreshed()
        self.assertNotIn("(2 of 3", node.log())
        self.assertEqual(status(self, node.url)["queryNodeStatus"]["objectsHeldBack"], 0)
        for object_id in CONTENTS:
            self.assert_served(object_id, "hit")
        self.redistribute("1", "2", "3")
        node.wait_for(r"3 of 12 objects .*\(2 of 3", before)
        self.assert_served("2", "hit")
        node.wait_for("3 objects here are other nodes' by now", before)
        self.assertEqual([self.status_of(object_id) for object_id in ("1", "2", "3", "4")], [421, 421, 421, 200])


class GenerationTests(NetworkTestCase):
    """
    Which generation a query node is of.
    """

    def check(self, generation: Generation, key: str) -> None:
        """
        With one URL, under whichever key, the query node is asked once, and understood.
        """
        self.begin(CONTENTS, others=["3"], generation=generation)
        self.start_node(endpoints={key: self.query_node.url})
        self.node.wait_for(f"is of the generation {generation.value}")
        self.assert_served("1", "miss")
        self.assertEqual(self.status_of("3"), 421)
        self.node.wait_for("This node distributes 11 objects of the buckets 0:0")
        self.assertEqual(status(self, self.node.url)["queryNodeStatus"]["generation"], generation.value)
        refused = [each for each in self.query_node.asked(self) if each["status"] != 200]
        self.assertEqual(len(refused), int(generation is Generation.HYDRA), refused)

    def test_current(self) -> None:
        """
        The current generation, under the key of the older.
        """
        self.check(Generation.SQUID, "queryNode")

    def test_older(self) -> None:
        """
        The older generation, under its own key.
        """
        self.check(Generation.HYDRA, "queryNode")

    def test_older_under_the_key_of_the_current(self) -> None:
        """
        The older generation where the current one was expected.
        """
        self.check(Generation.HYDRA, "storageSquid")


class CostTests(NetworkTestCase):
    """
    How often others are asked.
    """

    def test_cold_object(self) -> None:
        """
        Thirty-two who want a cold object of 64 MiB at once cost one query and one GET, and no HEAD; and none of both
        after that.
        """
        content = payload(64 * MIB)
        self.begin({"1": content, "2": content[:MIB]})
        self.start_node()

        def read(number: int) -> bool:
            return get(self, self.asset("1"))[2] == content

        with ThreadPoolExecutor(32) as pool:
            self.assertEqual(list(pool.map(read, range(32))), 32 * [True])
        settled(self, self.node.url)
        self.assert_served("1", "hit")
        self.assertEqual(self.query_node.asked_for(self, "1"), 1)
        self.assertEqual(
            self.requests_of(self.storage),
            [{"method": "GET", "objectId": "1", "range": None, "status": 200, "sent": len(content)}],
        )

    def test_unknown_object(self) -> None:
        """
        Thirty-two who want what there is not cost one query; so it is with what others distribute.
        """
        self.begin(CONTENTS, others=["3"])
        self.start_node()
        for object_id, code in (("99", 404), ("3", 421)):
            with ThreadPoolExecutor(32) as pool:
                self.assertEqual(set(pool.map(self.status_of, 32 * [object_id])), {code})
            self.assertEqual(self.status_of(object_id), code)
            self.assertEqual(self.query_node.asked_for(self, object_id), 1)

    def test_hedged(self) -> None:
        """
        Where a storage node is slow to answer, another one is asked as well: two GETs at most, and no HEAD.
        """
        self.begin(CONTENTS)
        slow = StorageNodeProcess.start(self, folder(self, CONTENTS), args=["--delay", "2000"])
        self.query_node.become(chain([slow.url, self.storage.url], {OURS: list(self.objects.values())}))
        self.start_node()
        for object_id in CONTENTS:
            self.assert_served(object_id, "miss")
        settled(self, self.node.url)
        of_slow, of_fast = self.requests_of(slow), self.requests_of(self.storage)
        self.assertGreater(len(of_slow), 0)
        self.assertEqual({each["method"] for each in of_slow + of_fast}, {"GET"})
        asked = Counter(each["objectId"] for each in of_slow + of_fast)
        self.assertLessEqual(max(asked.values()), 2)
        self.assertEqual({each["objectId"] for each in of_fast}, set(CONTENTS))

    def test_many_cold_objects(self) -> None:
        """
        Each object costs one query and one GET.
        """
        self.begin(CONTENTS)
        self.start_node()
        with ThreadPoolExecutor(12) as pool:
            list(pool.map(self.assert_served, 3 * list(CONTENTS)))
        settled(self, self.node.url)
        self.assertEqual([self.query_node.asked_for(self, each) for each in CONTENTS], 12 * [1])
        asked = sorted((each["method"], each["objectId"]) for each in self.requests_of(self.storage))
        self.assertEqual(asked, sorted(("GET", each) for each in CONTENTS))
