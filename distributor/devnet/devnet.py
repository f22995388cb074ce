"""
A devnet: its files, its processes, and what happens to them by chance.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from attrs import frozen
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import deferLater

import distributor
from distributor.devnet.chaos import Deed, Step, Target, next_cure, next_step, pause_s
from distributor.devnet.fleet import Fleet, Listener, Member, NeverReady
from distributor.devnet.generated_media import MIB, media_path, sizes, write_media
from distributor.devnet.layout import LOOPBACK, NETWORK_FILE, Layout, Ports, Role

#: For an answer to C{PUT /fault}, in seconds.
_PATIENCE_S = 5.0

#: How often each node is tried to be put right.
_TRIES = 3

# What would make a node behave otherwise than its files say.
_NOT_INHERITED = ("CONFIG_PATH", "CACHE_DIRECTORY", "STATE_DIRECTORY", "NOTIFY_SOCKET", "PYTHONPATH")
_OVERRIDES = "JOYSTREAM_DISTRIBUTOR__"


def free_ports(number: int) -> list[int]:
    """
    TCP ports of the loopback interface that nobody listens on.

    @raise OSError: there are not so many.
    """
    with ExitStack() as stack:
        taken = [stack.enter_context(socket.create_server((LOOPBACK, 0))) for _ in range(number)]
        return [each.getsockname()[1] for each in taken]


def environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """
    The environment of the processes: with this code, and without what would configure a node.
    """
    kept = {
        name: value
        for name, value in inherited.items()
        if name not in _NOT_INHERITED and not name.startswith(_OVERRIDES)
    }
    return {**kept, "PYTHONPATH": str(Path(distributor.__file__).parents[1]), "PYTHONUNBUFFERED": "1"}


@frozen(kw_only=True)
class Wishes:
    """
    What a devnet is to be like.

    @ivar objects: how many there are.
    @ivar large: the sizes of some of them, in bytes; the others are small.
    @ivar storage_limit: of each distributor, in bytes; not enough for all objects, unless it is meant to be.
    """

    seed: int = 1
    objects: int = 48
    large: tuple[int, ...] | None = None
    storage_limit: int = 96 * MIB
    from_manifest: bool = False


def prepare(directory: Path, ports: Ports, wishes: Wishes) -> Layout:
    """
    Make the files of a devnet in C{directory}, which may hold those of an earlier one. Blocks, for a second or so.

    @raise OSError: they cannot be written.
    """
    large = {} if wishes.large is None else {"large": wishes.large}
    wanted = sizes(wishes.seed, wishes.objects, **large)
    objects = write_media(directory / "media", wishes.seed, wanted)
    layout = Layout(
        directory=directory,
        ports=ports,
        objects=tuple(objects),
        from_manifest=wishes.from_manifest,
        storage_limit=wishes.storage_limit,
    )
    for number in range(len(ports.storage)):
        folder = layout.storage_folder(number)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for object_id in layout.stored(number):
            os.link(media_path(layout.media, object_id), media_path(folder, object_id))
    _forget_other_objects(layout)
    for path, text in layout.files().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return layout


def _forget_other_objects(layout: Layout) -> None:
    # On the chain, an id never comes to mean another object; so distributors keep what an earlier devnet has called so.
    try:
        document = json.loads((layout.directory / NETWORK_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    if document["bags"] == json.loads(json.dumps(layout.network.document()))["bags"]:
        return
    for number in range(len(layout.ports.public)):
        shutil.rmtree(layout.distributor_folder(number), ignore_errors=True)


class Devnet:
    """
    The processes of a layout.

    @ivar members: by name.
    """

    def __init__(self, reactor: Any, layout: Layout, environ: Mapping[str, str], heard: Listener) -> None:
        """
        @param environ: what the processes inherit, once cleaned.
        @param heard: told each line that a process logs.
        """
        env = environment(environ)
        self.layout = layout
        self.members = {
            each.name: Member(reactor, each, layout.log(each.name), env, heard) for each in layout.programs()
        }
        self._fleet = Fleet(self.members)

    def start(self) -> Deferred[None]:
        """
        Fires when all serve.

        @raise NeverReady: one does not.
        """
        return self._fleet.start()

    def stop(self) -> Deferred[None]:
        """
        Fires when no process is left.
        """
        return self._fleet.stop()

    def of_role(self, role: Role) -> list[Member]:
        """
        The members of one kind.
        """
        return [member for member in self.members.values() if member.program.role is role]


class Turmoil:
    """
    Things that happen to the nodes of a devnet, one after the other.

    @ivar deeds: how many of each have been done.
    """

    def __init__(
        self,
        reactor: Any,
        client: HTTPClient,
        devnet: Devnet,
        chance: random.Random,
        heard: Listener,
        victims: Collection[Role] = tuple(Role),
    ) -> None:
        """
        @param client: for telling nodes to do something wrong.
        @param chance: of a seed; but how long a process takes to start is no matter of chance, so a run is never quite
            the same twice.
        @param heard: told what happens.
        @param victims: the kinds of nodes to which it happens.
        """
        self.deeds = dict.fromkeys(Deed, 0)
        self._reactor = reactor
        self._members = {member.program.name: member for role in victims for member in devnet.of_role(role)}
        self._chance = chance
        self._heard = heard
        self._client = client
        self._stopping = False
        self._pause: Deferred[None] | None = None
        self._running: Deferred[None] = succeed(None)

    def start(self) -> None:
        """
        Begin.
        """
        self._running = Deferred.fromCoroutine(self._go_on())

    async def stop(self) -> None:
        """
        End when what is being done is done. What is in trouble stays in trouble.
        """
        self._stopping = True
        if self._pause is not None:
            self._pause.cancel()
        await self._running

    async def heal(self) -> None:
        """
        Put everybody right, or try to.
        """
        for _ in range(_TRIES * len(self._members)):
            step = next_cure(self._targets())
            if step is None:
                return
            await self._do(step)

    async def _go_on(self) -> None:
        while not self._stopping:
            self._pause = deferLater(self._reactor, pause_s(self._chance))
            try:
                await self._pause
            except CancelledError:
                return
            finally:
                self._pause = None
            step = next_step(self._targets(), self._chance)
            if step is not None:
                await self._do(step)

    def _targets(self) -> list[Target]:
        return [Target(name, each.program.role, each.condition) for name, each in self._members.items()]

    async def _do(self, step: Step) -> None:
        self._heard("chaos", f"{step.deed.value} {step.name} {dict(step.fault) or ''}".rstrip())
        self.deeds[step.deed] += 1
        try:
            await self._done(self._members[step.name], step)
        except NeverReady as error:
            self._heard("chaos", f"{step.name} did not come back: {error}")
        except Exception as error:
            # Of HTTP: whatever it is, others are to have their turn.
            self._heard("chaos", f"{step.name} could not be told: {error!r}")

    async def _done(self, member: Member, step: Step) -> None:
        if step.deed is Deed.KILL:
            await member.kill()
        elif step.deed is Deed.RESTART:
            await member.stop()
            await member.start()
        elif step.deed is Deed.REVIVE:
            await member.start()
        elif step.deed is Deed.FREEZE:
            member.freeze()
        elif step.deed is Deed.THAW:
            member.thaw()
        else:
            await self._client.put(f"{member.program.url}/fault", json=dict(step.fault), timeout=_PATIENCE_S)
            member.spoilt = step.deed is Deed.SPOIL
