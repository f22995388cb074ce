"""
Tests for L{distributor.cli.looking}: the commands that change nothing.
"""

from __future__ import annotations

import json
from pathlib import Path

from distributor.cli.looking import MOST_ROWS
from tests.cli import samples
from tests.cli.commands import CommandTestCase


class JSONTests(CommandTestCase):
    """
    C{--json}: the answer of the API, and nothing else.
    """

    def test_every_command(self) -> None:
        """
        One request, whose answer is one line.
        """
        for arguments, request in (
            (("status",), "GET /status"),
            (("downloads",), "GET /downloads"),
            (("explain", "7"), "GET /explain/7"),
            (("objects",), "GET /objects"),
            (("objects", "--after", "7", "--limit", "3"), "GET /objects?after=7&limit=3"),
            (("storage-nodes",), "GET /storage-nodes"),
            (("storage-nodes", "--faults"), "GET /storage-nodes/faults"),
            (("storage-nodes", "--faults", "--limit", "9"), "GET /storage-nodes/faults?limit=9"),
            (("config",), "GET /config"),
        ):
            answer = {"whatever": [request, "\x1b[31m", "ä"]}
            self.api.answer(request, answer)
            result = self.run_command(*arguments, "--json")
            self.assert_said(result, json.dumps(answer))
            self.assertEqual(self.api.calls.pop(), request)
            self.assertTrue(result.stdout.isascii())


class LookingTests(CommandTestCase):
    """
    What is shown to people; how it looks is shown in L{tests.cli.test_views}.
    """

    def test_one_row_is_one_line(self) -> None:
        """
        In a pipe, nothing is broken into lines or left out, and there are neither colours nor spaces at the end.
        """
        long = "https://example.org/" + "x" * 300
        node = {**samples.NODES["storageNodes"][1], "endpoint": long}
        self.api.answer("GET /storage-nodes", {"storageNodes": [node]})
        lines = self.run_command("storage-nodes").stdout.splitlines()
        self.assertIn(long, lines[1])
        self.assertEqual(lines, [line.rstrip() for line in lines])
        self.api.answer("GET /storage-nodes/faults", samples.FAULTS)
        shown = self.run_command("storage-nodes", "--faults").stdout
        self.assertIn(samples.OTHER_HASH, shown)
        self.assertNotIn("\x1b", shown)

    def test_status_and_explanation(self) -> None:
        """
        These are lists of facts.
        """
        self.api.answer("GET /status", samples.STATUS)
        self.assertIn("my-node, version 0.1.0, up 3 d 3 h\n", self.run_command("status").stdout)
        self.api.answer("GET /explain/7", samples.EXPLANATION)
        self.assertIn("is in 0:1, of the buckets of worker 3\n", self.run_command("explain", "7").stdout)
        self.api.answer("GET /config", samples.CONFIG)
        self.assertIn("limits.storage", self.run_command("config").stdout)

    def test_ids(self) -> None:
        """
        What is no id is not asked for.
        """
        for id in ("-1", "007", "x", "../status", "1" * 21):
            result = self.run_command("explain", "--", id)
            self.assertEqual((result.exit_code, result.stdout), (2, ""))
            result = self.run_command("objects", f"--after={id}")
            self.assertIn("is not the id of a data object", result.stderr)
        self.assertEqual(self.api.asked, [])

    def test_limits(self) -> None:
        """
        What a node would refuse is refused here.
        """
        for arguments in (
            ("objects", "--limit", "0"),
            ("objects", "--limit", "1001"),
            ("storage-nodes", "--limit", "5"),
        ):
            self.assertEqual(self.run_command(*arguments).exit_code, 2)
        self.assertEqual(self.api.asked, [])


