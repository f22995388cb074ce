"""
The operator's API of a real node, over a real port.
"""

from __future__ import annotations

import contextlib
import json
import time
from functools import partial
from http.client import HTTPConnection, IncompleteRead
from pathlib import Path

from tests.integration.client import ask, get, read_to_end, settled, status
from tests.integration.network import OTHERS, OURS, WORKER_ID, eventually, put_json
from tests.integration.operator import SECRET, OperatorTestCase, call
from tests.integration.process import PATIENCE_S
from tests.upstream import payload

CONTENTS = {str(number): payload(100_000 + number, number) for number in range(1, 5)}

#: What others distribute.
ELSEWHERE = "4"


class DoorTests(OperatorTestCase):
    """
    Who is let in where.
    """

    def test_stop_and_start(self) -> None:
        """
        While the operator has stopped the public API, objects are answered with 503, and C{/status} as always; what is
        so already is a conflict.
        """
        self.begin(CONTENTS)
        self.start_operated()
        self.assert_served("1")
        self.do("POST", "/stop-api")
        code, answer, body = get(self, self.asset("1"))
        self.assertEqual((code, json.loads(body)["type"]), (503, "api_stopped"))
        self.assertGreater(int(answer.headers["Retry-After"]), 0)
        self.assertEqual(get(self, f"{self.node.url}/readyz")[0], 503)
        self.assertEqual(status(self, self.node.url)["id"], "test-node")
        again = self.operator("POST", "/stop-api")
        self.assertEqual((again.status, again.type), (409, "already_stopped"))
        self.assertEqual(self.told("/status")["publicApi"], "stopped")
        self.do("POST", "/start-api")
        self.assert_served("1", "hit")
        again = self.operator("POST", "/start-api")
        self.assertEqual((again.status, again.type), (409, "already_started"))
        self.assertEqual(self.told("/status")["publicApi"], "running")

    def test_shutdown(self) -> None:
        """
        The node is told to end while it answers: the answer comes to its end, who asks again is told of it, and the
        process ends with status 0.
        """
        self.begin({"1": payload(40_000_000)})
        self.start_operated()
        self.assert_served("1")
        answer = ask(self, self.asset("1"), receive_buffer=4096)
        self.do("POST", "/shutdown")
        again = self.operator("POST", "/shutdown")
        self.assertEqual((again.status, again.type), (409, "shutting_down"))
        self.assertTrue(answer.read() == self.contents["1"], "other bytes")
        self.assertEqual(self.node.wait(), 0)

    def test_tokens(self) -> None:
        """
        Whoever has not the secret, or wants to use a token for something else, too late, or again, gets 401, and
        nothing is done.
        """
        self.begin(CONTENTS)
        self.start_operated()
        path, now = "/api/v1/stop-api", int(time.time())
        refused = {
            "none": None,
            "no token": "nonsense",
            "another secret": self.token(path, secret="another secret that is as long as it"),
            "another algorithm": self.token(path, algorithm="HS384"),
            "no algorithm": self.token(path, secret="", algorithm="none"),
            "too old": self.token(path, iat=now - 335),
            "from the future": self.token(path, iat=now + 90),
            "undated": self.token(path, iat="now"),
            "another address": self.token("/api/v1/start-api"),
            "another query": self.token(f"{path}?x=1"),
            "another body": self.token(path, {"workerId": 3}),
        }
        for what, token in refused.items():
            answered = call(self.port, "POST", path, token=token)
            self.assertEqual((answered.status, answered.type), (401, "unauthorized"), what)
            self.assertEqual(answered.headers["WWW-Authenticate"], "Bearer", what)
            self.assertNotIn(SECRET, json.dumps(answered.body))
        self.assertEqual(self.told("/status")["publicApi"], "running")
        used = self.token("/api/v1/set-worker", {"workerId": WORKER_ID})
        codes = [
            call(self.port, "POST", "/api/v1/set-worker", {"workerId": worker}, used).status
            for worker in (7, WORKER_ID, WORKER_ID)
        ]
        self.assertEqual(codes, [401, 200, 401])
        # The clocks may differ a little, and a request may take a while.
        for at in (now + 20, now - 270):
            answered = call(self.port, "GET", "/api/v1/status", token=self.token("/api/v1/status", iat=at))
            self.assertEqual(answered.status, 200)
        self.assertNotIn(SECRET, self.node.log())

    def test_wrong_requests(self) -> None:
        """
        Who has signed what makes no sense is told so; the connection stays for what does.
        """
        self.begin(CONTENTS)
        self.start_operated()
        for method, path, body, expected in (
            ("GET", "/nothing", None, 404),
            ("PUT", "/status", None, 405),
            ("GET", "/objects?limit=0", None, 400),
            ("GET", "/explain/x1", None, 404),
            ("POST", "/prefetch", {"objects": "1"}, 400),
            ("DELETE", "/objects/3", None, 404),
        ):
            self.assertEqual(self.operator(method, path, body).status, expected, f"{method} {path}")
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        self.addCleanup(connection.close)
        for path in ("/api/v1/status", "/healthz", "/api/v1/openapi.json"):
            connection.request("GET", path, headers={"Authorization": f"Bearer {self.token(path)}"})
            answer = connection.getresponse()
            answer.read()
            self.assertEqual(answer.status, 200, path)


