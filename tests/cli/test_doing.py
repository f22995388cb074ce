"""
Tests for L{distributor.cli.doing} and L{distributor.cli.argus}: the commands that change something.
"""

from __future__ import annotations

import json
from typing import ClassVar

from distributor.cli.prefetching import AT_ONCE
from tests.cli import samples
from tests.cli.commands import CommandTestCase
from tests.cli.operator_api import SECRET

_IDLE = {"queued": 0, "running": [], "done": 0, "failed": 0, "failures": []}


def outcomes(**states: str) -> dict[str, object]:
    """
    What C{POST /prefetch} answers; names are C{o} and the id.
    """
    return {"objects": [{"objectId": name[1:], "state": state} for name, state in states.items()]}


class OneRequestTests(CommandTestCase):
    """
    Commands that are one request.
    """

    def test_save_cache_state(self) -> None:
        """
        Whether it was written, or there was no need.
        """
        self.api.answer("POST /save-cache-state", {"written": True}, {"written": False})
        self.assert_said(self.run_command("save-cache-state"), "cache.json is written")
        self.assert_said(self.run_command("save-cache-state"), "nothing has changed since cache.json was written")

    def test_what_is_asked_and_said(self) -> None:
        """
        Ours, and as Argus spells them.
        """
        for expected, request, body, spellings in (
            (
                "the public API is stopped: viewers get 503",
                "POST /stop-api",
                {},
                (("stop-api",), ("node:stop-public-api",)),
            ),
            ("the public API is open", "POST /start-api", {}, (("start-api",), ("node:start-public-api",))),
            ("the node is shutting down", "POST /shutdown", {}, (("shutdown",), ("node:shutdown", "-y"))),
            (
                "the node is worker 3 until its next start",
                "POST /set-worker",
                {"workerId": 3},
                (("set-worker", "3"), ("node:set-worker", "-w", "3"), ("node:set-worker", "--workerId=3", "--yes")),
            ),
            (
                "the node distributes 0:1, 0:2 until its next start",
                "POST /set-buckets",
                {"buckets": ["0:1", "0:2"]},
                (
                    ("set-buckets", "0:1", "0:2"),
                    ("node:set-buckets", "-B", "0:1", "-B", "0:2"),
                    ("node:set-buckets", "-B", "0:1", "0:2"),
                    ("node:set-buckets", "--bucketIds", "0:1", "--bucketIds=0:2"),
                ),
            ),
            (
                "the node distributes all buckets of its worker until its next start",
                "POST /set-buckets",
                {},
                (
                    ("set-buckets", "--all"),
                    ("set-buckets", "-a"),
                    ("node:set-buckets", "-a"),
                    ("node:set-buckets", "--all"),
                ),
            ),
        ):
            self.api.answer(request, {})
            for spelling in spellings:
                self.assert_said(self.run_command(*spelling), expected)
                self.assertEqual(self.api.asked[-1].body, body)
                self.assert_said(self.run_command(*spelling, "--json"), "{}")
            self.assertEqual(self.api.calls, [request] * 2 * len(spellings))
            self.api.asked.clear()

    def test_where_argus_looks(self) -> None:
        """
        C{-u}, C{-s} and C{-c} or C{--configPath} mean the same as there.
        """
        self.api.answer("POST /stop-api", {})
        said = "the public API is stopped: viewers get 503"
        self.assert_said(self.run_alone("node:stop-public-api", "-u", self.api.url, "-s", SECRET), said)
        path = self.mktemp()
        port = int(self.api.url.rpartition(":")[2])
        document = {"id": "me", "catalogue": {"manifest": "m"}, "operatorApi": {"port": port, "hmacSecret": SECRET}}
        with open(path, "w") as file:
            json.dump(document, file)
        self.assert_said(self.run_alone("node:stop-public-api", "-c", path), said)
        self.assert_said(self.run_alone("node:stop-public-api", "--configPath", path), said)
        self.assert_said(self.run_alone("stop-api", "--config", path), said)

    def test_already_so(self) -> None:
        """
        What a node says no to is one line on stderr, and exit status 1.
        """
        self.api.answer("POST /stop-api", {"type": "already_stopped", "message": "It is stopped"}, status=409)
        self.assert_failed(self.run_command("stop-api"), "the node answers 409: It is stopped")
        self.assert_failed(self.run_command("stop-api", "--json"), "the node answers 409: It is stopped")

    def test_wrong_usage(self) -> None:
        """
        Exit status 2, and nothing is asked.
        """
        for arguments in (
            ("set-worker",),
            ("set-worker", "-1"),
            ("set-worker", "x"),
            ("set-buckets",),
            ("set-buckets", "--all", "0:1"),
            ("node:set-worker",),
            ("node:set-buckets",),
            ("node:set-buckets", "-a", "-B", "0:1"),
            ("evict",),
            ("evict", "x"),
            ("prefetch",),
            ("prefetch", "7", "--cancel"),
            ("verify", "--rate", "fast"),
            ("verify", "--rate", "0M"),
            ("verify", "--stop", "--rate", "5M"),
        ):
            result = self.run_command(*arguments)
            self.assertEqual((result.exit_code, result.stdout), (2, ""), arguments)
        self.assertEqual(self.api.asked, [])


