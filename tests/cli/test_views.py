"""
Tests for L{distributor.cli.views} and L{distributor.cli.explanation}: what answers look like.

What each looks like in full is on the page C{docs/command-line.rst}, which L{tests.cli.test_documentation} compares.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console, RenderableType
from twisted.trial.unittest import SynchronousTestCase

from distributor.cli import views
from distributor.cli.explanation import MOST_RUNS, explanation, runs, written
from tests.cli import samples
from tests.cli.operator_api import NOW
from tests.test_document import json_values


def drawn(shown: RenderableType, width: int = 80, *, coloured: bool = False) -> str:
    """
    What a terminal would show; without the spaces at the ends of lines.
    """
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=coloured, color_system="standard" if coloured else None)
    console.print(shown)
    return "".join(f"{line.rstrip()}\n" for line in file.getvalue().splitlines())


#: Every view, and its sample.
VIEWS: Mapping[str, tuple[Callable[[Any], RenderableType], Any]] = {
    "status": (lambda answer: views.status(answer, NOW), samples.STATUS),
    "downloads": (lambda answer: views.downloads(answer, False), samples.DOWNLOADS),
    "wide downloads": (lambda answer: views.downloads(answer, True), samples.DOWNLOADS),
    "objects": (lambda answer: views.objects(answer, False, NOW), samples.OBJECTS),
    "wide objects": (lambda answer: views.objects(answer, True, NOW), samples.OBJECTS),
    "storage nodes": (views.storage_nodes, samples.NODES),
    "faults": (lambda answer: views.faults(answer, False), samples.FAULTS),
    "wide faults": (lambda answer: views.faults(answer, True), samples.FAULTS),
    "settings": (views.settings, samples.CONFIG),
    "prefetched": (views.prefetched, {"objects": [{"objectId": "7", "state": "refused", "message": "too large"}]}),
    "verified": (views.verified, samples.VERIFIED),
    "evicted": (views.evicted, {"objectId": "7", "freed": 1024}),
    "explanation": (lambda answer: explanation(answer, NOW), samples.EXPLANATION),
}


def distorted(sample: Any) -> st.SearchStrategy[Any]:
    """
    Answers in which something is other than it should be, or is gone.
    """
    whole: st.SearchStrategy[Any] = st.just(sample)
    if isinstance(sample, dict):
        whole = st.fixed_dictionaries({}, optional={key: distorted(value) for key, value in sample.items()})
    elif isinstance(sample, list) and sample:
        whole = st.lists(st.one_of([distorted(each) for each in sample]), max_size=3)
    return st.integers(0, 9).flatmap(lambda die: json_values if die == 0 else whole)


def _is_object(answer: object) -> bool:
    return isinstance(answer, dict)


class EveryViewTests(SynchronousTestCase):
    """
    What is true of all of them.
    """

    def test_fits_a_terminal(self) -> None:
        """
        With ids as long as they can be and endless addresses, no line has more than 80 columns, and no figure is lost.
        """
        long = {"objectId": "18446744073709551615", "endpoint": "https://" + "x" * 300, "lastError": "y" * 300}

        def lengthened(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: long.get(key, lengthened(each)) for key, each in value.items()}
            return [lengthened(each) for each in value] if isinstance(value, list) else value

        for name, (view, sample) in VIEWS.items():
            if not name.startswith("wide"):
                shown = drawn(view(lengthened(sample)))
                self.assertLessEqual(max(map(len, shown.splitlines())), 80, name)
                self.assertNotIn("…", shown, name)

    @settings(max_examples=300)
    @given(
        st.sampled_from(sorted(VIEWS)).flatmap(
            lambda name: st.tuples(st.just(VIEWS[name][0]), distorted(VIEWS[name][1]).filter(_is_object))
        )
    )
    def test_whatever_comes(self, seen: tuple[Callable[[Any], RenderableType], Any]) -> None:
        """
        An answer of a newer node, or of none, is shown as well as can be.
        """
        view, answer = seen
        drawn(view(answer))

    def test_texts_are_no_markup_and_no_commands(self) -> None:
        """
        What others have written is shown as it is, and nothing in it speaks to rich or to a terminal.
        """
        node = {**samples.NODES["storageNodes"][1], "lastError": "[bold]x[/bold] \x1b[31m"}
        shown = drawn(views.storage_nodes({"storageNodes": [node]}), coloured=True)
        self.assertIn(r"[bold]x[/bold] \x1b[31m", shown)

    def test_colours(self) -> None:
        """
        What an operator should look at is red; what is as it should be is not.
        """
        shown = drawn(views.storage_nodes(samples.NODES), coloured=True)
        self.assertIn("\x1b[1;31mopen", shown)
        self.assertNotIn("31mclosed", shown)
        self.assertIn("\x1b[1;31mstopped", drawn(views.status({"publicApi": "stopped"}, NOW), coloured=True))


class ViewsTests(SynchronousTestCase):
    """
    Each of them.
    """

    def test_nothing(self) -> None:
        """
        Empty lists are said to be so.
        """
        for shown, expected in (
            (views.downloads({"downloads": []}, False), "nothing is being downloaded"),
            (views.objects({"objects": []}, False, NOW), "no objects"),
            (views.objects({"objects": []}, False, NOW, headed=False), "no more objects"),
            (views.storage_nodes({"storageNodes": []}), "no storage nodes"),
            (views.faults({"faults": []}, False), "no faults on record"),
        ):
            self.assertEqual(drawn(shown), expected + "\n")

    def test_wide_tables_have_more(self) -> None:
        """
        Where there is room, nothing is left out: storage nodes of downloads, hashes.
        """
        self.assertIn(samples.FAST, drawn(views.downloads(samples.DOWNLOADS, True), 200))
        self.assertIn(samples.OTHER_HASH, drawn(views.objects(samples.OBJECTS, True, NOW), 200))
        wide = drawn(views.faults(samples.FAULTS, True), 200)
        self.assertIn(samples.HASH, wide)
        self.assertIn(samples.OTHER_HASH, wide)

    def test_pages_stand_below_one_another(self) -> None:
        """
        Columns of the pages of one list are in the same place, and only the first one has headings.
        """
        first = drawn(views.objects(samples.OBJECTS, False, NOW)).splitlines()
        row = {
            **samples.OBJECTS["objects"][0],
            "size": 1,
            "present": 1,
            "hits": 0,
            "lastAccess": NOW,
            "state": "partial",
        }
        [second] = drawn(views.objects({"objects": [row]}, False, NOW, headed=False)).splitlines()
        self.assertEqual(second.index("video/mp4"), first[0].index("type"))
        self.assertEqual(second.index("partial"), first[0].index("state"))

    def test_remarks(self) -> None:
        """
        Of a storage node about which there is nothing to say, nothing is said.
        """
        node = {"endpoint": "http://x/", "rank": 1, "breaker": "closed", "buckets": [], "version": None, "lies": 0}
        self.assertEqual(len(drawn(views.storage_nodes({"storageNodes": [node]})).splitlines()), 2)

    def test_facts_name_themselves(self) -> None:
        """
        What this program does not know yet is shown by its name, which says what it measures.
        """
        answer = {
            "age_s": 75,
            "retryInS": 3,
            "checkedAt": NOW - 60,
            "cacheBytes": 2048,
            "bags": ["a", "b"],
            "none": [],
            "unknown": None,
            "queryNode": {"lagBlocks": 3, "inner": {"deep": 1}},
        }
        self.assertEqual(
            views.told(answer, NOW),
            [
                ("age", "1 min 15 s"),
                ("retry in", "3 s"),
                ("checked at", "1 min 0 s ago"),
                ("cache bytes", "2.0 KiB"),
                ("bags", "a, b"),
                ("none", "none"),
                ("query node lag blocks", "3"),
                ("query node inner", '{"deep": 1}'),
            ],
        )

    def test_more_bad_objects_than_are_listed(self) -> None:
        """
        They are counted as the node counts them.
        """
        self.assertIn(", 1234 bad\n", drawn(views.verified({**samples.VERIFIED, "badCount": 1234})))


class ExplanationTests(SynchronousTestCase):
    """
    L{explanation}.
    """

    def explained(self, **facts: object) -> str:
        """
        What is said of the sample with these facts in place of its own.
        """
        return drawn(explanation({**samples.EXPLANATION, **facts}, NOW))

    def test_everything_is_there(self) -> None:
        """
        What the catalogue says and how old that is; whether it is ours, and why; storage nodes with rank, last error
        and breaker; extents, readers, verification, and the last eviction.
        """
        shown = self.explained()
        for said in (
            r"content hash +gW7sxTmWqRUMbqTL8kgKvsYdFGfTzWuLnyLKGFTxyjNMP9\n",
            r"age +12 s\n",
            r"ours +yes: its bag dynamic:channel:12 is in 0:1, of the buckets of\n +worker 3\n",
            r"buckets +0:1 of workers 3, 4; 1:0\n",
            r" 2 +https://storage-2.example.org/ +- +- +5 +open\n",
            r"rank 2 +last error: Connection refused\n",
            r"state +downloading\n",
            r"extents +0-83886080, 713031680-734003200\n",
            r"readers +2\n",
            r"verification +in progress\n",
            r"last eviction +3 d 3 h ago: to make room\n",
        ):
            self.assertRegex(shown, said)

    def test_what_is_not_known(self) -> None:
        """
        A catalogue that does not answer, and an object of which there is nothing.
        """
        shown = self.explained(
            catalogue={"error": "the catalogue cannot be reached"},
            distributedHere=None,
            why=None,
            storageNodes=[],
            state="absent",
            extents=[],
            lastEviction=None,
        )
        for said in (
            r"error +the catalogue cannot be reached\n",
            r"ours +not known\n",
            r"there +0 B of 700.0 MiB \(0 %\)\n",
            r"extents +none\n",
            r"last eviction +none that is remembered\n",
            r"no storage nodes\n",
        ):
            self.assertRegex(shown, said)

    def test_not_ours(self) -> None:
        """
        That it is other nodes' to distribute, and why.
        """
        self.assertRegex(self.explained(distributedHere=False, why="in 1:2"), r"ours +no: in 1:2\n")

    def test_facts_of_a_catalogue_in_one_place(self) -> None:
        """
        It does not matter whether the catalogue keeps what it knows of an object apart.
        """
        apart = dict(samples.EXPLANATION["catalogue"])
        apart["object"] = {name: apart.pop(name) for name in ("size", "contentHash", "type", "accepted")}
        self.assertEqual(sorted(self.explained(catalogue=apart).splitlines()), sorted(self.explained().splitlines()))

    def test_catalogue_in_trouble(self) -> None:
        """
        What it knew is shown with what has gone wrong since.
        """
        catalogue = {**samples.EXPLANATION["catalogue"], "lastError": "HTTP 502", "stale": True}
        self.assertRegex(self.explained(catalogue=catalogue), r"(?s)last error +HTTP 502\n.*age +12 s\nstale +yes\n")

    def test_found_bad(self) -> None:
        """
        What a scrub has found of it.
        """
        found = {"objectId": "7", "expected": "gWa", "got": "gWb", "removed": True, "at": NOW - 60}
        self.assertRegex(self.explained(foundBad=found), r"found bad +1 min 0 s ago: expected gWa, got gWb\n")

    def test_many_runs(self) -> None:
        """
        A download that has many holes does not fill the screen.
        """
        many = [(2 * each, 2 * each + 1) for each in range(MOST_RUNS + 5)]
        self.assertTrue(written(many).endswith("14-15, and 5 more"), written(many))
        self.assertEqual(written(many[:2]), "0-1, 2-3")

    def test_runs(self) -> None:
        """
        What is no run of bytes is left out.
        """
        self.assertEqual(runs([[0, 5], [5, 5], [-1, 2], ["0", 1], [1], None, [True, 9.5], [7, 9]]), [(0, 5), (7, 9)])
        self.assertEqual(runs("x"), [])