class ScopeTests(OperatorTestCase):
    """
    What the node distributes, as the operator says.
    """

    def test_buckets_and_worker(self) -> None:
        """
        C{set-buckets} and C{set-worker} take effect as soon as the query node has answered.
        """
        self.begin(CONTENTS, others=[ELSEWHERE])
        self.start_operated()
        self.assert_serves("1", ELSEWHERE)
        self.assert_distributes({"allByWorkerId": WORKER_ID})
        self.do("POST", "/set-buckets", {"buckets": [OTHERS]})
        self.assert_distributes({"bucketIds": [OTHERS]})
        self.assert_serves(ELSEWHERE, "1")
        self.do("POST", "/set-buckets", {})
        self.assert_serves("1", ELSEWHERE)
        self.do("POST", "/set-worker", {"workerId": WORKER_ID + 1})
        self.assert_distributes({"allByWorkerId": WORKER_ID + 1})
        self.assert_serves(ELSEWHERE, "1")
        self.do("POST", "/set-buckets", {"buckets": [OURS, OTHERS]})
        eventually(self, lambda: {self.status_of("1"), self.status_of(ELSEWHERE)} == {200}, "not both are served")
        for wrong in ('{"buckets": []}', '{"buckets": [{}]}', '{"bucket": ["0:1"]}'):
            self.assertEqual(self.operator("POST", "/set-buckets", json.loads(wrong)).status, 400, wrong)
        self.assertEqual(self.operator("POST", "/set-worker", {"workerId": "3"}).status, 400)

    def assert_serves(self, object_id: str, other: str) -> None:
        """
        The node serves the one, and not the other.
        """
        eventually(self, lambda: self.status_of(object_id) == 200, f"object {object_id} is not served")
        eventually(self, lambda: self.status_of(other) == 421, f"object {other} is served")

    def assert_distributes(self, expected: object) -> None:
        """
        What the public API says of it.
        """
        self.assertEqual(json.loads(get(self, f"{self.node.url}/api/v1/buckets")[2]), expected)


