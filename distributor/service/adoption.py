"""
The verification of all that another program has left, ahead of serving.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from distributor.catalogue import Manifest, QueryNodeCatalogue
from distributor.config import Config, Directories
from distributor.model import DiskFailed, DistributorError
from distributor.service.parts import Parts
from distributor.service.trouble import why
from distributor.transfer import Checked, adopt


class Adoption(Service):
    """
    Verifies every file that nobody has verified, and ends.
    """

    name = "adoption"
    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        config: Config,
        directories: Directories,
        read_manifest: Callable[[], Manifest] | None,
        told: Callable[[Checked], object],
        end: Callable[[], None],
        give_up: Callable[[str], None],
    ) -> None:
        """
        @param read_manifest: reads the catalogue, where that is a file; may block.
        @param told: is told of progress.
        @param end: ends the process.
        @param give_up: is told why it cannot go on, and ends the process.
        @raise DistributorError: the manifest is wrong, or the directories cannot be used.
        @raise OSError: a file cannot be read.
        """
        self._reactor = reactor
        self._parts = Parts(reactor, config, directories, read_manifest, lambda ids: None)
        self._told = told
        self._end = end
        self._give_up = give_up
        self._running: Deferred[None] | None = None

    def startService(self) -> None:
        """
        Begin.
        """
        super().startService()  # type: ignore[no-untyped-call]
        self._parts.threads.start()
        self._running = Deferred.fromCoroutine(self._run())
        self._running.addErrback(self._failed)

    async def _run(self) -> None:
        parts = self._parts
        await parts.store.start()
        if isinstance(parts.catalogue, QueryNodeCatalogue):
            parts.catalogue.start(parts.store.object_ids())
        checked = await adopt(parts.store, parts.node.lookup, self._reactor, parts.threads.disk, self._told)
        self._log.info(
            "{checked} of {total} files checked: {bad} were wrong and are deleted, {left} could not be checked",
            checked=checked.checked,
            total=checked.total,
            bad=len(checked.bad),
            left=checked.left_alone,
        )
        self._end()

    def _failed(self, failure: Failure) -> None:
        error = failure.value
        if isinstance(error, CancelledError):
            return
        if not isinstance(error, (DistributorError, OSError)):
            self._log.failure("adopting", failure)
        self._give_up(why(error) if isinstance(error, Exception) else repr(error))

    def stopService(self) -> Deferred[None]:
        """
        Leave off; what has been verified stays so.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        parts = self._parts
        if self._running is not None:
            self._running.cancel()
        await parts.downloads.stop()
        parts.ownership.stop()
        if isinstance(parts.catalogue, QueryNodeCatalogue):
            await parts.catalogue.stop()
        try:
            await parts.store.save_for_argus()
        except DiskFailed as error:
            self._log.error("cache.json is not written: {error}", error=error)
        await parts.store.stop()
        await parts.connections.close()
        parts.threads.stop()
