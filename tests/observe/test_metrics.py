"""
Tests for L{distributor.observe.metrics} and L{distributor.observe.tally}.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import prometheus_client
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from twisted.trial.unittest import SynchronousTestCase

import distributor
from distributor.model import CacheState, FaultKind
from distributor.observe.metrics import PREFIX, Metrics, Standing
from distributor.observe.tally import FIRST_BYTE_BOUNDS_S, Histogram, Tally

STANDING = Standing(
    store_used=1000,
    store_reserved=200,
    store_limit=5000,
    objects=3,
    downloads_running=2,
    downloads_queued=1,
    readers=4,
    answering=5,
    connections=6,
    uptime_s=7.5,
)


def samples(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """
    What Prometheus takes from the text.
    """
    text = metrics.text().decode("utf-8")
    families = text_string_to_metric_families(text)
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


class MetricsTests(SynchronousTestCase):
    """
    What Prometheus reads.
    """

    def setUp(self) -> None:
        self.tally = Tally()
        self.standing = STANDING
        self.metrics = Metrics(self.tally, lambda: self.standing, "1.2.3")

    def value(self, name: str, **labels: str) -> float | None:
        return samples(self.metrics).get((PREFIX + name, frozenset(labels.items())))

    def test_answers(self) -> None:
        """
        Answers are counted by cache state and status, with their bytes and how long they took to begin.
        """
        self.tally.answered(CacheState.HIT, 200, 1000, 0.0004)
        self.tally.answered(CacheState.HIT, 206, 10, 0.002)
        self.tally.answered(CacheState.HIT, 200, 1000, 0.0004)
        self.tally.answered(CacheState.MISS, 200, 5, 40.0)
        self.tally.answered(None, 404, 0)
        self.assertEqual(self.value("requests_total", cache="hit", status="200"), 2)
        self.assertEqual(self.value("requests_total", cache="miss", status="200"), 1)
        self.assertEqual(self.value("requests_total", cache="none", status="404"), 1)
        self.assertEqual(self.value("sent_bytes_total"), 2015)
        self.assertEqual(self.value("first_byte_seconds_count"), 4)
        self.assertEqual(self.value("first_byte_seconds_bucket", le="0.001"), 2)
        self.assertEqual(self.value("first_byte_seconds_bucket", le="30.0"), 3)
        total_s = self.value("first_byte_seconds_sum")
        assert total_s is not None
        self.assertAlmostEqual(total_s, 40.0028)

    def test_the_rest_of_the_tally(self) -> None:
        """
        So is what comes from storage nodes, and what is deleted.
        """
        self.tally.storage_requests["ok"] += 2
        self.tally.storage_requests["timeout"] += 1
        self.tally.catalogue_requests["ok"] += 5
        self.tally.bytes_received += 77
        self.tally.downloads_finished += 3
        self.tally.downloads_failed += 1
        self.tally.faults[FaultKind.WRONG_HASH] += 1
        self.tally.evicted(500)
        self.tally.evicted(600)
        for name, labels, value in (
            ("storage_node_requests_total", {"outcome": "ok"}, 2),
            ("storage_node_requests_total", {"outcome": "timeout"}, 1),
            ("catalogue_requests_total", {"outcome": "ok"}, 5),
            ("received_bytes_total", {}, 77),
            ("downloads_ended_total", {"outcome": "finished"}, 3),
            ("downloads_ended_total", {"outcome": "failed"}, 1),
            ("storage_node_faults_total", {"kind": "wrong_hash"}, 1),
            ("evictions_total", {}, 2),
            ("evicted_bytes_total", {}, 1100),
        ):
            self.assertEqual(self.value(name, **labels), value, name)

    def test_standing(self) -> None:
        """
        How things stand is asked for anew each time.
        """
        for name, labels, value in (
            ("store_used_bytes", {}, 1000),
            ("store_reserved_bytes", {}, 200),
            ("store_limit_bytes", {}, 5000),
            ("store_objects", {}, 3),
            ("downloads", {"state": "running"}, 2),
            ("downloads", {"state": "queued"}, 1),
            ("readers", {}, 4),
            ("answers_in_progress", {}, 5),
            ("connections", {}, 6),
            ("uptime_seconds", {}, 7.5),
            ("build_info", {"version": "1.2.3"}, 1),
        ):
            self.assertEqual(self.value(name, **labels), value, name)
        self.standing = evolve(STANDING, objects=4)
        self.assertEqual(self.value("store_objects"), 4)

    def test_what_may_not_be(self) -> None:
        """
        A node without a query node says nothing of one; one with says whether it answers.
        """
        self.assertIsNone(self.value("catalogue_up"))
        self.assertIsNone(self.value("storage_nodes", breaker="open"))
        self.standing = evolve(STANDING, catalogue_up=False, breakers={"open": 1, "closed": 2})
        self.assertEqual(self.value("catalogue_up"), 0)
        self.assertEqual(self.value("storage_nodes", breaker="open"), 1)
        self.standing = evolve(STANDING, catalogue_up=True)
        self.assertEqual(self.value("catalogue_up"), 1)

    def test_process(self) -> None:
        """
        The process is there, too: its memory and descriptors, and its garbage collection.
        """
        found = {name for name, _ in samples(self.metrics)}
        self.assertTrue(
            found >= {"process_resident_memory_bytes", "process_open_fds", "python_gc_collections_total", "python_info"}
        )

    def test_nodes_are_apart(self) -> None:
        """
        Two nodes of one process count for themselves, and nothing is left in the global registry.
        """
        other = Metrics(Tally(), lambda: STANDING, "1.2.3")
        self.tally.evicted(1)
        self.assertEqual(samples(other)[PREFIX + "evictions_total", frozenset()], 0)
        names = {metric.name for metric in prometheus_client.REGISTRY.collect()}
        self.assertFalse([name for name in names if name.startswith(PREFIX)])

    def test_names(self) -> None:
        """
        Each metric is described.
        """
        text = self.metrics.text().decode("utf-8")
        for family in text_string_to_metric_families(text):
            self.assertTrue(family.documentation.strip(), family.name)
        self.assertEqual(self.metrics.content_type, "text/plain; version=0.0.4; charset=utf-8")


class HistogramTests(SynchronousTestCase):
    """
    Classes of times.
    """

    @given(st.lists(st.floats(0, 100) | st.sampled_from(FIRST_BYTE_BOUNDS_S)))
    def test_every_time_is_in_its_class(self, times: list[float]) -> None:
        """
        Each is counted once: in the first class whose bound it does not exceed.
        """
        histogram = Histogram()
        for each in times:
            histogram.note(each)
        expected, last = [], -math.inf
        for bound in (*FIRST_BYTE_BOUNDS_S, math.inf):
            expected.append(sum(last < each <= bound for each in times))
            last = bound
        self.assertEqual(histogram.counts, expected)
        self.assertAlmostEqual(histogram.sum_s, math.fsum(times))


_Answer = tuple[CacheState | None, int, int, float | None]

ANSWERS = st.tuples(
    st.sampled_from([None, *CacheState]),
    st.sampled_from([200, 206, 304, 404, 503]),
    st.integers(0, 10**12),
    st.none() | st.integers(0, 100).map(float),
)


class ProcessesTests(SynchronousTestCase):
    """
    Several processes that answer, of which one tells.
    """

    @given(st.lists(st.lists(st.lists(ANSWERS, max_size=5), max_size=3), max_size=3))
    def test_all_are_counted_once(self, workers: list[list[list[_Answer]]]) -> None:
        """
        Whoever answers, and whenever that is told: in the end each answer is counted, and once.
        """
        alone, owner = Tally(), Tally()
        for rounds in workers:
            tally = Tally()
            for answers in rounds:
                for answer in answers:
                    tally.answered(*answer)
                    alone.answered(*answer)
                owner.add(tally.take())
            self.assertEqual(tally.take(), {})
        self.assertEqual(owner.answers, alone.answers)
        self.assertEqual(owner.bytes_sent, alone.bytes_sent)
        self.assertEqual(owner.first_byte.counts, alone.first_byte.counts)
        self.assertAlmostEqual(owner.first_byte.sum_s, alone.first_byte.sum_s)

    def test_passed_through(self) -> None:
        """
        What a process asks of storage nodes for its own answers is counted, too, and once.
        """
        worker, owner = Tally(), Tally()
        for _ in range(2):
            worker.storage_requests["timed out"] += 1
            worker.bytes_received += 10
            owner.add(worker.take())
            self.assertEqual(worker.take(), {})
        self.assertEqual((owner.storage_requests, owner.bytes_received), ({"timed out": 2}, 20))

    def test_others(self) -> None:
        """
        What a process counts besides is no matter here.
        """
        tally = Tally()
        tally.add({"something else": 3})
        self.assertEqual(tally.take(), {})


class PageTests(SynchronousTestCase):
    """
    The page for operators.
    """

    def test_every_metric_is_on_it(self) -> None:
        """
        The names in the documentation are those that there are.
        """
        page = (Path(distributor.__file__).parents[1] / "docs" / "operator-api.rst").read_text(encoding="utf-8")
        tally = Tally()
        tally.answered(None, 200, 0, 1.0)
        metrics = Metrics(tally, lambda: evolve(STANDING, catalogue_up=True, breakers={"open": 1}), "1")
        text = metrics.text().decode("utf-8")
        ours = {name for name in re.findall(r"^# TYPE (\S+)", text, re.MULTILINE) if name.startswith(PREFIX)}
        listed = set(re.findall(rf"^``({PREFIX}\w+)``", page, re.MULTILINE))
        self.assertEqual(listed, {name for name in ours if not name.endswith("_created")})
