"""
Tests for L{distributor.devnet.layout} and L{distributor.devnet.guide}.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from twisted.trial.unittest import SynchronousTestCase

from distributor.catalogue import parse_manifest
from distributor.config import parse_config
from distributor.devnet.guide import guide
from distributor.devnet.layout import WORKER_ID, Layout, Role
from distributor.devnet.network import Network
from tests.devnet.layouts import layout


def config(of: Layout, number: int) -> Any:
    """
    The configuration of a distributor, as it is written.
    """
    return yaml.safe_load(of.files()[of.distributor_folder(number) / "config.yml"])


class LayoutTests(SynchronousTestCase):
    """
    Who is there, and who has what.
    """

    def test_programs(self) -> None:
        """
        Three storage nodes, a query node of each generation, and two distributors, each with a port of its own.
        """
        programs = layout().programs()
        self.assertEqual(
            [each.name for each in programs],
            ["storage-0", "storage-1", "storage-2", "query-squid", "query-hydra", "distributor-a", "distributor-b"],
        )
        self.assertEqual([each.role for each in programs].count(Role.STORAGE_NODE), 3)
        self.assertEqual(len({each.url for each in programs}), len(programs))
        for each in programs:
            self.assertIn(each.url.rpartition(":")[2], " ".join(each.arguments), each.name)

    def test_storage_nodes_differ_in_speed(self) -> None:
        """
        So that there is something to choose between.
        """
        rates = {each.arguments[-1] for each in layout().programs() if each.role is Role.STORAGE_NODE}
        self.assertEqual(len(rates), 3)

    def test_every_object_is_stored_twice(self) -> None:
        """
        So any storage node can go away.
        """
        made = layout()
        held = [made.stored(number) for number in range(3)]
        for item in made.objects:
            self.assertGreaterEqual(sum(item.id in ids for ids in held), 2, item.id)

    def test_distributors_have_different_buckets(self) -> None:
        """
        Each distributes something that the other does not; some objects are both's; together they have all.
        """
        made = layout()
        first, second = ({item.id for item in made.distributed(number)} for number in range(2))
        self.assertTrue(first - second)
        self.assertTrue(second - first)
        self.assertTrue(first & second)
        self.assertEqual(first | second, {item.id for item in made.objects})

    def test_configurations(self) -> None:
        """
        One asks a squid, and names its buckets; the other asks a Hydra node which ones its worker has.
        """
        first, second = config(layout(), 0), config(layout(), 1)
        self.assertEqual(first["endpoints"], {"storageSquid": "http://127.0.0.1:4003/graphql"})
        self.assertEqual(second["endpoints"], {"queryNode": "http://127.0.0.1:4004/graphql"})
        self.assertEqual((first["buckets"], second["workerId"]), (["0:0", "0:1"], WORKER_ID))
        self.assertNotIn("workerId", first)
        self.assertNotIn("buckets", second)

    def test_configurations_for_a_manifest(self) -> None:
        """
        The manifest can be read, and lists all objects; it knows no workers, so buckets are named.
        """
        made = layout(from_manifest=True)
        for number, buckets in enumerate((["0:0", "0:1"], ["0:1", "1:0"])):
            written = config(made, number)
            self.assertEqual(written["catalogue"], {"manifest": "/devnet/manifest.yml"})
            self.assertEqual((written["buckets"], "workerId" in written), (buckets, False))
        manifest = parse_manifest(made.files()[Path("/devnet/manifest.yml")], "manifest")
        self.assertEqual(set(manifest.entries), {item.id for item in made.objects})

    def test_configurations_are_right(self) -> None:
        """
        A node takes all of them, private addresses allowed; each has ports of its own.
        """
        ports = set()
        for made in (layout(), layout(from_manifest=True)):
            for number in range(2):
                path = made.distributor_folder(number) / "config.yml"
                read = parse_config(made.files()[path], path, path.parent)
                assert read.operator_api is not None
                ports |= {read.public_api.port, read.operator_api.port}
                self.assertTrue(read.sources.allow_private_addresses)
                self.assertEqual(read.notices, ())
        self.assertEqual(ports, {4005, 4006, 4007, 4008})

    def test_network_file(self) -> None:
        """
        It is what query nodes read.
        """
        made = layout()
        document = json.loads(made.files()[Path("/devnet/network.json")])
        self.assertEqual(Network.from_document(document), made.network)

    def test_guide(self) -> None:
        """
        Whoever starts a devnet is told where everything is, and what to try; of the operator API only where it is on.
        """
        told = guide(layout(), "python")
        for program in layout().programs():
            self.assertIn(program.url, told)
        self.assertIn("python -m distributor status", told)
        self.assertNotIn("distributor status", guide(layout(from_manifest=True), "python"))
