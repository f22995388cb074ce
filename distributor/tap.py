"""
Command-line options to services: the only place that reads C{sys.argv}, and that knows the reactor.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, ClassVar, cast

from attrs import asdict
from twisted.application.service import IService, MultiService, Service
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.endpoints import quoteStringArgument, serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.logger import ILogObserver, Logger, globalLogPublisher, textFileLogObserver
from twisted.python import usage

from distributor import __version__
from distributor.catalogue import Manifest, load_manifest, parse_manifest
from distributor.config import (
    Config,
    Logs,
    configured_by,
    directories,
    find_config,
    load_config,
    report,
    standalone_config,
    with_port,
)
from distributor.devnet import DemoStorageNode, exhibits, storage_node_service
from distributor.model import DistributorError
from distributor.observe.levels import at_least
from distributor.observe.log_files import LogFiles
from distributor.observe.twistd_log import twistd_log
from distributor.service import CannotStart, Distributor, why
from distributor.web.page import CONTENT_SECURITY_POLICY, PageEntry, page

_log = Logger("distributor")


class _Options(usage.Options):
    """
    Options whose errors are one line on stderr, and exit status 1.
    """

    program: str

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        try:
            super().parseOptions(options)  # type: ignore[no-untyped-call]
        except usage.UsageError as error:
            raise CannotStart(f"{self.program}: {error}") from None


class Options(_Options):
    """
    The options of C{twistd distributor}.
    """

    program = "distributor"
    synopsis = "[--port N | --listen ENDPOINT ...] [--config FILE] [--data-dir DIR] [--check-config]"
    longdesc = (
        "Serves the objects of a media library over HTTP, from disk or from the storage nodes that hold them. "
        "Without a configuration file it serves a small built-in library, on loopback only."
    )
    optParameters: ClassVar = [
        ["port", "p", None, "TCP port of the public API, instead of the configuration's.", int],
        ["config", "c", None, "Configuration file; else $CONFIG_PATH, else ./config.yml, else the built-in demo."],
        ["data-dir", "d", "local", "Where files go if neither the configuration nor systemd says where."],
    ]
    optFlags: ClassVar = [
        [
            "check-config",
            None,
            "Print the configuration in force, and where it comes from, and exit; 1 if it is wrong.",
        ],
    ]

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self["listen"] = []

    def opt_listen(self, endpoint: str) -> None:
        """
        Endpoint of the public API, such as tcp:3334:interface=127.0.0.1 or unix:/run/distributor.sock; may be given
        several times.
        """
        self["listen"].append(endpoint)

    opt_l = opt_listen

    def opt_version(self) -> None:
        """
        Print the version and exit.
        """
        print(f"distributor {__version__}")  # noqa: T201
        raise SystemExit(0)

    def postOptions(self) -> None:
        if self["port"] is not None and self["listen"]:
            raise usage.UsageError("--port and --listen exclude each other")
        _check_port(self["port"])
        if self["check-config"]:
            # Now, because twistd would next refuse to go on beside a node that runs.
            _print_config(self)
            raise SystemExit(0)


def _check_port(port: int | None) -> None:
    if port is not None and not 0 <= port <= 65535:
        raise usage.UsageError(f"--port {port}: a TCP port is between 0 and 65535")


def makeService(options: Options) -> IService:
    """
    The node as a service, checked as far as can be before anything listens.

    @raise CannotStart: something is wrong that the operator can mend.
    """
    from twisted.internet import reactor

    _allow_many_files()
    try:
        return _node(reactor, options)
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


class _Services(MultiService):
    """
    All that twistd runs. It says on stderr why that cannot be started: by then, twistd has put the log in its place.
    """

    def __init__(self, program: str, log: ILogObserver | None = None) -> None:
        """
        @param log: what twistd is to log to; L{None}: as its own options say.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self._program = program
        self._log = log

    def setServiceParent(self, parent: Any) -> None:
        # The application is nowhere else to be had before twistd asks it what to log to.
        super().setServiceParent(parent)  # type: ignore[no-untyped-call]
        if self._log is not None:
            parent.setComponent(ILogObserver, self._log)

    def privilegedStartService(self) -> None:
        try:
            super().privilegedStartService()  # type: ignore[no-untyped-call]
        except (CannotListenError, DistributorError, OSError) as error:
            reason = f"{self._program}: {why(error)}"
            if sys.stderr is not sys.__stderr__:
                _say(reason)
            raise CannotStart(reason) from None


def _say(reason: str) -> None:
    """
    Write a line to the real stderr.
    """
    if sys.__stderr__ is not None:
        sys.__stderr__.write(f"{reason}\n")
        sys.__stderr__.flush()


def _give_up(reactor: Any, reason: str) -> None:
    """
    End a process whose reactor runs already, with exit status 1: twistd has no other way to say that it failed.
    """
    _say(reason)
    _log.critical("{reason}", reason=reason)
    reactor.addSystemEventTrigger("after", "shutdown", os._exit, 1)
    reactor.stop()


