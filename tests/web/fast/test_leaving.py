"""
Tests for L{distributor.web.fast}: what is left of an answer when its client has left.
"""

from __future__ import annotations

import gc

from twisted.trial.unittest import SynchronousTestCase

from distributor.devnet import Cut, Ending, Fault
from distributor.transfer import Passage
from distributor.web.fast.exchange import PlainExchange
from tests.upstream import payload
from tests.web.node_in_memory import ASSET, NodeInMemory

CONTENT = payload(100_000)


def there() -> list[str]:
    """
    Of which kinds something is there.
    """
    return [type(each).__name__ for each in gc.get_objects() if type(each) in (Passage, PlainExchange)]


class LeavingTests(SynchronousTestCase):
    """
    Clients that leave in the middle.
    """

    def test_nothing_is_left(self) -> None:
        """
        What was passed through to a client is gone with it. The garbage collector comes rarely, and what waits for it
        would have a connection's buffers with it.
        """
        node = NodeInMemory(self, CONTENT, largest_cached=len(CONTENT) - 1)
        node.upstream.nodes[0].faults.always = Fault(cut=Cut(len(CONTENT) // 2, Ending.STALL))
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        before = there()
        visit = node.visit()
        visit.send(ASSET)
        node.settle()
        self.assertIn(CONTENT[:1000], visit.wire.received)
        self.assertEqual(sorted(there()), sorted([*before, "Passage", "PlainExchange"]))
        visit.lose()
        node.settle()
        self.assertEqual(there(), before)
