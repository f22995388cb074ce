"""
What a devnet consists of: which programs, which files they read, and who holds what. Pure.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from enum import Enum
from pathlib import Path

import yaml
from attrs import field, frozen

from distributor.devnet.answers import Generation
from distributor.devnet.generated_media import MIB
from distributor.devnet.network import Bag, DistributionBucket, Network, Operator, StorageBucket
from distributor.model import DataObject

LOOPBACK = "127.0.0.1"

#: Bytes per second of each storage node: one that nobody waits for, one as at home, and one that is too slow for video.
STORAGE_RATES = (48 * MIB, 12 * MIB, 3 * MIB)

#: Which storage nodes and which distribution buckets have the bags, the first to the last.
_BAGS = (
    ((0, 1, 2), ("0:0",)),
    ((0, 1), ("0:0", "0:1")),
    ((1, 2), ("0:1",)),
    ((0, 2), ("1:0",)),
)

#: The worker whose buckets the second distributor serves; the first names its buckets.
WORKER_ID = 2
_FIRST_BUCKETS = ("0:0", "0:1")
_DISTRIBUTION_BUCKETS = (
    DistributionBucket("0:0", (Operator(1),)),
    DistributionBucket("0:1", (Operator(1), Operator(WORKER_ID))),
    DistributionBucket("1:0", (Operator(WORKER_ID), Operator(1, active=False))),
)

#: Who can connect to a loopback port can as well read the file that this is in.
_SECRET = "devnet"

#: What the query nodes read, in the directory of a devnet.
NETWORK_FILE = "network.json"

_TWISTD = "from twisted.scripts.twistd import run; run()"


class Role(Enum):
    """
    What a program of the devnet is.
    """

    STORAGE_NODE = "storage node"
    QUERY_NODE = "query node"
    DISTRIBUTOR = "distributor"


@frozen
class Ports:
    """
    TCP ports, all of the loopback interface.

    @ivar storage: one for each storage node.
    @ivar query: one for each generation of query nodes.
    @ivar public: of the distributors' public APIs.
    @ivar operator: of their operator APIs.
    """

    storage: tuple[int, ...]
    query: tuple[int, ...]
    public: tuple[int, ...]
    operator: tuple[int, ...]

    @classmethod
    def from_numbers(cls, numbers: Sequence[int]) -> Ports:
        """
        Hand out L{NUMBER_OF_PORTS} numbers.
        """
        storage, query, public, operator = (tuple(numbers[start:stop]) for start, stop in _SHARES)
        return cls(storage, query, public, operator)


_SHARES = ((0, 3), (3, 5), (5, 7), (7, 9))

#: How many ports a devnet takes.
NUMBER_OF_PORTS = 9


@frozen
class Program:
    """
    A process of the devnet.

    @ivar name: what its lines of log are marked with.
    @ivar arguments: the whole command.
    @ivar ready: a regular expression that is found in its log once it serves.
    @ivar url: where it serves, with no slash at its end.
    """

    name: str
    role: Role
    arguments: tuple[str, ...]
    ready: str
    url: str


def network(objects: Sequence[DataObject], ports: Ports) -> Network:
    """
    The objects in bags, each bag in some storage buckets and some distribution buckets.
    """
    bags = tuple(
        Bag(
            f"dynamic:channel:{number + 1}",
            tuple(objects[number :: len(_BAGS)]),
            tuple(map(str, storage)),
            distribution,
        )
        for number, (storage, distribution) in enumerate(_BAGS)
    )
    storage_buckets = tuple(
        StorageBucket(str(number), url_of(port) + "/", worker_id=10 + number)
        for number, port in enumerate(ports.storage)
    )
    return Network(bags, storage_buckets, _DISTRIBUTION_BUCKETS, height=1000)


def url_of(port: int) -> str:
    """
    Where who listens on C{port} is, with no slash at the end.
    """
    return f"http://{LOOPBACK}:{port}"


@frozen(kw_only=True)
class Layout:
    """
    A devnet in a directory.

    @ivar from_manifest: whether the distributors read a manifest instead of asking query nodes.
    @ivar storage_limit: of each distributor, in bytes; multiples of a MiB.
    """

    directory: Path
    ports: Ports
    objects: tuple[DataObject, ...]
    from_manifest: bool = False
    storage_limit: int
    network: Network = field(init=False)

    def __attrs_post_init__(self) -> None:
        # Frozen, so not by assignment.
        object.__setattr__(self, "network", network(self.objects, self.ports))

    @property
    def media(self) -> Path:
        """
        Where every object is.
        """
        return self.directory / "media"

    def storage_folder(self, number: int) -> Path:
        """
        Where the objects of one storage node are.
        """
        return self.directory / f"storage-{number}"

    def stored(self, number: int) -> list[str]:
        """
        The ids of the objects that a storage node holds.
        """
        return [item.id for bag in self.network.bags if str(number) in bag.storage_buckets for item in bag.objects]

    def distributed(self, number: int) -> list[DataObject]:
        """
        The objects that a distributor distributes.
        """
        buckets = _FIRST_BUCKETS if number == 0 else self.network.served_by(WORKER_ID)
        return self.network.distributed(buckets)

    def distributor_folder(self, number: int) -> Path:
        """
        Where a distributor's configuration, its store and its state are.
        """
        return self.directory / distributor_name(number)

    def log(self, name: str) -> Path:
        """
        Where the log of a program goes.
        """
        return self.directory / "logs" / f"{name}.log"

    def files(self) -> dict[Path, str]:
        """
        The files that the programs read, but for the media.
        """
        configured = {self._config_path(number): self._config(number) for number in range(len(self.ports.public))}
        return {
            self.directory / NETWORK_FILE: json.dumps(self.network.document(), indent=1),
            self.directory / "manifest.yml": yaml.safe_dump(self.network.manifest(), sort_keys=False),
            **{path: yaml.safe_dump(config, sort_keys=False) for path, config in configured.items()},
        }

    def programs(self) -> list[Program]:
        """
        All of them; those that others need come first.
        """
        storage = [self._storage_node(number) for number in range(len(self.ports.storage))]
        distributors = [self._distributor(number) for number in range(len(self.ports.public))]
        return [*storage, *map(self._query_node, Generation), *distributors]

    def _storage_node(self, number: int) -> Program:
        port = self.ports.storage[number]
        options = ("--media", str(self.storage_folder(number)), "--port", str(port))
        command = _twistd("storage-node", *options, "--rate", str(STORAGE_RATES[number]))
        return Program(f"storage-{number}", Role.STORAGE_NODE, command, "/api/v1/files/", url_of(port))

    def _query_node(self, generation: Generation) -> Program:
        port = self._query_port(generation)
        options = (str(self.directory / NETWORK_FILE), "--generation", generation.value, "--port", str(port))
        command = (sys.executable, "-m", "distributor.devnet.query_node", *options)
        name = f"query-{generation.value}"
        return Program(name, Role.QUERY_NODE, command, r"Query node \(", url_of(port))

    def _query_port(self, generation: Generation) -> int:
        return self.ports.query[list(Generation).index(generation)]

    def _distributor(self, number: int) -> Program:
        port = self.ports.public[number]
        listen = f"tcp:{port}:interface={LOOPBACK}"
        command = _twistd("distributor", "--config", str(self._config_path(number)), "--listen", listen)
        return Program(distributor_name(number), Role.DISTRIBUTOR, command, "Serving at ", url_of(port))

    def _config_path(self, number: int) -> Path:
        return self.distributor_folder(number) / "config.yml"

    def _config(self, number: int) -> dict[str, object]:
        return {
            "id": distributor_name(number),
            **self._catalogue(number),
            "sources": {"allowPrivateAddresses": True},
            "directories": {"assets": "assets", "cacheState": "state"},
            "limits": {
                "storage": f"{self.storage_limit // MIB}M",
                "outboundRequestsTimeoutMs": 2000,
                "dataObjectSourceByObjectIdTTL": 5,
                "queryNodeCacheTTL": 5,
            },
            "intervals": {"checkStorageNodeResponseTimes": 10, "cacheCleanup": 5},
            "publicApi": {"port": self.ports.public[number], "showDownloads": True},
            "operatorApi": {"port": self.ports.operator[number], "hmacSecret": _SECRET},
        }

    def _catalogue(self, number: int) -> dict[str, object]:
        worker_buckets = list(self.network.served_by(WORKER_ID))
        buckets = list(_FIRST_BUCKETS) if number == 0 else worker_buckets
        if self.from_manifest:
            # It knows no workers.
            return {"catalogue": {"manifest": str(self.directory / "manifest.yml")}, "buckets": buckets}
        generation = list(Generation)[number]
        key = {Generation.SQUID: "storageSquid", Generation.HYDRA: "queryNode"}[generation]
        served: dict[str, object] = {"buckets": buckets} if number == 0 else {"workerId": WORKER_ID}
        return {"endpoints": {key: f"{url_of(self._query_port(generation))}/graphql"}, **served}


def distributor_name(number: int) -> str:
    """
    The name of a distributor, from 0 on.
    """
    return f"distributor-{'ab'[number]}"


def _twistd(*arguments: str) -> tuple[str, ...]:
    # Not the script in the venv: there may be none beside this interpreter.
    return (sys.executable, "-c", _TWISTD, "-n", "--pidfile=", *arguments)