class EvictTests(CommandTestCase):
    """
    C{evict}.
    """

    def test_several(self) -> None:
        """
        One that cannot be deleted does not keep the others.
        """
        self.api.answer("DELETE /objects/7", {"objectId": "7", "freed": 1048576})
        self.api.answer("DELETE /objects/8", {"type": "object_downloading", "message": "It comes"}, status=409)
        self.api.answer("DELETE /objects/9", {"objectId": "9", "freed": 0})
        result = self.run_command("evict", "7", "8", "9")
        self.assertEqual(result.stdout, "object 7: 1.0 MiB freed\nobject 9: 0 B freed\n")
        self.assertEqual(result.stderr, "distributor: object 8: the node answers 409: It comes\n")
        self.assertEqual(result.exit_code, 1)
        result = self.run_command("evict", "7", "8", "9", "--json")
        freed = [json.loads(line)["freed"] for line in result.stdout.splitlines()]
        self.assertEqual((freed, result.exit_code), ([1048576, 0], 1))

    def test_all_well(self) -> None:
        """
        Exit status 0.
        """
        self.api.answer("DELETE /objects/7", {"objectId": "7", "freed": 1})
        self.assert_said(self.run_command("evict", "7"), "object 7: 1 B freed")

    def test_trouble_that_concerns_all(self) -> None:
        """
        When the node ends, or is too old, or has another secret, the others are not tried.
        """
        for status, type in ((401, "unauthorized"), (409, "shutting_down"), (503, "starting")):
            self.api.answers.clear()
            self.api.asked.clear()
            self.api.answer("DELETE /objects/7", {"type": type, "message": "no"}, status=status)
            self.assertEqual(self.run_command("evict", "7", "8").exit_code, 1)
            self.assertEqual(self.api.calls, ["DELETE /objects/7"])
        self.api.answers.clear()
        self.api.asked.clear()
        self.assertIn("older than this program", self.run_command("evict", "7", "8").stderr)
        self.assertEqual(self.api.calls, ["DELETE /objects/7"])


class PrefetchTests(CommandTestCase):
    """
    C{prefetch}.
    """

    def test_waits(self) -> None:
        """
        Until all have come; without a terminal, with a line when there is news.
        """
        self.api.answer("GET /prefetch", _IDLE, {**_IDLE, "running": ["7"]}, _IDLE)
        self.api.answer("GET /downloads", samples.DOWNLOADS)
        self.api.answer("POST /prefetch", outcomes(o7="started", o8="complete"), outcomes(o7="complete"))
        self.assert_said(
            self.run_command("prefetch", "7", "8"),
            "all  50 %  1 of 2 objects",
            "object 7  filling  14 %  700.0 MiB, 8.0 MiB/s, 1 min 15 s left, 2 readers",
            "all  100 %  2 of 2 objects",
            "object 7: complete",
            "object 8: complete",
        )
        posted = [asked.body for asked in self.api.asked if asked.method == "POST"]
        self.assertEqual(posted, [{"objects": ["7", "8"]}, {"objects": ["7"]}])

    def test_failures(self) -> None:
        """
        One that does not come is said not to, at the end as well, and is not asked for again.
        """
        failure = {"objectId": "7", "state": "refused", "message": "no storage node"}
        self.api.answer("GET /prefetch", _IDLE, {**_IDLE, "failed": 1, "failures": [failure]})
        self.api.answer("GET /downloads", {"downloads": []})
        self.api.answer("POST /prefetch", outcomes(o7="started", o8="unknown"))
        result = self.run_command("prefetch", "7", "8")
        self.assertEqual(result.stdout.splitlines()[-2:], ["object 7: refused: no storage node", "object 8: unknown"])
        self.assertEqual((result.exit_code, result.stderr), (1, ""))
        self.assertEqual(self.api.calls.count("POST /prefetch"), 1)

    def test_json(self) -> None:
        """
        What has become of all, once that is known.
        """
        self.api.answer("GET /prefetch", _IDLE)
        self.api.answer("GET /downloads", {"downloads": []})
        self.api.answer("POST /prefetch", outcomes(o7="queued"), outcomes(o7="complete"))
        self.assert_said(self.run_command("prefetch", "7", "--json"), json.dumps(outcomes(o7="complete")))

    def test_does_not_wait(self) -> None:
        """
        C{--no-wait} says how it stands.
        """
        self.api.answer("POST /prefetch", outcomes(o7="started", o8="queued"))
        self.assert_said(
            self.run_command("prefetch", "7", "8", "7", "--no-wait"), "object 7: started", "object 8: queued"
        )
        self.assertEqual(self.api.asked[0].body, {"objects": ["7", "8"]})
        self.assertEqual((self.api.calls, self.pauses), (["POST /prefetch"], []))

    def test_many(self) -> None:
        """
        More than fit into a request are several requests.
        """
        self.api.answer("POST /prefetch", {"objects": []})
        self.run_command("prefetch", "--no-wait", *map(str, range(AT_ONCE + 1)))
        self.assertEqual(self.api.calls, ["POST /prefetch"] * 2)

    def test_interrupted(self) -> None:
        """
        Ctrl-C ends the waiting, and nothing else.
        """
        self.api.answer("GET /prefetch", _IDLE)
        self.api.answer("GET /downloads", {"downloads": []})
        self.api.answer("POST /prefetch", outcomes(o7="started"))
        self.interrupt_after = 1
        self.assertEqual(self.run_command("prefetch", "7").exit_code, 130)
        self.assertEqual(self.api.calls[-1], "GET /downloads")

    def test_cancel(self) -> None:
        """
        C{--cancel} takes back what has not begun.
        """
        self.api.answer("DELETE /prefetch", _IDLE)
        self.assert_said(self.run_command("prefetch", "--cancel"), "none of those that waited will be begun")
        self.assert_said(self.run_command("prefetch", "--cancel", "--json"), json.dumps(_IDLE))


