"""
Tests for L{distributor.devnet.devnet}, with processes that are played.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionRefusedError
from twisted.trial.unittest import SynchronousTestCase

from distributor.devnet.chaos import LONGEST_PAUSE_S, Condition, Deed
from distributor.devnet.devnet import Devnet, Turmoil, Wishes, environment, free_ports, prepare
from distributor.devnet.layout import NUMBER_OF_PORTS, Layout, Ports, Role
from tests.devnet.played import PlayedProcess, PlayingReactor

_PORTS = Ports.from_numbers(range(4000, 4000 + NUMBER_OF_PORTS))


def prepared(directory: Path, seed: int = 1) -> Layout:
    """
    A devnet with small files.
    """
    return prepare(directory, _PORTS, Wishes(seed=seed, objects=6, large=(10_000,)))


class PrepareTests(SynchronousTestCase):
    """
    The files of a devnet.
    """

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()

    def test_storage_folders(self) -> None:
        """
        Each storage node has the files of the objects that it holds, without taking space for them.
        """
        layout = prepared(self.directory)
        for number in range(3):
            there = sorted(layout.storage_folder(number).iterdir())
            self.assertEqual({each.stem for each in there}, set(layout.stored(number)))
            for each in there:
                self.assertTrue(each.samefile(layout.media / each.name))

    def test_again(self) -> None:
        """
        With the same seed, what the distributors hold stays; with another, ids mean other objects, and it goes.
        """
        kept = prepared(self.directory).distributor_folder(1) / "assets" / "1"
        kept.parent.mkdir()
        kept.write_bytes(b"x")
        prepared(self.directory)
        self.assertTrue(kept.exists())
        layout = prepared(self.directory, seed=2)
        self.assertFalse(kept.exists())
        self.assertTrue((layout.distributor_folder(1) / "config.yml").exists())

    def test_environment(self) -> None:
        """
        What would configure a node is not passed on.
        """
        made = environment({"HOME": "/h", "CONFIG_PATH": "x", "JOYSTREAM_DISTRIBUTOR__ID": "x", "PYTHONPATH": "x"})
        self.assertEqual(set(made), {"HOME", "PYTHONPATH", "PYTHONUNBUFFERED"})
        self.assertTrue((Path(made["PYTHONPATH"]) / "distributor" / "devnet").is_dir())

    def test_free_ports(self) -> None:
        """
        They are different ones.
        """
        self.assertEqual(len(set(free_ports(9))), 9)


class Client:
    """
    Stands for HTTP: notes what is put where.
    """

    def __init__(self) -> None:
        self.put_to: list[tuple[str, Mapping[str, Any]]] = []
        self.answer: Deferred[None] | None = None

    def put(self, url: str, json: Mapping[str, Any], timeout: float) -> Deferred[None]:
        self.put_to.append((url, json))
        return succeed(None) if self.answer is None else self.answer


class TurmoilTests(SynchronousTestCase):
    """
    What happens to a devnet. Each process obeys at once.
    """

    def setUp(self) -> None:
        self.reactor = PlayingReactor(self.play)
        self.client = Client()
        self.heard: list[str] = []
        self.fails_to_start = False
        directory = Path(self.mktemp()).absolute()
        directory.mkdir()
        self.devnet = Devnet(self.reactor, prepared(directory), {}, lambda *_: None)
        self.successResultOf(self.devnet.start())
        client: Any = self.client
        self.chance = random.Random(1)
        self.turmoil = Turmoil(self.reactor, client, self.devnet, self.chance, self.hear)

    def hear(self, name: str, line: str) -> None:
        self.heard.append(line)

    def play(self, process: PlayedProcess, signal: int | None) -> None:
        """
        What a process does when it is started, and at a signal.
        """
        if signal is None and self.fails_to_start:
            process.end(1)
        elif signal is None:
            process.say(b"Query node ( Serving at /api/v1/files/\n")
        elif signal in (9, 15):
            process.end(number=signal)

    def conditions(self) -> set[Condition]:
        return {member.condition for member in self.devnet.members.values()}

    def test_things_happen(self) -> None:
        """
        After a while each kind of thing has happened, and something to each node; nothing is over but what was ended.
        """
        self.turmoil.start()
        for _ in range(300):
            self.reactor.advance(LONGEST_PAUSE_S)
        self.assertEqual([deed for deed, number in self.turmoil.deeds.items() if number == 0], [])
        self.assertEqual(sum(self.turmoil.deeds.values()), len(self.heard))
        for name in self.devnet.members:
            self.assertTrue([line for line in self.heard if name in line], name)
        self.assertEqual([member.unexpected for member in self.devnet.members.values() if member.unexpected], [])
        faults = {str(fault) for _, fault in self.client.put_to}
        self.assertIn("{}", faults)
        self.assertGreater(len(faults), 10)
        self.successResultOf(Deferred.fromCoroutine(self.turmoil.stop()))

    def test_spared(self) -> None:
        """
        Nothing happens to kinds of nodes that are to be spared.
        """
        client: Any = self.client
        victims = (Role.STORAGE_NODE, Role.QUERY_NODE)
        turmoil = Turmoil(self.reactor, client, self.devnet, self.chance, self.hear, victims)
        turmoil.start()
        for _ in range(100):
            self.reactor.advance(LONGEST_PAUSE_S)
        self.assertGreater(len(self.heard), 20)
        for member in self.devnet.of_role(Role.DISTRIBUTOR):
            self.assertIs(member.condition, Condition.UP)
            self.assertFalse([line for line in self.heard if member.program.name in line])
        self.successResultOf(Deferred.fromCoroutine(turmoil.stop()))

    def test_stop_and_heal(self) -> None:
        """
        Stopped, nothing more happens; healed, all are well.
        """
        self.turmoil.start()
        while len(self.conditions()) < 2:
            self.reactor.advance(LONGEST_PAUSE_S)
        self.successResultOf(Deferred.fromCoroutine(self.turmoil.stop()))
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.successResultOf(Deferred.fromCoroutine(self.turmoil.heal()))
        self.assertEqual(self.conditions(), {Condition.UP})

    def test_does_not_come_back(self) -> None:
        """
        That a process cannot be started again is told, and turmoil goes on.
        """
        self.turmoil.start()
        self.fails_to_start = True
        while not any("did not come back" in line for line in self.heard):
            self.reactor.advance(LONGEST_PAUSE_S)
        before = len(self.heard)
        self.fails_to_start = False
        for _ in range(50):
            self.reactor.advance(LONGEST_PAUSE_S)
        self.assertGreater(len(self.heard), before)
        self.successResultOf(Deferred.fromCoroutine(self.turmoil.stop()))

    def test_cannot_be_told(self) -> None:
        """
        A node that cannot be told to do something wrong stays as it is.
        """
        self.client.answer = fail(ConnectionRefusedError())
        self.turmoil.start()
        while self.turmoil.deeds[Deed.SPOIL] == 0:
            self.reactor.advance(LONGEST_PAUSE_S)
        self.assertNotIn(Condition.SPOILT, self.conditions())
        self.assertTrue(any("could not be told" in line for line in self.heard))
        self.successResultOf(Deferred.fromCoroutine(self.turmoil.stop()))
