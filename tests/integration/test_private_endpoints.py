"""
Storage nodes that the query node says are in the node's own network.
"""

from __future__ import annotations

import json
import socket

from tests.integration.client import get
from tests.integration.network import OURS, QueryNodeProcess, chain, data_object, eventually
from tests.integration.operator import OperatorTestCase

CONTENT = b"something of somebody else's"


class PrivateEndpointTests(OperatorTestCase):
    """
    C{sources.allowPrivateAddresses}.
    """

    def test_refused(self) -> None:
        """
        Nobody connects to this machine, or to the network that it is in, on a stranger's word, in whichever words: not
        for an object, and not to look how fast it is.
        """
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)
        listening.setblocking(False)
        port = listening.getsockname()[1]
        names = (
            *("127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0.0.0.0"),
            *("[::1]", "[::ffff:127.0.0.1]", "[::127.0.0.1]", "user:password@127.0.0.1"),
        )
        endpoints = [
            *(f"http://{name}:{port}/" for name in names),
            *("http://10.0.0.1/", "http://192.168.0.1", "http://169.254.169.254/", "file:///etc/passwd", "nonsense"),
        ]
        network = chain(endpoints, {OURS: [data_object("1", CONTENT)]})
        self.query_node = QueryNodeProcess.start(self, network)
        self.start_operated(sources={"allowPrivateAddresses": False}, intervals={"checkStorageNodeResponseTimes": 1})
        code, _, body = get(self, self.asset("1"))
        # Not 504: it is not that nobody has answered.
        self.assertEqual(code, 502, body)
        private = (f"http://127.0.0.1:{port}", f"http://localhost:{port}", f"http://[::1]:{port}", "http://10.0.0.1")
        eventually(
            self,
            lambda: all("is not a public address" in self.trouble_of(endpoint) for endpoint in private),
            "it is not told why",
        )
        # By then it has been looked how fast they are, too: that comes every second.
        with self.assertRaises(BlockingIOError):
            listening.accept()

    def trouble_of(self, endpoint: str) -> str:
        """
        Why a storage node is no use.
        """
        told = {each["endpoint"].rstrip("/"): each for each in self.told("/explain/1")["storageNodes"]}
        return json.dumps(told.get(endpoint, {}).get("lastError"))

    def test_allowed(self) -> None:
        """
        Where the operator says so, they are storage nodes as any other.
        """
        self.begin({"1": CONTENT})
        self.start_node()
        self.assert_served("1", "miss")
