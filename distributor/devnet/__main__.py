"""
C{python -m distributor.devnet}, which is what C{make devnet} runs: a network of processes on the loopback interface.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from treq.client import HTTPClient
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import react
from twisted.web.client import Agent

from distributor.devnet.devnet import Devnet, Turmoil, Wishes, free_ports, prepare
from distributor.devnet.fleet import NeverReady
from distributor.devnet.guide import guide
from distributor.devnet.layout import NUMBER_OF_PORTS, Ports


def parser() -> argparse.ArgumentParser:
    """
    The command line.
    """
    options = argparse.ArgumentParser(
        prog="python -m distributor.devnet",
        description="Runs a query node of each generation, three storage nodes of different speed, and two "
        "distributors with different buckets, on the loopback interface, until Ctrl-C.",
    )
    options.add_argument("--dir", type=Path, help="where its files go, and stay; else a temporary directory")
    options.add_argument("--ports", type=int, metavar="FIRST", help="listen on this port and the 8 after it; else any")
    options.add_argument("--seed", type=int, default=1, help="determines the media, and the choices of chaos")
    options.add_argument("--objects", type=int, default=48, help="how many objects there are")
    options.add_argument("--chaos", action="store_true", help="kill, stop, spoil and revive nodes at random")
    options.add_argument(
        "--manifest", action="store_true", help="the distributors read a manifest instead of asking query nodes"
    )
    options.add_argument("--quiet", action="store_true", help="keep the logs of the processes in their files")
    return options


def say(name: str, line: str) -> None:
    """
    A line of somebody's, for the terminal.
    """
    sys.stdout.write(f"{name:<14} | {line}\n")
    sys.stdout.flush()


def interrupted(reactor: Any) -> Deferred[None]:
    """
    Fires at the first SIGINT or SIGTERM.
    """
    told: Deferred[None] = Deferred()

    def tell() -> None:
        if not told.called:
            told.callback(None)

    def install() -> None:
        # The reactor's own handlers would stop it before the processes have ended.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: reactor.callFromThread(tell))

    reactor.callWhenRunning(install)
    return told


def _as_typed(path: str) -> str:
    here = os.path.relpath(path)
    return path if here.startswith("..") else here


async def run(reactor: Any, options: argparse.Namespace) -> None:
    """
    The whole life of a devnet.

    @raise SystemExit: it could not be started.
    """
    end = interrupted(reactor)
    with ExitStack() as stack:
        directory = options.dir or Path(stack.enter_context(TemporaryDirectory(prefix="devnet-")))
        directory.mkdir(parents=True, exist_ok=True)
        first = options.ports
        numbers = free_ports(NUMBER_OF_PORTS) if first is None else range(first, first + NUMBER_OF_PORTS)
        wishes = Wishes(seed=options.seed, objects=options.objects, from_manifest=options.manifest)
        layout = prepare(directory.absolute(), Ports.from_numbers(numbers), wishes)
        heard = (lambda name, line: None) if options.quiet else say
        devnet = Devnet(reactor, layout, os.environ, heard)
        turmoil = Turmoil(reactor, HTTPClient(Agent(reactor)), devnet, random.Random(options.seed), say)
        try:
            await DeferredList([devnet.start(), end], fireOnOneCallback=True, fireOnOneErrback=True, consumeErrors=True)
            if not end.called:
                sys.stdout.write(guide(layout, _as_typed(sys.executable)) + "\n")
                sys.stdout.flush()
                if options.chaos:
                    turmoil.start()
                await end
        except Exception as error:
            cause = getattr(error, "subFailure", None)
            if cause is None or not cause.check(NeverReady):
                raise
            raise SystemExit(f"devnet: a process did not come up: {cause.getErrorMessage()}; see above") from None
        finally:
            say("devnet", "stopping")
            await turmoil.stop()
            await devnet.stop()
            say("devnet", "stopped")


def main(arguments: Sequence[str]) -> None:
    """
    Run until told to stop.
    """
    react(lambda reactor, options: Deferred.fromCoroutine(run(reactor, options)), (parser().parse_args(arguments),))


if __name__ == "__main__":
    main(sys.argv[1:])
