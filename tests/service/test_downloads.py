"""
Tests for L{distributor.service}: what it tells of downloads, and which of them it goes on with after a start.
"""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
from attrs import evolve
from twisted.logger import capturedLogs, formatEvent

from distributor.config import Config
from distributor.operations import progress_shown
from distributor.transfer import Progress
from distributor.web import errors
from tests.service_in_memory import CAME, CONTENT, STALL, ServiceCase
from tests.upstream import TIMEOUT_S
from tests.web.openapi import Document

DOWNLOADS = "/api/v1/downloads"


def schema() -> jsonschema_rs.Draft202012Validator:
    """
    Of the answer, from the OpenAPI document.
    """
    return Document("openapi.json").validator({"$ref": "#/components/schemas/DownloadsResponse"})


class DownloadsTests(ServiceCase):
    """
    C{GET /api/v1/downloads}, and the terminal.
    """

    def shown(self) -> Config:
        """
        A node that shows its downloads to everybody.
        """
        config = self.config()
        return evolve(config, public_api=evolve(config.public_api, show_downloads=True))

    def said(self) -> list[dict[str, Any]]:
        """
        What it says of them, which is what the document says.
        """
        answer = self.ask(DOWNLOADS)
        self.assertEqual((answer.status, answer["Content-Type"]), (200, "application/json"))
        self.assertEqual(answer["Cache-Control"], "no-store")
        said = json.loads(answer.body)
        schema().validate(said)
        downloads: list[dict[str, Any]] = said["downloads"]
        return downloads

    def test_not_shown(self) -> None:
        """
        Unless the operator wants it shown, there is nothing at that address, as at any other.
        """
        node = self.started()
        for method in ("GET", "HEAD"):
            answer = self.ask(DOWNLOADS, method=method)
            self.assertEqual(answer.status, 404)
        self.assertEqual(self.ask(DOWNLOADS).body, errors.body(errors.ROUTE_NOT_FOUND))
        self.stopped(node)

    def test_shown(self) -> None:
        """
        Each download is there while it lasts, with all that is known of it.
        """
        node = self.started(self.shown())
        self.assertEqual(self.said(), [])
        self.faults.next.append(STALL)
        visit = self.visit()
        began = self.clock.seconds()
        visit.send("/api/v1/asset/7")
        self.clock.advance(began + 2 - self.clock.seconds())
        expected = {
            "objectId": "7",
            "state": "filling",
            "size": len(CONTENT),
            "present": CAME,
            "bytesPerSecond": CAME // 2,
            "readers": 1,
            "storageNodes": ["http://node0.example/"],
            "secondsLeft": round((len(CONTENT) - CAME) / (CAME / 2), 1),
        }
        self.assertEqual(self.said(), [expected])
        self.assertEqual(self.ask(DOWNLOADS, method="HEAD").status, 200)
        self.clock.advance(2)
        self.assertEqual((self.said()[0]["bytesPerSecond"], self.said()[0]["secondsLeft"]), (0, None))
        self.advance(TIMEOUT_S - 4)
        self.assertEqual(self.said(), [])
        visit.lose()
        self.stopped(node)

    def test_states(self) -> None:
        """
        The document knows each state that there is, and no other.
        """
        progress = Progress(id="7", state="", size=10, present=1, rate=1.5, readers=0, sources=(), seconds_left=6.04)
        for state in ("queued", "filling", "replacing", "verified", "ended"):
            schema().validate({"downloads": [progress_shown(evolve(progress, state=state))]})
        self.assertFalse(schema().is_valid({"downloads": [progress_shown(progress)]}))

    def test_at_the_terminal(self) -> None:
        """
        Where somebody watches, there is a line every three seconds for each download that runs, and none without.
        """
        for watched in (True, False):
            with capturedLogs() as events:
                node = self.make()
                node._at_terminal = watched
                node.privilegedStartService()
                node.startService()
                self.settle()
                self.clock.pump([1.0] * 6)
                self.faults.next.append(STALL)
                visit = self.visit()
                visit.send("/api/v1/asset/7")
                self.clock.pump([1.0] * 4)
                self.advance(1)
                self.clock.pump([1.0] * 7)
                visit.lose()
                self.stopped(node)
            lines = [line for event in events if "readers" in (line := formatEvent(event))]
            self.assertEqual(len(lines), 1 if watched else 0, lines)
            for line in lines:
                self.assertTrue(line.startswith("object 7 filling: "), line)


class GoingOnTests(ServiceCase):
    """
    Downloads that were in progress when the node was stopped.
    """

    def stop_in_the_middle(self, *, leave: bool) -> None:
        """
        Somebody reads an object, and the node is stopped before all of it has come.

        @param leave: the reader leaves first.
        """
        node = self.started()
        self.faults.next.append(STALL)
        visit = self.visit()
        visit.send("/api/v1/asset/7")
        if leave:
            visit.lose()
            self.settle()
        done = node.stopService()
        self.settle()
        if not leave:
            node.hurry()
        self.settle()
        self.successResultOf(done)
        node._parts.lock.release()
        self.upstream.nodes[0].requests.clear()

    def test_for_its_readers(self) -> None:
        """
        One whose readers had to be cut goes on after the next start, without a request for it, and for no byte twice.
        """
        self.stop_in_the_middle(leave=False)
        node = self.started()
        self.assertEqual(self.upstream.ranges, [f"bytes={CAME}-{len(CONTENT) - 1}"])
        self.assertEqual(self.ask("/api/v1/asset/7")["X-Cache"], "hit")
        self.stopped(node)

    def test_for_nobody(self) -> None:
        """
        One that nobody read any more waits for the next who does.
        """
        self.stop_in_the_middle(leave=True)
        node = self.started()
        self.assertEqual(self.upstream.ranges, [])
        self.ask("/api/v1/asset/7")
        self.assertEqual(self.upstream.ranges, [f"bytes={CAME}-{len(CONTENT) - 1}"])
        self.stopped(node)
