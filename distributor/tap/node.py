"""
The node as a service.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

from attrs import asdict
from twisted.application.service import IService, Service
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.internet.threads import deferToThread
from twisted.logger import ILogObserver, Logger, globalLogPublisher, textFileLogObserver

from distributor.catalogue import Manifest, load_manifest, parse_manifest
from distributor.config import Config, Logs, directories
from distributor.devnet import DemoStorageNode, exhibits
from distributor.model import DistributorError
from distributor.observe.levels import at_least
from distributor.observe.log_files import LogFiles
from distributor.observe.twistd_log import twistd_log
from distributor.service import Adoption, CannotStart, Distributor, why
from distributor.tap.adoption import progress_teller
from distributor.tap.loaded import Loaded
from distributor.tap.options import Options, configured
from distributor.tap.program import Services, give_up
from distributor.tap.worker import worker, worker_command
from distributor.web.page import CONTENT_SECURITY_POLICY, PageEntry, page

_log = Logger("distributor")


def makeService(options: Options) -> IService:
    """
    The node as a service, checked as far as can be before anything listens.

    @raise CannotStart: something is wrong that the operator can mend.
    """
    from twisted.internet import reactor

    _allow_many_files()
    try:
        return worker(reactor, options, _entries) if options.is_worker else _node(reactor, options)
    except (DistributorError, OSError) as error:
        raise CannotStart(f"distributor: {why(error)}") from None


def _log_to(reactor: Any, options: Options, logs: Logs) -> ILogObserver | None:
    """
    Begin to log to files of our own, if the configuration asks for them, and say what twistd is to log to.
    """
    if (files := logs.file) is not None:
        sizes = (files.max_bytes, files.max_files)
        file = LogFiles(files.path, files.frequency, *sizes, files.archive, time.time, reactor.callInThread)
        # Unlike what twistd logs to, this sees what is logged from now on.
        globalLogPublisher.addObserver(at_least(files.level, textFileLogObserver(cast(IO[str], file))))
    return twistd_log(logs.console_level, options.parent, reactor.callFromThread)


def _node(reactor: Any, options: Options) -> IService:
    config, path, demo = configured(options)
    services = Services("distributor", _log_to(reactor, options, config.logs))
    entries: list[PageEntry] = []
    read: Callable[[], Manifest] | None
    if demo:
        storage_node = DemoStorageNode(reactor)
        storage_node.setServiceParent(services)  # type: ignore[no-untyped-call]
        written = json.dumps(storage_node.manifest())
        entries = _entries()

        read = partial(parse_manifest, written, "the built-in library")
        _log.info("No configuration file: this is the standalone demo")
    else:
        listed_in = config.catalogue.manifest
        read = None if listed_in is None else partial(load_manifest, listed_in)
        _log.info("Configuration: {path}", path=path or "the environment")
    for notice in config.notices:
        _log.warn("Configuration: {notice}", notice=notice)
    where = directories(config, os.environ, Path(options["data-dir"]).absolute())
    if options["adopt-only"]:
        adoption = Adoption(
            reactor,
            config,
            where,
            read,
            progress_teller(),
            reactor.stop,
            lambda reason: give_up(reactor, f"distributor: {reason}"),
        )
        adoption.setServiceParent(services)  # type: ignore[no-untyped-call]
        return services
    node = Distributor(
        reactor,
        config,
        where,
        read,
        endpoints(reactor, options, config, demo=demo),
        lambda origin: page("Distributor", config.id, entries, origin),
        CONTENT_SECURITY_POLICY,
        os.environ,
        lambda ports: _announce(ports, entries),
        lambda reason: give_up(reactor, f"distributor: {reason}"),
        worker_command(options, path),
        # Twisted has put its log in the place of stdout.
        at_terminal=sys.__stdout__ is not None and sys.__stdout__.isatty(),
    )
    node.setServiceParent(services)  # type: ignore[no-untyped-call]
    _Signals(reactor, node).setServiceParent(services)  # type: ignore[no-untyped-call]
    Loaded(deferToThread).setServiceParent(services)  # type: ignore[no-untyped-call]
    return services


def _entries() -> list[PageEntry]:
    return [
        PageEntry(each.id, each.title, each.type, each.size, each.description, each.captions, each.poster)
        for each in exhibits()
    ]


def endpoints(reactor: Any, options: Options, config: Config, *, demo: bool) -> list[IStreamServerEndpoint]:
    """
    Where the public API listens.

    @raise CannotStart: a description makes no sense.
    """
    # A newcomer's first try is nobody else's business; a node with a configuration is there for everybody.
    # Twisted's backlog of 50 would make most of a thousand who come at once try again, a second later.
    default = f"tcp:{config.public_api.port}:backlog=1024" + (":interface=127.0.0.1" if demo else "")
    descriptions = options["listen"] or [default]
    if config.workers > 1 and any(each.partition(":")[0] not in ("tcp", "ssl") for each in descriptions):
        raise CannotStart("distributor: several workers can share tcp: and ssl: endpoints alone")
    return [_endpoint(reactor, each) for each in descriptions]


def _endpoint(reactor: Any, description: str) -> IStreamServerEndpoint:
    try:
        endpoint: IStreamServerEndpoint = serverFromString(reactor, description)
    except Exception as error:
        # A parser of descriptions may raise whatever its plugin does: ValueError, TypeError, OSError, OpenSSL's.
        raise CannotStart(f"distributor: --listen {description}: {error or type(error).__name__}") from None
    return endpoint


def _allow_many_files() -> None:
    """
    Each reader takes a descriptor, and the usual soft limit of 1024 is for programs that use C{select}.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _announce(ports: Sequence[IListeningPort], entries: Sequence[PageEntry]) -> None:
    """
    Say where the node serves; in the demo, also what, and what to try.
    """
    for port in ports:
        _log.info("Serving at {address}", address=port.getHost())
    web = [address for port in ports if isinstance(address := port.getHost(), (IPv4Address, IPv6Address))]
    if not entries or not web:
        return
    host = web[0].host if web[0].host not in ("0.0.0.0", "::") else "127.0.0.1"
    origin = f"http://[{host}]:{web[0].port}" if ":" in host else f"http://{host}:{web[0].port}"
    for entry in entries:
        _log.info("  {id}  {type:<16} {size:>8} bytes  {title}", **asdict(entry))
    _log.info("Try:")
    _log.info("  curl -O {origin}/api/v1/asset/1", origin=origin)
    _log.info("  curl -i -r 0-99 {origin}/api/v1/asset/5", origin=origin)
    _log.info("  {origin}/ in a browser", origin=origin)


class _Signals(Service):
    """
    SIGHUP reads the manifest again; a second SIGINT or SIGTERM does not wait for answers in progress.
    """

    def __init__(self, reactor: Any, node: Distributor) -> None:
        self._reactor = reactor
        self._node = node
        self._stopping = False

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        # The reactor installs handlers of its own when it starts to run.
        self._reactor.callWhenRunning(self._install)

    def _install(self) -> None:
        signal.signal(signal.SIGHUP, lambda *_: self._reactor.callFromThread(self._node.reload))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self._reactor.callFromThread(self._stop))

    def _stop(self) -> None:
        if self._stopping:
            self._node.hurry()
        else:
            self._stopping = True
            self._reactor.stop()