class ObjectsTests(CommandTestCase):
    """
    C{objects}, page by page.
    """

    def setUp(self) -> None:
        super().setUp()
        row = samples.OBJECTS["objects"][0]
        self.api.answer("GET /objects", {"objects": [row], "next": "3"})
        self.api.answer(f"GET /objects?limit={MOST_ROWS}", {"objects": [row], "next": "3"})
        self.api.answer(f"GET /objects?after=3&limit={MOST_ROWS}", {"objects": [{**row, "objectId": "4"}], "next": "4"})
        self.api.answer(f"GET /objects?after=4&limit={MOST_ROWS}", {"objects": [], "next": None})

    def test_one_page(self) -> None:
        """
        It is said that there are more, beside what could be processed.
        """
        result = self.run_command("objects")
        self.assertEqual(result.stderr, "There are more: --after 3, or --all.\n")
        self.assertEqual(len(result.stdout.splitlines()), 2)
        self.assertEqual(self.run_command("objects", "--json").stderr, "")

    def test_all_pages(self) -> None:
        """
        One table with one heading, however many pages it takes.
        """
        result = self.run_command("objects", "--all")
        self.assertEqual(result.stderr, "")
        self.assertEqual([line.split()[0] for line in result.stdout.splitlines()], ["object", "3", "4"])

    def test_all_pages_as_json(self) -> None:
        """
        A line for each page, so that no more than one has to be held.
        """
        result = self.run_command("objects", "--all", "--json")
        pages = [json.loads(line) for line in result.stdout.splitlines()]
        self.assertEqual([page["next"] for page in pages], ["3", "4", None])

    def test_no_progress(self) -> None:
        """
        A node that always gives the same page is not asked for ever.
        """
        self.api.answers.clear()
        self.api.answer("GET /objects?after=3&limit=1", {"objects": [], "next": "3"})
        self.run_command("objects", "--all", "--after", "3", "--limit", "1")
        self.assertEqual(len(self.api.asked), 1)


class DownloadsTests(CommandTestCase):
    """
    C{downloads}.
    """

    def test_once(self) -> None:
        """
        A table, with storage nodes, since a pipe is as wide as one likes.
        """
        self.api.answer("GET /downloads", samples.DOWNLOADS)
        self.assertIn(samples.FAST, self.run_command("downloads").stdout)
        self.assertEqual(self.pauses, [])

    def test_watch(self) -> None:
        """
        It goes on until ctrl-C; without a terminal, there is a line when there is news.
        """
        self.api.answer("GET /downloads", samples.DOWNLOADS, samples.DOWNLOADS, {"downloads": []})
        self.interrupt_after = 4
        result = self.run_command("downloads", "--watch", "--interval", "2.5")
        self.assertEqual(
            result.stdout.splitlines(),
            [
                "object 7  filling  14 %  700.0 MiB, 8.0 MiB/s, 1 min 15 s left, 2 readers",
                "object 12045  queued  0 %  3.0 MiB, queued, 1 reader",
                "nothing is being downloaded",
            ],
        )
        self.assertEqual((result.exit_code, result.stderr), (130, "\n"))
        self.assertEqual(self.pauses, [2.5] * 4)

    def test_watch_as_json(self) -> None:
        """
        A line for each look.
        """
        self.api.answer("GET /downloads", samples.DOWNLOADS, {"downloads": []})
        self.interrupt_after = 2
        result = self.run_command("downloads", "--watch", "--json")
        looks = [json.loads(line) for line in result.stdout.splitlines()]
        self.assertEqual(looks, [samples.DOWNLOADS, {"downloads": []}])

    def test_node_goes_away(self) -> None:
        """
        When the node ends, so does the watch, and says why.
        """
        self.api.answer("GET /downloads", {"downloads": []})
        self.api.answer("GET /downloads", {"type": "shutting_down", "message": "it ends"}, status=503)
        result = self.run_command("downloads", "--watch", "--json")
        self.assertEqual((result.stderr, result.exit_code), ("distributor: the node answers 503: it ends\n", 1))


class CheckConfigTests(CommandTestCase):
    """
    C{check-config}: no node is asked.
    """

    def test_right(self) -> None:
        """
        What is in force, without secrets, and where it came from.
        """
        directory = Path(self.mktemp()).absolute()
        directory.mkdir()
        document = {"id": "me", "catalogue": {"manifest": "m"}, "operatorApi": {"port": 1, "hmacSecret": "hush"}}
        (directory / "my.yml").write_text(json.dumps(document))
        environ = {"JOYSTREAM_DISTRIBUTOR__ID": "another"}
        result = self.run_alone("check-config", "-c", "my.yml", environ=environ, cwd=directory)
        self.assertEqual((result.exit_code, result.stderr), (0, ""))
        self.assertRegex(result.stdout, r"(?m)^id +another +\$JOYSTREAM_DISTRIBUTOR__ID$")
        self.assertNotIn("hush", result.stdout)

    def test_wrong(self) -> None:
        """
        A line for each problem, and exit status 1.
        """
        path = Path(self.mktemp())
        path.write_text('{"limits": {"storage": 5}}')
        result = self.run_alone("check-config", "--config", str(path), cwd=Path.cwd())
        self.assertEqual((result.exit_code, result.stdout), (1, ""))
        self.assertGreater(len(result.stderr.splitlines()), 1)
        for line in result.stderr.splitlines():
            self.assertTrue(line.startswith("distributor: "), line)