def _configured(options: Options) -> tuple[Config, Path | None, bool]:
    """
    What the file and the environment say, the file if there is one, and whether this is the standalone demo.
    """
    cwd = Path.cwd()
    path = find_config(options["config"], os.environ, cwd)
    demo = path is None and not configured_by(os.environ)
    config = standalone_config(os.environ, cwd) if demo else load_config(path, os.environ, cwd)
    if options["port"] is not None:
        config = with_port(config, options["port"], "--port")
    return config, path, demo


def _print_config(options: Options) -> None:
    try:
        config, _, _ = _configured(options)
    except DistributorError as error:
        raise CannotStart(f"distributor: {why(error)}") from None
    where = directories(config, os.environ, Path(options["data-dir"]).absolute())
    print(report(config, where), end="")  # noqa: T201


def _node(reactor: Any, options: Options) -> IService:
    config, path, demo = _configured(options)
    services = _Services("distributor", _log_to(reactor, options, config.logs))
    entries: list[PageEntry] = []
    if demo:
        storage_node = DemoStorageNode(reactor)
        storage_node.setServiceParent(services)  # type: ignore[no-untyped-call]
        written = json.dumps(storage_node.manifest())
        entries = _entries()

        def read() -> Manifest:
            return parse_manifest(written, "the built-in library")

        _log.info("No configuration file: this is the standalone demo")
    else:
        listed_in = config.catalogue.manifest
        if listed_in is None:
            raise CannotStart("distributor: a query node cannot be asked yet: give catalogue.manifest")

        def read() -> Manifest:
            return load_manifest(listed_in)

        _log.info("Configuration: {path}", path=path or "the environment")
    for notice in config.notices:
        _log.warn("Configuration: {notice}", notice=notice)
    where = directories(config, os.environ, Path(options["data-dir"]).absolute())
    node = Distributor(
        reactor,
        config,
        where,
        read,
        _endpoints(reactor, options, config, demo=demo),
        lambda origin: page("Distributor", config.id, entries, origin),
        CONTENT_SECURITY_POLICY,
        os.environ,
        lambda ports: _announce(ports, entries),
        lambda reason: _give_up(reactor, f"distributor: {reason}"),
        # Twisted has put its log in the place of stdout.
        at_terminal=sys.__stdout__ is not None and sys.__stdout__.isatty(),
    )
    node.setServiceParent(services)  # type: ignore[no-untyped-call]
    _Signals(reactor, node).setServiceParent(services)  # type: ignore[no-untyped-call]
    return services


def _entries() -> list[PageEntry]:
    return [
        PageEntry(each.id, each.title, each.type, each.size, each.description, each.captions, each.poster)
        for each in exhibits()
    ]


def _endpoints(reactor: Any, options: Options, config: Config, *, demo: bool) -> list[IStreamServerEndpoint]:
    # A newcomer's first try is nobody else's business; a node with a configuration is there for everybody.
    # Twisted's backlog of 50 would make most of a thousand who come at once try again, a second later.
    default = f"tcp:{config.public_api.port}:backlog=1024" + (":interface=127.0.0.1" if demo else "")
    return [_endpoint(reactor, each) for each in options["listen"] or [default]]


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


class StorageNode:
    """
    What C{twistd storage-node} starts.
    """

    class Options(_Options):
        """
        The options of C{twistd storage-node}.
        """

        program = "storage-node"
        synopsis = "--media DIR [--port N] [--rate BYTES_PER_S] [--delay MS] [--manifest OUT.yml]"
        longdesc = (
            "A storage node over a folder, for development, demos and tests, and for nothing else. A file named by a "
            "number, such as 7.mp4, has that number as its id; the others are numbered in the order of their names."
        )
        optParameters: ClassVar = [
            ["media", "m", None, "The folder; required."],
            ["port", "p", 3333, "TCP port.", int],
            ["interface", "i", "127.0.0.1", "Address to listen on."],
            ["rate", "r", None, "Bytes per second, for all its clients together; without it, as fast as can be.", int],
            ["delay", None, 0, "Milliseconds of silence before each file, as of a node that is far away.", int],
            ["manifest", None, None, "Where to write a manifest of the folder, for a distributor."],
        ]

        def postOptions(self) -> None:
            if self["media"] is None:
                raise usage.UsageError("--media DIR is required")
            if self["rate"] is not None and self["rate"] < 1:
                raise usage.UsageError("--rate: at least 1 byte per second")
            if self["delay"] < 0:
                raise usage.UsageError("--delay: 0 ms or more")
            _check_port(self["port"])

    @staticmethod
    def makeService(options: StorageNode.Options) -> IService:
        """
        @raise CannotStart: the folder cannot be read, or the manifest not written.
        """
        from twisted.internet import reactor

        manifest = Path(options["manifest"]).absolute() if options["manifest"] else None
        description = f"tcp:{options['port']}:interface={quoteStringArgument(options['interface'])}"
        services = _Services("storage-node")
        try:
            node = storage_node_service(
                reactor, Path(options["media"]), description, options["rate"], manifest, options["delay"] / 1000
            )
        except (OSError, ValueError) as error:
            raise CannotStart(f"storage-node: {why(error)}") from None
        node.setServiceParent(services)  # type: ignore[no-untyped-call]
        return services