class ObjectTests(OperatorTestCase):
    """
    What is done with objects.
    """

    def test_objects(self) -> None:
        """
        They are fetched before anybody asks, listed in pages, explained, verified, and deleted.
        """
        self.begin(CONTENTS, others=[ELSEWHERE])
        node = self.start_operated()
        asked = self.do("POST", "/prefetch", {"objects": ["1", "2", "99", ELSEWHERE]})["objects"]
        states = {each["objectId"]: each["state"] for each in asked}
        self.assertEqual((states["99"], states[ELSEWHERE]), ("unknown", "refused"))
        self.assertLessEqual({states["1"], states["2"]}, {"started", "queued", "complete"})
        eventually(self, lambda: settled(self, node.url)["objectsInCache"] == 2, "they do not come")
        self.assert_served("1", "hit")
        self.check_pages()
        self.check_explanations()

        (node.data_dir / "assets" / "2").write_bytes(bytes(100_002))
        self.do("POST", "/verify", {})
        eventually(self, lambda: self.told("/verify")["state"] == "done", "it is verified for ever")
        verified = self.told("/verify")
        self.assertEqual([each["objectId"] for each in verified["bad"]], ["2"])
        self.assertEqual((verified["checked"], verified["bytes"]), (2, 200_003))
        self.assert_served("2", "miss")

        settled(self, node.url)
        self.assertEqual(self.do("DELETE", "/objects/1"), {"objectId": "1", "freed": 100_001})
        gone = self.operator("DELETE", "/objects/1")
        self.assertEqual((gone.status, gone.type), (404, "object_not_found"))
        self.assertFalse((node.data_dir / "assets" / "1").exists())
        self.assertEqual(self.told("/explain/1")["lastEviction"]["reason"], "the operator wanted it")
        self.assert_served("1", "miss")

    def check_pages(self) -> None:
        """
        The objects 1 and 2, one by one.
        """
        page = self.told("/objects?limit=1")
        self.assertEqual([each["objectId"] for each in page["objects"]], ["1"])
        self.assertEqual(page["next"], "1")
        rest = self.told("/objects?after=1&limit=5")
        self.assertIsNone(rest["next"])
        [second] = rest["objects"]
        expected = {"objectId": "2", "size": 100_002, "present": 100_002, "state": "complete"}
        self.assertEqual(second, second | expected | {"contentHash": str(self.objects["2"].content_hash)})

    def check_explanations(self) -> None:
        """
        Of an object that is here, one that is elsewhere, and one that is nowhere.
        """
        here = self.told("/explain/1")
        self.assertEqual((here["state"], here["distributedHere"], here["extents"]), ("complete", True, [[0, 100_001]]))
        self.assertEqual((here["verification"], here["size"]), ("verified", 100_001))
        self.assertIn(OURS, here["why"])
        self.assertGreaterEqual(here["catalogue"]["ageS"], 0)
        [storage_node] = here["storageNodes"]
        self.assertIn(self.storage.url, storage_node["endpoint"])
        self.assertEqual(storage_node["breaker"], "closed")
        elsewhere = self.told(f"/explain/{ELSEWHERE}")
        self.assertEqual((elsewhere["state"], elsewhere["distributedHere"]), ("absent", False))
        self.assertIn(OTHERS, elsewhere["why"])
        self.assertEqual(self.told("/explain/99")["catalogue"]["state"], "not found")

    def test_while_it_comes(self) -> None:
        """
        What is being downloaded is shown, explained, and cannot be deleted.
        """
        self.begin({"1": payload(4_000_000)}, rate=1_000_000)
        self.start_operated()
        answer = ask(self, self.asset("1"))
        answer.read(100_000)
        [shown] = self.told("/downloads")["downloads"]
        self.assertEqual((shown["objectId"], shown["size"], shown["readers"]), ("1", 4_000_000, 1))
        explained = self.told("/explain/1")
        self.assertEqual((explained["state"], explained["readers"]), ("downloading", 1))
        refused = self.operator("DELETE", "/objects/1")
        self.assertEqual((refused.status, refused.type), (409, "object_downloading"))
        answer.close()


