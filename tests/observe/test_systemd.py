"""
Tests for L{distributor.observe.systemd}.
"""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path
from typing import cast

from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from distributor.observe.systemd import READY, RELOADING, STOPPING, notify


class NotifyTests(SynchronousTestCase):
    """
    What a supervisor hears, over a socket of its own.
    """

    def setUp(self) -> None:
        # Not mktemp: the address of a UNIX socket has at most 107 bytes, and trial's directory may be deep.
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        self.supervisor = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.addCleanup(self.supervisor.close)
        self.events: list[LogEvent] = []
        observer = cast(ILogObserver, self.events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def warnings(self) -> list[LogEvent]:
        return [event for event in self.events if event.get("log_namespace") == "distributor.observe.systemd"]

    def test_a_path(self) -> None:
        """
        Each message is one datagram to the socket in the file system.
        """
        address = str(self.directory / "notify")
        self.supervisor.bind(address)
        for message in (READY, RELOADING, STOPPING):
            notify(message, {"NOTIFY_SOCKET": address})
            self.assertEqual(self.supervisor.recv(100), message.encode("ascii"))
        self.assertEqual(self.warnings(), [])

    def test_an_abstract_address(self) -> None:
        """
        A leading C{@} stands for the NUL of an abstract address.
        """
        name = f"{self.directory}/abstract"
        self.supervisor.bind("\0" + name)
        notify(READY, {"NOTIFY_SOCKET": "@" + name})
        self.assertEqual(self.supervisor.recv(100), b"READY=1")

    def test_no_supervisor(self) -> None:
        """
        Without C{NOTIFY_SOCKET}, or with an empty one, nothing is sent and nothing is said.
        """
        notify(READY, {})
        notify(READY, {"NOTIFY_SOCKET": ""})
        self.assertEqual(self.warnings(), [])

    def test_a_supervisor_that_is_gone(self) -> None:
        """
        A socket that is not there costs a warning, not the node.
        """
        notify(READY, {"NOTIFY_SOCKET": str(self.directory / "nobody")})
        [event] = self.warnings()
        self.assertEqual(event["told"], READY)
        self.assertIsInstance(event["error"], FileNotFoundError)

    def test_a_supervisor_that_does_not_read(self) -> None:
        """
        When the supervisor's queue is full, the message is given up at once, with a warning.
        """
        address = str(self.directory / "notify")
        self.supervisor.bind(address)
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as other,
            self.assertRaises(BlockingIOError),
        ):
            while True:
                other.sendto(b"noise", address)
        notify(READY, {"NOTIFY_SOCKET": address})
        [event] = self.warnings()
        self.assertIsInstance(event["error"], BlockingIOError)

    def test_an_address_of_another_kind(self) -> None:
        """
        An address that is no UNIX socket's is refused with a warning, not taken for a file in the working directory.
        """
        notify(READY, {"NOTIFY_SOCKET": "vsock:2:1"})
        [event] = self.warnings()
        self.assertEqual(event["address"], "vsock:2:1")
