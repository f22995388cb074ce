"""
Worker processes: how the node starts them, and what such a process then is.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from twisted.application.service import IService, Service
from twisted.internet.threads import deferToThread

from distributor.config import directories
from distributor.service import Inherited, WorkerService
from distributor.tap.loaded import Loaded
from distributor.tap.options import Options, configured
from distributor.tap.program import Services
from distributor.web.page import CONTENT_SECURITY_POLICY, PageEntry, page
from distributor.workers import CONNECTION_FD, FIRST_PORT_FD

_TWISTD = "from twisted.scripts.twistd import run; run()"


def worker_command(options: Options, path: Path | None) -> list[str]:
    """
    What starts a worker of the node that has been started with C{options}.

    @param path: the configuration file, if there is one.
    """
    command = [sys.executable, "-c", _TWISTD, "-n", "--pidfile=", "--logger", "distributor.observe.relay.relayed"]
    command += ["distributor", "--as-worker", "--data-dir", str(Path(options["data-dir"]).absolute())]
    if path is not None:
        command += ["--config", str(path.absolute())]
    if options["port"] is not None:
        command += ["--port", str(options["port"])]
    for description in options["listen"]:
        command += ["--listen", description]
    return command


def worker(reactor: Any, options: Options, entries: Callable[[], Sequence[PageEntry]]) -> IService:
    """
    A worker as a service.

    @raise DistributorError: the configuration is wrong.
    """
    # Imported here, as the endpoints are the node's.
    from distributor.tap.node import endpoints

    config, _, demo = configured(options)
    services = Services("distributor")
    shown = entries() if demo else ()
    inherited = Inherited(reactor, count(FIRST_PORT_FD))
    service = WorkerService(
        reactor,
        config,
        directories(config, os.environ, Path(options["data-dir"]).absolute()),
        CONNECTION_FD,
        endpoints(inherited, options, config, demo=demo),
        lambda origin: page("Distributor", config.id, shown, origin),
        CONTENT_SECURITY_POLICY,
        reactor.stop,
    )
    service.setServiceParent(services)  # type: ignore[no-untyped-call]
    _Signals(reactor).setServiceParent(services)  # type: ignore[no-untyped-call]
    Loaded(deferToThread).setServiceParent(services)  # type: ignore[no-untyped-call]
    return services


class _Signals(Service):
    """
    A terminal sends its signals to all processes; the owner says what is to be done about them.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        self._reactor.callWhenRunning(self._ignore)

    def _ignore(self) -> None:
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
