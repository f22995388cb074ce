"""
The options of C{twistd distributor}, and the configuration that they lead to.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

from twisted.python import usage

from distributor import __version__
from distributor.config import (
    Config,
    configured_by,
    directories,
    find_config,
    load_config,
    report,
    standalone_config,
    with_port,
    with_workers,
)
from distributor.model import DistributorError
from distributor.service import CannotStart, why
from distributor.tap.program import ProgramOptions, check_port


class Options(ProgramOptions):
    """
    The options of C{twistd distributor}.
    """

    program = "distributor"
    synopsis = "[--port N | --listen ENDPOINT ...] [--config FILE] [--data-dir DIR] [--check-config | --adopt-only]"
    longdesc = (
        "Serves the objects of a media library over HTTP, from disk or from the storage nodes that hold them. "
        "Without a configuration file it serves a small built-in library, on loopback only."
    )
    optParameters: ClassVar = [
        ["port", "p", None, "TCP port of the public API, instead of the configuration's.", int],
        ["config", "c", None, "Configuration file; else $CONFIG_PATH, else ./config.yml, else the built-in demo."],
        ["data-dir", "d", "local", "Where files go if neither the configuration nor systemd says where."],
        ["workers", "w", None, "How many processes share the ports, instead of the configuration's number.", int],
    ]
    optFlags: ClassVar = [
        [
            "adopt-only",
            None,
            "Verify all files that another program has left, such as Argus, and exit, without serving.",
        ],
        [
            "check-config",
            None,
            "Print the configuration in force, and where it comes from, and exit; 1 if it is wrong.",
        ],
    ]
    #: Whether this is one of the processes that the node has started.
    is_worker = False

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self["listen"] = []

    def opt_as_worker(self) -> None:
        """
        For the node itself, which starts its workers so.
        """
        self.is_worker = True

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
        check_port(self["port"])
        if self["workers"] is not None and not 1 <= self["workers"] <= 64:
            raise usage.UsageError(f"--workers {self['workers']}: from 1 to 64")
        if self["check-config"]:
            # Now, because twistd would next refuse to go on beside a node that runs.
            _print_config(self)
            raise SystemExit(0)


def configured(options: Options) -> tuple[Config, Path | None, bool]:
    """
    What the file and the environment say, the file if there is one, and whether this is the standalone demo.
    """
    cwd = Path.cwd()
    path = find_config(options["config"], os.environ, cwd)
    demo = path is None and not configured_by(os.environ)
    config = standalone_config(os.environ, cwd) if demo else load_config(path, os.environ, cwd)
    if options["port"] is not None:
        config = with_port(config, options["port"], "--port")
    if options["workers"] is not None:
        config = with_workers(config, options["workers"], "--workers")
    return config, path, demo


def _print_config(options: Options) -> None:
    try:
        config, _, _ = configured(options)
    except DistributorError as error:
        raise CannotStart(f"distributor: {why(error)}") from None
    where = directories(config, os.environ, Path(options["data-dir"]).absolute())
    print(report(config, where), end="")  # noqa: T201
