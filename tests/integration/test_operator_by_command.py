"""
A real node, and the command line that its operator has: each command once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.integration.client import ask, read_to_end, settled
from tests.integration.network import OTHERS, OURS, WORKER_ID, eventually, put_json
from tests.integration.operator import SECRET, OperatorTestCase
from tests.upstream import payload

CONTENTS = {str(number): payload(100_000 + number, number) for number in range(1, 5)}

#: What others distribute.
ELSEWHERE = "4"

#: How many commands run at once.
_AT_ONCE = 4


class CommandTests(OperatorTestCase):
    """
    C{python -m distributor}.
    """

    def setUp(self) -> None:
        self.begin(CONTENTS, others=[ELSEWHERE])
        self.start_operated()
        self.secret = self.directory() / "secret"
        self.secret.write_text(SECRET)
        self.url = f"http://127.0.0.1:{self.port}"

    def say(self, *arguments: str | Path) -> str:
        """
        A command to the node.
        """
        return self.command(*arguments, "--url", self.url, "--secret-file", self.secret)

    def say_json(self, *arguments: str | Path) -> Any:
        """
        The same, for programs.
        """
        return json.loads(self.say(*arguments, "--json"))

    def test_look(self) -> None:
        """
        What the commands that look print is what the API tells, and with C{--json} it is that very answer.
        """
        put_json(f"{self.storage.url}/fault", {"flip_at": 0})
        self.assertNotEqual(len(read_to_end(ask(self, self.asset("2")))), len(self.contents["2"]))
        put_json(f"{self.storage.url}/fault", {})
        self.assert_served("1")
        settled(self, self.node.url)
        eventually(self, lambda: self.told("/storage-nodes/faults")["faults"], "it is not recorded")

        commands = {
            ("status",): "test-node",
            ("downloads",): "",
            ("objects",): "complete",
            ("explain", "1"): "verified",
            ("storage-nodes",): self.storage.url,
            ("storage-nodes", "--faults"): "wrong hash",
            ("config",): "operatorApi.hmacSecret",
        }

        def look(arguments: Sequence[str]) -> tuple[str, Any]:
            return self.say(*arguments), self.say_json(*arguments)

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            looked = dict(zip(commands, pool.map(look, commands), strict=True))
        for arguments, part in commands.items():
            self.assertIn(part, looked[arguments][0])
            self.assertNotIn(SECRET, looked[arguments][0])
        told = {" ".join(arguments): answer for arguments, (_, answer) in looked.items()}
        self.assertEqual(told["status"]["id"], "test-node")
        self.assertEqual(told["downloads"], {"downloads": []})
        self.assertEqual(told["objects"], self.told("/objects"))
        self.assertEqual(told["explain 1"]["state"], "complete")
        self.assertEqual(len(told["storage-nodes"]["storageNodes"]), 1)
        self.assertEqual(told["storage-nodes --faults"], self.told("/storage-nodes/faults"))
        self.assertEqual(told["config"], self.told("/config"))

    def test_do(self) -> None:
        """
        What the commands say is done; the last of them ends the node.
        """
        fetched = self.say_json("prefetch", "1", "2")["objects"]
        self.assertEqual(
            [(each["objectId"], each["state"]) for each in fetched], [("1", "complete"), ("2", "complete")]
        )
        self.assert_served("2", "hit")
        self.assertEqual(json.loads(self.say("verify", "--json").splitlines()[-1])["state"], "done")
        self.assertEqual(self.say_json("evict", "2"), {"objectId": "2", "freed": 100_002})
        self.assertEqual(self.say_json("save-cache-state"), {"written": True})
        self.say("stop-api")
        self.assertEqual(self.status_of("1"), 503)
        self.say("start-api")
        self.assert_served("1", "hit")
        self.say("set-worker", str(WORKER_ID + 1))
        eventually(self, lambda: self.status_of(ELSEWHERE) == 200, "another worker's is not served")
        self.say("set-worker", str(WORKER_ID))
        self.say("set-buckets", OTHERS)
        eventually(self, lambda: self.status_of(ELSEWHERE) == 200, "another bucket's is not served")
        self.say("set-buckets", "--all")
        eventually(self, lambda: self.status_of("1") == 200, "its own is not served")
        self.say("shutdown")
        self.assertEqual(self.node.wait(), 0)

    def test_as_argus_spells_it(self) -> None:
        """
        A script that was written for Argus does the same.
        """
        config = self.directory() / "config.yml"
        operated = self.config(id="test-node", operatorApi={"port": self.port, "hmacSecret": SECRET})
        config.write_text(json.dumps(operated))

        def say(*arguments: str) -> None:
            self.command(*arguments, "-y", "-c", config)

        def say_from_afar(*arguments: str) -> None:
            self.command(*arguments, "-u", self.url, "-s", SECRET)

        say("node:stop-public-api")
        self.assertEqual(self.status_of("1"), 503)
        say_from_afar("node:start-public-api")
        self.assert_served("1")
        say_from_afar("node:set-worker", "-w", str(WORKER_ID + 1))
        eventually(self, lambda: self.status_of(ELSEWHERE) == 200, "another worker's is not served")
        say("node:set-buckets", "-B", OURS, OTHERS)
        eventually(
            self, lambda: {self.status_of("1"), self.status_of(ELSEWHERE)} == {200}, "not both buckets are served"
        )
        say("node:set-buckets", "-a")
        eventually(self, lambda: self.status_of("1") == 421, "all buckets of the other worker are not served")
        say("node:shutdown")
        self.assertEqual(self.node.wait(), 0)
