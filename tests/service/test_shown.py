"""
Tests for L{distributor.service.shown}: the metrics, and what workers show. The status, the buckets and the downloads
are in C{test_distributor} and C{test_downloads}, as clients see them.
"""

from __future__ import annotations

import json
from typing import Any

from attrs import evolve

from tests.service_in_memory import CAME, CONTENT, STALL, ServiceCase
from tests.upstream import TIMEOUT_S
from tests.web.node_in_memory import ASSET


class MetricsTests(ServiceCase):
    """
    C{GET /metrics} on the public port, where the operator wants it there.
    """

    def start_measured(self) -> Any:
        config = self.config({"storage_bytes": 10**6})
        return self.started(evolve(config, public_api=evolve(config.public_api, metrics=True)))

    def said(self) -> dict[str, float]:
        """
        The samples without labels.
        """
        answer = self.ask("/metrics")
        self.assertEqual(answer.status, 200)
        lines = [line.split(" ") for line in answer.body.decode("utf-8").splitlines() if line[0] != "#"]
        return {name.removeprefix("distributor_"): float(value) for name, value in lines if "{" not in name}

    def assert_said(self, **expected: float) -> None:
        said = self.said()
        self.assertEqual({name: said.get(name) for name in expected}, expected)

    def test_as_things_stand(self) -> None:
        """
        They say how things stand at that moment: who asks is one of the connections.
        """
        node = self.start_measured()
        self.clock.advance(7.5)
        self.assert_said(uptime_seconds=7.5, connections=1, answers_in_progress=0, store_objects=0)
        self.faults.next.append(STALL)
        visit = self.visit()
        visit.send(ASSET)
        self.assert_said(connections=2, answers_in_progress=1, store_used_bytes=CAME, store_objects=0)
        self.advance(TIMEOUT_S)
        self.assert_said(store_objects=1, store_used_bytes=len(CONTENT), store_limit_bytes=10**6)
        visit.lose()
        self.stopped(node)

    def test_made_once(self) -> None:
        """
        The same are shown at all addresses.
        """
        node = self.start_measured()
        self.assertIs(node._shown.metrics(), node._shown.metrics())
        self.stopped(node)


class WorkersTests(ServiceCase):
    """
    What workers ask the owner of the store for.
    """

    def test_same(self) -> None:
        """
        They show what the owner shows.
        """
        node = self.started()
        shown = {name: json.loads(json.dumps(tell())) for name, tell in node._shown.for_workers().items()}
        self.assertEqual(shown["status"], json.loads(self.ask("/api/v1/status").body))
        self.assertEqual(shown["buckets"], json.loads(self.ask("/api/v1/buckets").body))
        self.assertEqual(shown["downloads"], {"downloads": []})
        type, text = shown["metrics"]
        self.assertTrue(type.startswith("text/plain"), type)
        self.assertIn("distributor_uptime_seconds", text)
        self.stopped(node)