class VerifyTests(CommandTestCase):
    """
    C{verify}.
    """

    good: ClassVar = {**samples.VERIFIED, "bad": []}
    summary = "done: 1204 of 1204 objects, 68.4 GiB of 68.4 GiB, "

    def test_to_the_end(self) -> None:
        """
        It waits while the state is C{running}, and sums up.
        """
        self.api.answer("POST /verify", samples.VERIFYING)
        self.api.answer("GET /verify", samples.VERIFYING, self.good)
        self.assert_said(
            self.run_command("verify", "--rate", "50M"),
            "verifying  29 %  300 of 1204 objects, 12 min 54 s left",
            "verifying  100 %  1204 of 1204 objects",
            self.summary + "0 bad",
        )
        self.assertEqual(self.api.asked[0].body, {"bytesPerSecond": 50 * 1024**2})
        self.assertEqual(self.pauses, [1.0, 1.0])

    def test_usual_rate(self) -> None:
        """
        Without C{--rate}, the node chooses.
        """
        self.api.answer("POST /verify", self.good)
        self.assert_said(self.run_command("verify", "--json"), json.dumps(self.good))
        self.assertEqual(self.api.asked[0].body, {})

    def test_something_is_bad(self) -> None:
        """
        What is bad is listed, and the exit status says so.
        """
        self.api.answer("POST /verify", samples.VERIFIED)
        result = self.run_command("verify")
        self.assertEqual(
            result.stdout.splitlines()[-2:],
            [
                self.summary + "1 bad",
                f"object 9 is bad, removed: expected {samples.HASH}, got {samples.OTHER_HASH}",
            ],
        )
        self.assertEqual(result.exit_code, 1)

    def test_stopped_by_somebody_else(self) -> None:
        """
        One that did not come to its end has proved nothing.
        """
        self.api.answer("POST /verify", {**self.good, "state": "stopped"})
        self.assertEqual(self.run_command("verify").exit_code, 1)

    def test_interrupted(self) -> None:
        """
        Ctrl-C stops the node's work, too, and says how far it was.
        """
        self.api.answer("POST /verify", samples.VERIFYING)
        self.api.answer("DELETE /verify", {**samples.VERIFYING, "state": "stopped"})
        self.interrupt_after = 1
        result = self.run_command("verify")
        self.assertEqual(result.stdout.splitlines()[-1], "stopped: 300 of 1204 objects, 20.0 GiB of 68.4 GiB, 0 bad")
        self.assertEqual((result.exit_code, self.api.calls), (130, ["POST /verify", "DELETE /verify"]))

    def test_beside_it(self) -> None:
        """
        To begin, to look and to stop are possible apart, from scripts.
        """
        for arguments, request in (
            ("--no-wait", "POST /verify"),
            ("--status", "GET /verify"),
            ("--stop", "DELETE /verify"),
        ):
            self.api.answer(request, samples.VERIFYING)
            self.assert_said(
                self.run_command("verify", arguments), "running: 300 of 1204 objects, 20.0 GiB of 68.4 GiB, 0 bad"
            )
        self.assertEqual(self.pauses, [])
