"""
C{twistd distributor --adopt-only}: what another program has left is verified, and nothing is served.
"""

from __future__ import annotations

import json
import shutil

from tests.integration.client import get
from tests.integration.process import Node, ProcessTestCase, StorageNodeProcess, run_to_end
from tests.upstream import payload

CONTENT = payload(3_000_000)


class AdoptOnlyTests(ProcessTestCase):
    """
    A folder of three files, one of them wrong.
    """

    def test_ahead(self) -> None:
        """
        The right ones are hits from the first request of the node that is started next; the wrong one is not there.
        """
        media, data = self.directory(), self.directory()
        assets = data / "assets"
        assets.mkdir()
        for number in "123":
            (media / number).write_bytes(CONTENT + number.encode("ascii"))
            shutil.copy(media / number, assets / number)
        (assets / "2").write_bytes(CONTENT + b"x")
        storage = StorageNodeProcess.start(self, media)
        config = self.directory() / "config.yml"
        config.write_text(json.dumps({"id": "a-node", "catalogue": {"manifest": str(storage.manifest)}}))
        ended = run_to_end(self, "distributor", "--adopt-only", "--config", config, "--data-dir", data)
        self.assertEqual(ended.returncode, 0, ended.stdout + ended.stderr)
        self.assertIn("3 of 3 files checked: 1 were wrong and are deleted, 0 could not be checked", ended.stdout)
        self.assertNotIn("Serving at", ended.stdout)
        self.assertEqual(sorted(path.name for path in assets.iterdir() if path.is_file()), ["1", "3"])
        listed = json.loads((data / "state" / "cache.json").read_text())
        self.assertEqual(sorted(id for group in listed["lruCacheGroups"] for id, _ in group), ["1", "3"])

        node = Node.start(self, manifest=storage.manifest, data_dir=data)
        states = {number: self.state(node, number) for number in "123"}
        self.assertEqual(states, {"1": "hit", "2": "miss", "3": "hit"})

    def state(self, node: Node, object_id: str) -> str:
        """
        What C{X-Cache} says of an object.
        """
        status, answer, body = get(self, f"{node.url}/api/v1/asset/{object_id}")
        self.assertEqual((status, body), (200, CONTENT + object_id.encode("ascii")))
        return str(answer.headers["X-Cache"])