class EvidenceTests(OperatorTestCase):
    """
    What the node knows of others, and of itself.
    """

    def test_faults(self) -> None:
        """
        Each wrong hash, wrong length and early end is recorded with what was expected and what came; it is there after
        a restart, too.
        """
        self.begin(CONTENTS)
        node = self.start_operated()
        for fault, object_id in (
            ({"flip_at": 7}, "1"),
            ({"content_length": 100}, "2"),
            ({"cut": {"after": 50_000, "ending": "close"}}, "3"),
        ):
            put_json(f"{self.storage.url}/fault", fault)
            with contextlib.suppress(IncompleteRead):
                read_to_end(ask(self, self.asset(object_id)))
            eventually(self, partial(self.fault_of, object_id), f"{fault} is not recorded")
        put_json(f"{self.storage.url}/fault", {})
        wrong, short, early = (self.fault_of(object_id) or {} for object_id in "123")
        self.assertEqual((wrong["kind"], wrong["expected"]), ("wrong_hash", str(self.objects["1"].content_hash)))
        self.assertRegex(str(wrong["got"]), r"^gW\w{44}$")
        self.assertNotEqual(wrong["got"], wrong["expected"])
        self.assertEqual((wrong["bucket"], wrong["bytes"]), ("0", 100_001))
        self.assertLess(abs(float(str(wrong["at"])) - time.time()), PATIENCE_S)
        self.assertEqual([short[name] for name in ("kind", "expected", "got")], ["wrong_length", "100002", "100"])
        self.assertEqual([early[name] for name in ("kind", "expected", "got")], ["early_end", "100003", "50000"])
        [known] = self.told("/storage-nodes")["storageNodes"]
        self.assertEqual({each["endpoint"] for each in (wrong, short, early)}, {known["endpoint"]})
        self.assertGreater(known["lies"], 0)
        self.assertIsNotNone(known["lastError"])
        self.assertGreaterEqual(self.metric("storage_node_faults_total", kind="wrong_hash"), 1)
        node.stop()
        self.start_operated(node.data_dir)
        self.assertEqual([self.fault_of(object_id) for object_id in "123"], [wrong, short, early])

    def fault_of(self, object_id: str) -> dict[str, object] | None:
        """
        The first fault that is recorded of an object.
        """
        faults = self.told("/storage-nodes/faults?limit=1000")["faults"]
        return next((each for each in reversed(faults) if each["objectId"] == object_id), None)

    def test_metrics(self) -> None:
        """
        Prometheus' library reads them, and they agree with what was asked; no token is needed.
        """
        self.begin(CONTENTS, others=[ELSEWHERE])
        node = self.start_operated(limits={"storage": "2M"})
        for _ in range(3):
            self.assert_served("1")
            settled(self, node.url)
        self.assertEqual(get(self, self.asset("1"), {"Range": "bytes=0-9"})[0], 206)
        refusals = [get(self, self.asset(each)) for each in ("99", ELSEWHERE)]
        self.assertEqual([code for code, _, _ in refusals], [404, 421])
        for name, labels, value in (
            ("requests_total", {"cache": "miss", "status": "200"}, 1),
            ("requests_total", {"cache": "hit", "status": "200"}, 2),
            ("requests_total", {"cache": "hit", "status": "206"}, 1),
            ("requests_total", {"cache": "none", "status": "404"}, 1),
            ("requests_total", {"cache": "none", "status": "421"}, 1),
            ("sent_bytes_total", {}, 3 * 100_001 + 10 + sum(len(body) for _, _, body in refusals)),
            ("received_bytes_total", {}, 100_001),
            ("storage_node_requests_total", {"outcome": "answered"}, 1),
            ("downloads_ended_total", {"outcome": "finished"}, 1),
            ("downloads_ended_total", {"outcome": "failed"}, 0),
            ("catalogue_up", {}, 1),
            ("store_objects", {}, 1),
            ("store_used_bytes", {}, 100_001),
            ("store_limit_bytes", {}, 2 * 1024 * 1024),
            ("first_byte_seconds_count", {}, 4),
            ("storage_nodes", {"breaker": "closed"}, 1),
            ("evictions_total", {}, 0),
        ):
            self.assertEqual(self.metric(name, **labels), value, f"{name} {labels}")
        eventually(
            self,
            lambda: self.metric("catalogue_requests_total", outcome="answered") == len(self.query_node.asked(self)),
            "the query node has counted otherwise",
        )
        # Not on the public port, unless configured.
        self.assertEqual(get(self, f"{node.url}/metrics")[0], 404)

    def test_evictions(self) -> None:
        """
        What is deleted to make room is counted, and told of; on the public port, too, where that is configured.
        """
        self.begin({str(number): payload(400_000, number) for number in (1, 2, 3)})
        node = self.start_operated(limits={"storage": "1M"}, publicApi={"metrics": True})
        for object_id in "123":
            self.assert_served(object_id)
            settled(self, node.url)
        self.assertEqual((self.metric("evictions_total"), self.metric("evicted_bytes_total")), (1, 400_000))
        self.assertEqual(self.told("/explain/1")["lastEviction"]["reason"], "object 3 needed its room")
        code, answer, body = get(self, f"{node.url}/metrics")
        self.assertEqual((code, answer.headers.get_content_type()), (200, "text/plain"))
        self.assertIn(b"distributor_evictions_total 1.0", body)

    def test_configuration(self) -> None:
        """
        Each value is there with its origin, and no secret.
        """
        self.begin(CONTENTS)
        self.start_operated(endpoints={"queryNode": f"{self.query_node.url}?token=hidden"}, keys=[{"suri": "//hidden"}])
        told = self.told("/config")["config"]
        rows = {each["key"]: (each["value"], each["origin"]) for each in told}
        self.assertEqual(rows["operatorApi.hmacSecret"][0], "(hidden)")
        self.assertEqual(rows["workerId"][0], WORKER_ID)
        self.assertEqual(rows["limits.drainTimeoutSec"], (30, "default"))
        self.assertTrue(Path(rows["workerId"][1]).is_absolute())
        text = json.dumps(told) + self.node.log() + json.dumps(status(self, self.node.url))
        for secret in (SECRET, "token=hidden", "//hidden"):
            self.assertNotIn(secret, text)
