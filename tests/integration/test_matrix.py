"""
A node against storage nodes that do everything wrong that they can: each trouble, with one storage
node or two, for each kind of reading, killed and restarted in the middle or not.

C{FAULTS_DOCUMENT=docs/faults.rst} has the tables of that page written anew.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
from collections.abc import Coroutine, Iterable
from contextlib import closing
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from distributor.devnet import Drip, MediaFile
from distributor.devnet.faults import flipped
from tests.integration.combination import (
    HUNG,
    READINGS,
    RIGHT,
    SIZE,
    SPOILT,
    WRONG,
    Combination,
    Seen,
    Wanted,
    judge,
    readers,
)
from tests.integration.faults_document import matrix_table, write_section
from tests.integration.faulty import HEALTHY, Certificate, FaultyStorage, Trouble, troubles
from tests.integration.process import ROOT, Node, ProcessTestCase
from tests.integration.raw_http import Answer, Client
from tests.upstream import payload

CONTENT = payload(SIZE)
TROUBLES = troubles(SIZE)

CONFIG = {
    "limits": {
        "outboundRequestsTimeoutMs": 1000,
        "maxConcurrentStorageNodeDownloads": 1000,
        "maxConcurrentOutboundConnections": 4000,
    },
    "publicApi": {"showDownloads": True},
}

#: After which an answer counts as hanging; in seconds. The slowest takes six by itself.
_PATIENCE_S = 40.0

#: How long readers are left to wait for a storage node that does nothing for them, before it is healed; in seconds.
_HEALED_AFTER_S = 0.8

#: How fast an answer is whose download is to be killed: what arrives in the five seconds until it is recorded is far
#: from all, however many requests it makes.
_SLOW = Drip(8 * 1024, 0.25)

#: Until when something must have been recorded of every download, in seconds.
_RECORDED_WITHIN_S = 12.0

#: How many combinations are read at once, and how far apart those begin that are interrupted, in seconds.
_AT_ONCE = 12
_APART_S = 0.02

_WHOLE = Wanted(None)


async def _all(awaited: Iterable[Coroutine[Any, Any, Any] | Deferred[Any]]) -> list[Any]:
    deferred = [each if isinstance(each, Deferred) else Deferred.fromCoroutine(each) for each in awaited]
    results: list[Any] = await gatherResults(deferred, consumeErrors=True)
    return results


class MatrixTests(ProcessTestCase, TestCase):
    """
    One test for each kind of trouble, since their storage nodes are all of this process, and so are the readers.
    """

    timeout = 150

    def setUp(self) -> None:
        path = self.directory() / "object"
        path.write_bytes(CONTENT)
        self.file = MediaFile.at(path)
        self.trusted = Certificate()
        self.bundle = self.directory() / "trusted.pem"
        self.trusted.write(self.bundle)
        self.listed: dict[str, list[str]] = {}
        self.endpoints: list[str] = []

    # What there is to read, and where.

    def storage(self, object_ids: Iterable[str], trouble: Trouble) -> FaultyStorage:
        """
        A storage node of some objects.
        """
        storage = FaultyStorage(reactor, dict.fromkeys(object_ids, self.file), trouble, self.trusted)
        self.addCleanup(lambda: Deferred.fromCoroutine(storage.stop()))
        self.endpoints.append(storage.endpoint)
        for object_id in object_ids:
            self.listed.setdefault(object_id, []).append(str(len(self.endpoints) - 1))
        return storage

    def combine(self, group: tuple[Trouble, ...]) -> list[Seen]:
        """
        All combinations of some troubles, each with storage nodes of its own.
        """
        numbers = count(1)
        seen = []
        for trouble in group:
            for nodes in (1, 2):
                for killed in (False, True):
                    for reading in READINGS:
                        object_id = str(next(numbers))
                        faulty = self.storage([object_id], trouble)
                        honest = self.storage([object_id, warm_up(object_id)], HEALTHY) if nodes == 2 else None
                        seen.append(Seen(Combination(trouble, reading, killed, object_id, faulty, honest)))
        return seen

    def write_manifest(self) -> Path:
        """
        A manifest of all that.
        """
        entry = {"size": SIZE, "hash": str(self.file.content_hash())}
        path = self.directory() / "manifest.json"
        path.write_text(
            json.dumps(
                {
                    "storageNodes": [{"id": str(n), "endpoint": url} for n, url in enumerate(self.endpoints)],
                    "objects": {id: {**entry, "storedBy": nodes} for id, nodes in self.listed.items()},
                }
            )
        )
        return path

    # The node.

    async def start_node(self, manifest: Path, data_dir: Path | None) -> None:
        """
        Start it while the storage nodes go on answering.
        """
        self.node: Node = await deferToThread(
            Node.start,
            self,
            manifest=manifest,
            config=CONFIG,
            data_dir=data_dir,
            env={"SSL_CERT_FILE": str(self.bundle)},
        )
        self.client = Client(reactor, self.node.port, _PATIENCE_S)

    async def get(self, object_id: str, wanted: Wanted = _WHOLE) -> Answer:
        """
        One answer of it.
        """
        return await self.client.get(f"/api/v1/asset/{object_id}", wanted.header)

    async def settled(self, object_id: str) -> None:
        """
        Return when it downloads an object no longer.
        """
        deadline = monotonic() + _PATIENCE_S
        while True:
            answer = await self.client.get("/api/v1/downloads")
            if object_id not in {each["objectId"] for each in json.loads(answer.body)["downloads"]}:
                return
            self.assertLess(monotonic(), deadline, f"object {object_id} is downloaded for ever")
            await deferLater(reactor, 0.1)

    def recorded(self) -> dict[str, int]:
        """
        How many bytes of each object the index has.
        """
        [path] = self.node.data_dir.rglob("index.sqlite3")
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            rows = database.execute("SELECT id, size, state, extents FROM object").fetchall()
        return {
            id: size if state == "complete" else sum(stop - start for start, stop in json.loads(extents))
            for id, size, state, extents in rows
        }

    # One combination.

    async def read(self, seen: Seen) -> None:
        """
        All readers at once; then one more, who is to get all of it, as the trouble is over by then; and one who gets it
        from the disk.
        """
        combination = seen.combination
        spoilt = flipped(CONTENT, 0, combination.trouble.fault.flip_at)
        healing = None
        if combination.healed_later:
            healing = reactor.callLater(_HEALED_AFTER_S, combination.faulty.heal)
        asked = readers(combination.reading)
        for wanted, answer in zip(
            asked, await _all(self.get(combination.object_id, wanted) for wanted in asked), strict=True
        ):
            got = judge(answer, wanted, CONTENT, spoilt)
            seen.got.append(got)
            may = combination.may_get(wanted)
            seen.check(got in may, f"{wanted.header or 'all'} got {got} of {len(answer.body)}, not {may}")
        if healing is not None and healing.active():
            healing.cancel()
        if combination.honest is None or combination.trouble.fault.flip_at is not None:
            # Until it is known to be wrong, the next reader would be one more of those that got a wrong byte.
            await self.settled(combination.object_id)
        if combination.honest is None:
            combination.faulty.heal()
            # What went on when the node was killed may have begun anew meanwhile, in the background, with a wrong byte.
            await self.settled(combination.object_id)
        again = judge(await self.get(combination.object_id), _WHOLE, CONTENT, spoilt)
        seen.check(again == RIGHT, f"the next reader got {again}")
        await self.settled(combination.object_id)
        seen.sent = combination.sent
        hit = await self.get(combination.object_id)
        seen.check(hit.headers.get("x-cache") == "hit" and hit.body == CONTENT, "it is no hit")
        seen.check(combination.sent == seen.sent, f"a hit made storage nodes send {combination.sent - seen.sent}")
        self.check_costs(seen)

    def check_costs(self, seen: Seen) -> None:
        """
        What was asked of storage nodes.
        """
        combination = seen.combination
        most = combination.most_sent(seen.recorded)
        told = f"storage nodes sent {seen.sent} of {SIZE}, of which {seen.recorded} had been recorded, and not {most}"
        seen.check(combination.honest is None or seen.sent <= most, told)
        # Each reader may need one, and the rest of what it interrupts another; each may fail at each storage node.
        many = 4 * len(seen.got) + 12
        seen.check(combination.request_count <= many, f"{combination.request_count} requests for {len(seen.got)}")

    async def warmed_up(self, seen: Seen) -> None:
        """
        Read, once the node has learnt how fast the honest storage node is, if that matters.
        """
        if seen.combination.honest is not None and seen.combination.trouble.fault.drip is not None:
            await self.get(warm_up(seen.combination.object_id))
            seen.combination.honest.forget()
        await self.read(seen)

    # All of them.

    async def run_matrix(self, title: str) -> None:
        """
        All combinations of a kind of trouble.
        """
        everything = self.combine(TROUBLES[title])
        spared = [seen for seen in everything if not seen.combination.killed]
        killed = [seen for seen in everything if seen.combination.killed]
        manifest = self.write_manifest()
        await self.start_node(manifest, None)
        interrupted = []
        for seen in killed:
            interrupted.append(Deferred.fromCoroutine(self.interrupted(seen)))
            await deferLater(reactor, _APART_S)
        await self.run_all(spared)
        await self.wait_until_recorded(killed)
        await deferToThread(self.node.kill)
        await gatherResults(interrupted, consumeErrors=True)
        recorded = self.recorded()
        self.check_blame(spared)
        for seen in killed:
            seen.recorded = recorded.get(seen.combination.object_id, 0)
            seen.sent_before = seen.combination.sent
            for storage in seen.combination.storage:
                storage.slow_down(None)
                storage.forget()
        await self.start_node(manifest, self.node.data_dir)
        await self.run_all(killed)
        self.check_blame(killed)
        await deferToThread(self.node.stop)
        problems = [problem for seen in everything for problem in seen.problems]
        document = os.environ.get("FAULTS_DOCUMENT")
        if document:
            # trial has changed the working directory.
            write_section(ROOT / document, title, matrix_table(everything))
        self.assertEqual(problems, [], "\n".join(problems))

    def check_blame(self, them: list[Seen]) -> None:
        """
        Nobody is said to lie who does not; and who is seen to, is said to, unless it was before a restart.
        """
        blamed = set(re.findall(r"storage node (\S+) gave wrong bytes", self.node.log()))
        for seen in them:
            combination = seen.combination
            if combination.honest is not None:
                seen.check(combination.honest.endpoint not in blamed, "the honest storage node is blamed")
                if SPOILT in seen.got and not combination.killed:
                    seen.check(combination.faulty.endpoint in blamed, "the other is not blamed")
            if combination.trouble.fault.flip_at is None:
                seen.check(combination.faulty.endpoint not in blamed, "it is blamed for wrong bytes")

    async def run_all(self, them: list[Seen]) -> None:
        """
        Some at a time: a storage node must not be late because this process is.
        """
        places = DeferredSemaphore(_AT_ONCE)
        await _all(places.run(Deferred.fromCoroutine, self.warmed_up(seen)) for seen in them)

    async def interrupted(self, seen: Seen) -> None:
        """
        Read something slowly, until the node is killed: nobody has got a wrong byte by then.
        """
        combination = seen.combination
        for storage in combination.storage:
            storage.slow_down(_SLOW)
        spoilt = flipped(CONTENT, 0, combination.trouble.fault.flip_at)
        asked = readers(combination.reading)
        for wanted, answer in zip(
            asked, await _all(self.get(combination.object_id, wanted) for wanted in asked), strict=True
        ):
            got = judge(answer, wanted, CONTENT, spoilt)
            seen.check(got not in (WRONG, HUNG), f"{wanted.header or 'all'} got {got} until the node was killed")

    async def wait_until_recorded(self, killed: list[Seen]) -> None:
        """
        Return when something is recorded of each download that goes on.
        """
        going_on = {
            seen.combination.object_id
            for seen in killed
            if seen.combination.honest is not None
            or seen.combination.trouble.alone != "nothing"
            or seen.combination.trouble.fault.flip_at is not None
        }
        deadline = monotonic() + _RECORDED_WITHIN_S
        while missing := going_on - {id for id, present in self.recorded().items() if present}:
            self.assertLess(monotonic(), deadline, f"nothing is recorded of {sorted(missing)}")
            await deferLater(reactor, 0.2)

    def test_no_answer(self) -> Deferred[None]:
        """
        Storage nodes that do not answer, or take their time.
        """
        return Deferred.fromCoroutine(self.run_matrix("No answer"))

    def test_wrong_answers(self) -> Deferred[None]:
        """
        Storage nodes whose answers are of no use, as their heads tell.
        """
        return Deferred.fromCoroutine(self.run_matrix("Wrong answers"))

    def test_broken_answers(self) -> Deferred[None]:
        """
        Storage nodes that do not bring their answers to an end.
        """
        return Deferred.fromCoroutine(self.run_matrix("Broken answers"))

    def test_wrong_bytes(self) -> Deferred[None]:
        """
        Storage nodes that lie.
        """
        return Deferred.fromCoroutine(self.run_matrix("Wrong bytes"))


def warm_up(object_id: str) -> str:
    """
    The id of the object from which the node learns how fast the honest storage node of another object is.
    """
    return f"1000{object_id}"
