"""
What the tests of downloads share.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from distributor.cache import Store
from distributor.devnet import Cut, Ending, Fault
from distributor.model import ByteRange, DistributorError, InThread, Listing
from distributor.observe import Sparse
from distributor.transfer import Download, DownloadReader, disk_writer
from tests.stored import in_thread, started_store
from tests.upstream import Upstream, payload

CONTENT = payload(300_000)
PATIENCE_S = 60.0


def read(reader: DownloadReader, offset: int = 0) -> bytes:
    """
    All that can be read now.
    """
    return os.pread(reader.fd, reader.available(offset), offset) if reader.available(offset) else b""


class DownloadCase(SynchronousTestCase):
    """
    One download over two storage nodes, in whose life no time passes by itself.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.directory = Path(self.mktemp())
        self.store = started_store(self, self.clock, directory=self.directory)
        self.upstream = Upstream(self, self.clock, CONTENT, count=2)
        self.addCleanup(self.assert_nothing_left)
        # In most of what follows no time passes.
        self.patch(disk_writer, "_LINGER_S", 0)

    def assert_nothing_left(self) -> None:
        """
        No call waits, and the store's books are what is on disk.
        """
        self.assertEqual(self.clock.getDelayedCalls(), [])
        files = [path for path in self.directory.glob("assets/**/*") if path.is_file() and path.name != "lock"]
        self.assertEqual((self.store.used, self.store.reserved), (sum(path.stat().st_size for path in files), 0))

    def download(
        self,
        listing: Listing | None = None,
        store: Store | None = None,
        ranges: Sequence[ByteRange] | None = None,
        in_thread: InThread = in_thread,
    ) -> tuple[Download, DownloadReader]:
        """
        One that has not been let run, and a reader of it.
        """
        download = Download(
            listing or self.upstream.listing,
            store or self.store,
            self.upstream.client,
            self.clock,
            in_thread,
            Sparse(self.clock, Logger()),
            PATIENCE_S,
        )
        reader = download.reader(ranges)
        self.addCleanup(reader.close)
        return download, reader

    def run_download(self, download: Download) -> Deferred[None]:
        """
        Let it run as far as it goes by itself.
        """
        over = Deferred.fromCoroutine(download.run())
        self.upstream.flush()
        return over

    def pass_time(self, seconds: float) -> None:
        """
        Let time pass, and what is due in it happen.
        """
        for _ in range(round(seconds / 0.5)):
            self.clock.advance(0.5)
            self.upstream.flush(20)

    def fails(self, reader: DownloadReader, offset: int, error: type[DistributorError]) -> None:
        """
        A reader who waits at C{offset} is told of C{error}.
        """
        waiting = reader.wait(offset)
        self.clock.advance(0)
        self.failureResultOf(waiting, error)

    def stall_at(self, offset: int) -> None:
        """
        The first node gives so many bytes, and then nothing.
        """
        self.upstream.nodes[0].faults.always = Fault(cut=Cut(offset, Ending.STALL))

    def break_off_at(self, offset: int, *indices: int) -> None:
        """
        These nodes give so many bytes of each answer, and close.
        """
        for index in indices:
            self.upstream.nodes[index].faults.always = Fault(cut=Cut(offset, Ending.CLOSE))
