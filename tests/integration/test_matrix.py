"""
A node against storage nodes that do everything wrong that they can: each trouble × one storage node or two × what is
read × killed and restarted in the middle or not.

C{FAULTS_DOCUMENT=docs/faults.rst} has the tables of that page written anew.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import closing
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any

from attrs import define, field
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from distributor.devnet import Drip, MediaFile
from distributor.devnet.faults import flipped
from tests.integration.combination import HUNG, WRONG, READINGS, RIGHT, SIZE, Combination, Wanted, judge, readers
from tests.integration.faulty import HEALTHY, Certificate, FaultyStorage, Trouble, troubles
from tests.integration.process import Node, ProcessTestCase
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

_WHOLE = Wanted(None)


@define
class _Seen:
    """
    What came of one combination.

    @ivar got: what each reader got, in its order.
    @ivar recorded: bytes that the index had when the node was killed.
    @ivar sent: bytes from storage nodes for the whole object.
    @ivar problems: what should not be.
    """

    combination: Combination
    got: list[str] = field(factory=list)
    recorded: int = 0
    sent: int = 0
    problems: list[str] = field(factory=list)

    def check(self, right: bool, problem: str) -> None:
        if not right:
            self.problems.append(f"{self.combination}: {problem}")


async def _all(coroutines: Iterable[Awaitable[Any]]) -> list[Any]:
    return await gatherResults([Deferred.fromCoroutine(each) for each in coroutines], consumeErrors=True)  # type: ignore[arg-type]


class MatrixTests(ProcessTestCase, TestCase):
    """
    One test for each kind of trouble, since their storage nodes are all of this process, and so are the readers.
    """

    timeout = 150  # type: ignore[assignment]

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

    def combine(self, group: tuple[Trouble, ...]) -> list[_Seen]:
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
                        seen.append(_Seen(Combination(trouble, reading, killed, object_id, faulty, honest)))
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

    async def read(self, seen: _Seen) -> None:
        """
        All readers at once; then one more, who is to get all of it, as the trouble is over by then; and one who gets it
        from the disk.
        """
        combination = seen.combination
        spoilt = flipped(CONTENT, 0, combination.trouble.fault.flip_at)
        healing = None
        if combination.honest is None and combination.trouble.alone == "later":
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
        await self.settled(combination.object_id)
        if combination.honest is None:
            combination.faulty.heal()
        again = judge(await self.get(combination.object_id), _WHOLE, CONTENT, spoilt)
        seen.check(again == RIGHT, f"the next reader got {again}")
        await self.settled(combination.object_id)
        seen.sent = combination.sent
        hit = await self.get(combination.object_id)
        seen.check(hit.headers.get("x-cache") == "hit" and hit.body == CONTENT, "it is no hit")
        seen.check(combination.sent == seen.sent, f"a hit made storage nodes send {combination.sent - seen.sent}")
        self.check_costs(seen)

    def check_costs(self, seen: _Seen) -> None:
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

    async def warm(self, seen: _Seen) -> None:
        """
        Let the node learn how fast an honest storage node is.
        """
        if seen.combination.honest is not None and seen.combination.trouble.fault.drip is not None:
            await self.get(warm_up(seen.combination.object_id))
            seen.combination.honest.forget()

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
        interrupted = [Deferred.fromCoroutine(self.interrupted(seen)) for seen in killed]
        await self.run_all(spared)
        await self.wait_until_recorded(killed)
        await deferToThread(self.node.kill)
        await gatherResults(interrupted, consumeErrors=True)
        recorded = self.recorded()
        for seen in killed:
            seen.recorded = recorded.get(seen.combination.object_id, 0)
            for storage in seen.combination.storage:
                storage.slow_down(None)
                storage.forget()
        await self.start_node(manifest, self.node.data_dir)
        await self.run_all(killed)
        problems = [problem for seen in everything for problem in seen.problems]
        for seen in everything:
            print(seen.combination, dict(Counter(seen.got)), seen.recorded, seen.sent / SIZE)
        self.assertEqual(problems, [], "\n".join(problems))

    async def run_all(self, them: list[_Seen]) -> None:
        """
        One trouble after the other, its combinations at the same time.
        """
        await _all(self.warm(seen) for seen in them)
        await _all(self.read(seen) for seen in them)

    async def interrupted(self, seen: _Seen) -> None:
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

    async def wait_until_recorded(self, killed: list[_Seen]) -> None:
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
