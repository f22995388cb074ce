"""
Tests for L{tools.soak_checks} and L{tools.soak_facts}.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

from attrs import asdict, evolve
from twisted.trial.unittest import SynchronousTestCase

from tools.soak_checks import (
    MIB,
    Check,
    DistributorFacts,
    check_clients,
    check_distributor,
    check_memory,
    report,
    unforeseen,
)
from tools.soak_facts import Descriptors, Disk, descriptors, resident
from tools.soak_wishes import Outcome, Tally

_GOOD = DistributorFacts(
    name="d",
    before=Descriptors(upstream=1, others=15),
    after=Descriptors(upstream=3, ready=7, others=15),
    downloads=0,
    used=1500,
    disk=Disk(1000, 4096, 1),
    rss=[50 * MIB] * 20,
)


def failed(checks: list[Check]) -> list[str]:
    """
    The names of those that did not pass.
    """
    return [each.name for each in checks if not each.well]


class DistributorChecksTests(SynchronousTestCase):
    """
    What becomes of a distributor.
    """

    def assert_fails(self, word: str, **changes: Any) -> None:
        """
        Just the check that has the word in its name fails.
        """
        [name] = failed(check_distributor(evolve(_GOOD, **changes)))
        self.assertIn(word, name)

    def test_good(self) -> None:
        """
        Idle connections to storage nodes are no leak, nor are files that are kept open; nor is the rest of a block at
        the end of an extent.
        """
        self.assertEqual(failed(check_distributor(_GOOD)), [])

    def test_bad(self) -> None:
        """
        Each thing that may go wrong is found.
        """
        self.assert_fails("descriptor", after=Descriptors(served=1, others=15))
        self.assert_fails("descriptor", after=Descriptors(objects=1, others=15))
        self.assert_fails("descriptor", after=Descriptors(lost=1, others=15))
        self.assert_fails("descriptor", after=Descriptors(others=16))
        self.assert_fails("download", downloads=1)
        self.assert_fails("byte on disk", used=200_000)
        self.assert_fails("byte on disk", used=1001, disk=Disk(1000, 0, 0))
        self.assert_fails("same process", ends=["killed"])
        self.assert_fails("memory", rss=[50 * MIB] * 10 + [80 * MIB] * 10)
        self.assert_fails("unhandled", log="one\nTraceback (most recent call last):\n")

    def test_memory(self) -> None:
        """
        What grows at the beginning, and is steady then, is flat; what grows on is not; too little is not known to be.
        """
        self.assertTrue(check_memory([10 * MIB, 30 * MIB, *[60 * MIB] * 10]).well)
        self.assertFalse(check_memory([number * 5 * MIB for number in range(10, 40)]).well)
        self.assertFalse(check_memory([50 * MIB] * 3).well)

    def test_unforeseen(self) -> None:
        """
        Each sign in a log is found, with the line before it.
        """
        log = "a\nUnhandled Error\nTraceback (most recent call last):\nb\nc [x#critical] d\ne [x#warn] f\n"
        self.assertEqual(
            unforeseen(log),
            [
                "a / Unhandled Error",
                "Unhandled Error / Traceback (most recent call last):",
                "b / c [x#critical] d",
            ],
        )


class ClientChecksTests(SynchronousTestCase):
    """
    What clients saw.
    """

    def test_checks(self) -> None:
        """
        A wrong answer, a stuck client, and a node that refuses what it is asked, are each found.
        """
        tally = Tally()
        for _ in range(50):
            tally.count(Outcome.RIGHT)
        self.assertEqual(failed(check_clients(asdict(tally), 50)), [])
        self.assertEqual(len(failed(check_clients(asdict(tally), 51))), 1)
        for outcome in (Outcome.WRONG, Outcome.STUCK):
            worse = Tally(outcomes=dict(tally.outcomes))
            worse.count(outcome, "why")
            self.assertEqual(len(failed(check_clients(asdict(worse), 50))), 1)
        for _ in range(50):
            tally.count(Outcome.REFUSED)
        self.assertEqual(len(failed(check_clients(asdict(tally), 50))), 1)

    def test_report(self) -> None:
        """
        The last line counts.
        """
        told = report([Check("a", True, "1"), Check("b", False, "2")], ["seen"])
        self.assertEqual(told.splitlines()[-1], "1 checks passed, 1 failed")
        self.assertIn("FAIL  b: 2", told)


class FactsTests(SynchronousTestCase):
    """
    What is seen of a process: this one.
    """

    def test_descriptors(self) -> None:
        """
        Connections, files of objects, and sockets that lead nowhere are told apart.
        """
        assets = Path(self.mktemp()).absolute()
        (assets / ".partial").mkdir(parents=True)
        listening = socket.create_server(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        before = descriptors(os.getpid(), {port}, assets)
        client = socket.create_connection(("127.0.0.1", port))
        served, _ = listening.accept()
        lost = socket.socket()
        names = ("6", "7", ".partial/8", "9", "9", ".partial/lock")
        files = [(assets / name).open("wb") for name in names]
        (assets / "7").unlink()
        after = descriptors(os.getpid(), {port}, assets)
        for connection in (listening, client, served, lost):
            connection.close()
        for file in files:
            file.close()
        self.assertEqual((before.served, before.objects), (0, 0))
        self.assertEqual((after.served, after.ready, after.objects, after.lost), (1, 2, 3, before.lost + 1))
        self.assertEqual(after.upstream, before.upstream + 1)
        self.assertEqual(after.others, before.others + 1)

    def test_disk(self) -> None:
        """
        Whole objects count by their size, unfinished ones by what is there of them; other files do not count.
        """
        assets = Path(self.mktemp())
        (assets / ".partial").mkdir(parents=True)
        (assets / "1").write_bytes(b"x" * 1000)
        (assets / "index").write_bytes(b"x" * 1000)
        (assets / ".partial" / "lock").write_bytes(b"x")
        with (assets / ".partial" / "2").open("wb") as file:
            file.seek(10 * MIB)
            file.write(b"x")
        found = Disk.of(assets)
        self.assertEqual((found.complete, found.partials), (1000, 1))
        self.assertTrue(0 < found.partial < MIB, found)

    def test_resident(self) -> None:
        """
        A process has some memory.
        """
        self.assertTrue(MIB < resident(os.getpid()) < 100_000 * MIB)
