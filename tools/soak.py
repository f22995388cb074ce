"""
The soak: a devnet in turmoil, and clients that ask its distributors for whole objects and ranges, some of them slow or
rude, and compare every byte. C{make soak} runs it for ten minutes, C{make soak SECONDS=60} for one.

Everything is on the loopback interface, in a temporary directory, and bounded. Exit status 0: all is well.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
from collections.abc import Sequence
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from attrs import asdict
from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, deferLater, react
from twisted.internet.utils import getProcessOutputAndValue
from twisted.web.client import Agent

from distributor.devnet.devnet import Devnet, Turmoil, Wishes, environment, free_ports, prepare
from distributor.devnet.fleet import Member
from distributor.devnet.layout import NUMBER_OF_PORTS, Layout, Ports, Role
from tools.soak_checks import MIB, Check, DistributorFacts, check_clients, check_distributor, report
from tools.soak_facts import Descriptors, Disk, descriptors, resident

#: How many of the clients are slow or rude: one in twenty, and one at least of each run.
_RUDE = 0.05

#: What the distributors can keep is half of what there is, and hardly more than the largest object: so there is always
#: something to evict, and at times no room.
_OBJECTS, _STORAGE_LIMIT = 120, 72 * MIB

#: How long a distributor may take to come to rest once the clients have gone, in seconds.
_REST_S = 60.0

#: Between two looks at it, in seconds.
_PAUSE_S = 0.5

_PATIENCE_S = 10.0

_ROOT = Path(__file__).resolve().parents[1]


class Watched:
    """
    A distributor of the soak.
    """

    def __init__(self, reactor: Any, layout: Layout, number: int, member: Member) -> None:
        self.member = member
        self.rss: list[int] = []
        self._assets = layout.distributor_folder(number) / "assets"
        self._ports = {layout.ports.public[number], layout.ports.operator[number]}
        self._log = layout.log(member.program.name)
        self._client = HTTPClient(Agent(reactor))

    def sample(self) -> None:
        """
        Note how much memory it has.
        """
        if self.member.pid is not None:
            self.rss.append(resident(self.member.pid))

    def descriptors(self) -> Descriptors:
        """
        Its open files.
        """
        return Descriptors() if self.member.pid is None else descriptors(self.member.pid, self._ports, self._assets)

    async def status(self) -> dict[str, Any]:
        """
        What it says of itself.
        """
        url = f"{self.member.program.url}/api/v1/status"
        answer = await self._client.get(url, timeout=_PATIENCE_S)
        status: dict[str, Any] = await answer.json()
        return status

    async def at_rest(self, reactor: Any) -> tuple[dict[str, Any], Descriptors]:
        """
        Wait until nobody is being served and nothing is being downloaded, or for as long as that may take.

        @return: what it says of itself then, and its open files.
        """
        for _ in range(int(_REST_S / _PAUSE_S)):
            status = await self.status()
            # The connection of that very question is to be gone, too.
            await deferLater(reactor, _PAUSE_S)
            found = self.descriptors()
            if status["downloadsInProgress"] == found.served == found.objects == found.lost == 0:
                break
        return status, found

    async def facts(self, reactor: Any, before: Descriptors) -> DistributorFacts:
        """
        What has become of it.
        """
        status, after = await self.at_rest(reactor)
        return DistributorFacts(
            name=self.member.program.name,
            before=before,
            after=after,
            downloads=status["downloadsInProgress"],
            used=status["storageUsed"],
            disk=Disk.of(self._assets),
            rss=self.rss,
            ends=self.member.unexpected,
            log=self.log(),
        )

    def log(self) -> str:
        """
        All that it has said.
        """
        return self._log.read_text(encoding="utf-8", errors="replace")


def sample(watched: Sequence[Watched]) -> None:
    """
    Look at each of them.
    """
    for each in watched:
        each.sample()


def plan_of(layout: Layout, options: argparse.Namespace) -> dict[str, Any]:
    """
    What the clients are to do.
    """
    targets = [
        {"port": port, "ids": [item.id for item in layout.distributed(number)]}
        for number, port in enumerate(layout.ports.public)
    ]
    return {
        "targets": targets,
        "sizes": {item.id: item.size for item in layout.objects},
        "media": str(layout.media),
        "clients": options.clients,
        "rude": ceil(options.clients * _RUDE),
        "seconds": options.seconds,
        "bytes_per_s": options.rate * MIB,
        "seed": options.seed,
    }


async def ask(reactor: Any, plan: Path) -> dict[str, Any]:
    """
    Run the clients to their end.

    @return: what has come of it.
    @raise RuntimeError: they failed, which is no fault of any node's.
    """
    arguments = ("-m", "tools.soak_clients", str(plan))
    env = environment(os.environ)
    out, err, status = await getProcessOutputAndValue(sys.executable, arguments, env, str(_ROOT), reactor)
    if status != 0:
        raise RuntimeError(f"the clients ended with status {status}:\n{err.decode('utf-8', 'replace')}")
    found: dict[str, Any] = json.loads(out)
    return found


async def soak(reactor: Any, options: argparse.Namespace, directory: Path) -> tuple[list[Check], dict[str, Any]]:
    """
    The whole of it.

    @return: what is concluded, and what was seen.
    """
    wishes = Wishes(seed=options.seed, objects=_OBJECTS, storage_limit=_STORAGE_LIMIT, from_manifest=options.manifest)
    layout = prepare(directory, Ports.from_numbers(free_ports(NUMBER_OF_PORTS)), wishes)

    def heard(name: str, line: str) -> None:
        if name == "chaos" and options.verbose:
            print(f"{name} | {line}", flush=True)

    devnet = Devnet(reactor, layout, os.environ, heard)
    # Distributors are what is looked at: one that is killed cannot leak.
    victims = (Role.STORAGE_NODE, Role.QUERY_NODE)
    turmoil = Turmoil(reactor, HTTPClient(Agent(reactor)), devnet, random.Random(options.seed), heard, victims)
    members = devnet.of_role(Role.DISTRIBUTOR)
    watched = [Watched(reactor, layout, number, member) for number, member in enumerate(members)]
    plan = directory / "plan.json"
    plan.write_text(json.dumps(plan_of(layout, options)), encoding="utf-8")
    sampling = LoopingCall(sample, watched)
    sampling.clock = reactor
    try:
        await devnet.start()
        before = [(await one.at_rest(reactor))[1] for one in watched]
        print(f"Asking for {options.seconds:g} s, with {options.clients} clients ...", flush=True)
        turmoil.start()
        sampled = sampling.start(1.0)
        tally = await ask(reactor, plan)
        sampling.stop()
        await sampled
        await turmoil.stop()
        await turmoil.heal()
        facts = [await one.facts(reactor, first) for one, first in zip(watched, before, strict=True)]
    finally:
        if sampling.running:
            sampling.stop()
        await turmoil.stop()
        await devnet.stop()
    checks = check_clients(tally, options.clients)
    for each in facts:
        checks += check_distributor(each)
    seen = {
        "seconds": options.seconds,
        "seed": options.seed,
        "clients": tally,
        "deeds": {deed.value: number for deed, number in turmoil.deeds.items()},
        "distributors": [{**asdict(each), "log": ""} for each in facts],
    }
    return checks, seen


def summary(seen: dict[str, Any]) -> list[str]:
    """
    What was seen, in a few lines.
    """
    clients = seen["clients"]

    def told(counts: dict[str, int]) -> str:
        return ", ".join(f"{name} {number}" for name, number in sorted(counts.items()) if number)

    return [
        f"Seed {seen['seed']}, {seen['seconds']:g} s, {clients['bytes'] / MIB:.0f} MiB compared",
        f"Outcomes: {told(clients['outcomes'])}",
        f"Statuses: {told(clients['statuses'])}",
        f"X-Cache: {told(clients['caches'])}",
        f"Rude: {told(clients['rude'])}",
        f"Chaos: {told(seen['deeds'])}",
    ]


async def main(reactor: Any, *arguments: str) -> None:
    """
    @raise SystemExit: with 1 where something is not as it should be.
    """
    parser = argparse.ArgumentParser(prog="python -m tools.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="how long the clients ask")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=int, default=48, metavar="MIB", help="MiB per second that all clients may read")
    parser.add_argument("--output", type=Path, help="where to write what was seen, as JSON")
    parser.add_argument("--manifest", action="store_true", help="the distributors read a manifest")
    parser.add_argument("--verbose", action="store_true", help="tell what chaos does")
    parser.add_argument("--dir", type=Path, help="where the files of the devnet go, and stay, its logs among them")
    options = parser.parse_args(arguments)
    if options.dir is not None and options.dir.exists() and any(options.dir.iterdir()):
        parser.error(f"{options.dir} is not empty")
    with TemporaryDirectory(prefix="soak-") as temporary:
        directory = options.dir or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        checks, seen = await soak(reactor, options, directory.absolute())
    if options.output is not None:
        document = {**seen, "checks": [asdict(each) for each in checks]}
        options.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(report(checks, summary(seen)))
    if not all(each.well for each in checks):
        raise SystemExit(1)


def run(arguments: Sequence[str]) -> None:
    """
    Run the soak.
    """
    react(lambda reactor, *each: Deferred.fromCoroutine(main(reactor, *each)), arguments)


if __name__ == "__main__":
    run(sys.argv[1:])
