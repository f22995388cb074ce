"""
Tests for L{distributor.catalogue.gathering}.
"""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from distributor.catalogue.facts import Generation, State
from distributor.catalogue.gathering import PAUSE_S, Gathered, Gatherer
from distributor.catalogue.graphql import Endpoint, QueryFailed
from distributor.catalogue.interface import Selection
from distributor.catalogue.query_node import QueryNode
from distributor.model import InThread, StorageNode
from tests.catalogue.query_nodes import URL, Chain, QueryNodeInMemory, hang, refuse, send


def chain() -> Chain:
    """
    Bucket 0:0 has two bags, one of which is in 0:1 too.
    """
    return Chain(
        objects={"1": "a", "2": "a", "3": "b", "4": "c"},
        distributed={"0:0": ["a", "b"], "0:1": ["b"], "0:2": ["c"]},
        operators={"0:0": [(3, "ACTIVE")], "0:1": [(4, "ACTIVE"), (3, "INVITED")], "0:2": [(3, "ACTIVE")]},
    )


class GathererTests(SynchronousTestCase):
    """
    What a node distributes, page by page.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))
        self.use(chain())

    def use(self, chain: Chain, generation: Generation = Generation.SQUID) -> None:
        """
        Bring up a query node.
        """
        in_thread = cast(InThread, maybeDeferred)
        self.memory = QueryNodeInMemory(chain, generation)
        node = QueryNode(Endpoint(self.memory, URL, self.clock, in_thread, "x"), self.clock, 5.0, generation)
        self.gatherer = Gatherer(node, self.clock, in_thread)

    def gather(self, selection: Selection) -> Deferred[Gathered]:
        return Deferred.fromCoroutine(self.gatherer.gather(selection))

    def test_explicit(self) -> None:
        """
        The objects of all bags of the buckets that are named, as text or as a number.
        """
        for generation in Generation:
            self.use(chain(), generation)
            gathered = self.successResultOf(self.gather(Selection(("0:1", "0:0", 9))))
            self.assertEqual((gathered.buckets, gathered.bags), (("0:1", "0:0"), 2))
            self.assertEqual(list(gathered.ids), ["1", "2", "3"])
            self.assertEqual(self.memory.operations, ["Bags", "Objects"])
            self.assertEqual(self.memory.asked[0].variables["buckets"], ["0:1", "0:0", "9"])

    def test_worker(self) -> None:
        """
        The same of all buckets of which a worker is an active operator.
        """
        for generation in Generation:
            self.use(chain(), generation)
            gathered = self.successResultOf(self.gather(Selection(None, 3)))
            self.assertEqual(gathered.buckets, ("0:0", "0:2"))
            self.assertEqual(list(gathered.ids), ["1", "2", "3", "4"])
            self.assertEqual(self.memory.operations, ["BucketsOfWorker", "Bags", "Objects"])

    def test_nothing(self) -> None:
        """
        For no buckets, and for buckets without bags, there is not much to ask.
        """
        self.assertEqual(len(self.successResultOf(self.gather(Selection(()))).ids), 0)
        self.assertEqual(self.memory.operations, [])
        self.assertEqual(len(self.successResultOf(self.gather(Selection(("7:7",)))).ids), 0)
        self.assertEqual(self.memory.operations, ["Bags"])

    def many(self, bags: int = 2500) -> Deferred[Gathered]:
        """
        Ask for many bags, of one object each.
        """
        names = [f"dynamic:channel:{n}" for n in range(bags)]
        self.use(Chain(objects={str(n): name for n, name in enumerate(names)}, distributed={"0:0": names}))
        self.memory.chain.stored.clear()
        return self.gather(Selection(("0:0",)))

    def pages(self) -> list[int]:
        """
        How many bags were asked for at once.
        """
        return [len(asked.variables["bags"]) for asked in self.memory.asked if asked.operation == "Objects"]

    def test_pages(self) -> None:
        """
        At most a thousand bags are asked for at once, and there is a pause before the next.
        """
        gathering = self.many()
        self.assertEqual(self.pages(), [1000])
        self.clock.advance(PAUSE_S - 0.01)
        self.assertEqual(self.pages(), [1000])
        self.clock.advance(0.01)
        self.assertEqual(self.pages(), [1000, 1000])
        self.assertNoResult(gathering)
        self.clock.advance(PAUSE_S)
        self.assertEqual(self.pages(), [1000, 1000, 500])
        self.assertEqual(len(self.successResultOf(gathering).ids), 2500)

    def test_pages_that_are_too_large(self) -> None:
        """
        A page that is more than the query node can say, or we can take in, is asked for as a quarter of it.
        """

        names = [f"dynamic:channel:{n}" for n in range(1200)]
        self.use(Chain(objects={str(n): name for n, name in enumerate(names)}, distributed={"0:0": names}))
        counted = []

        def too_large(request: Any) -> None:
            bags = request.content.getvalue().count(b"dynamic")
            counted.append(bags)
            if bags > 300:
                send(200, b" " * (9 * 1024**2))(request)
                return
            objects = [{"id": "b", "objects": []}]
            send(200, {"data": {"storageBags": objects}})(request)

        self.memory.fault_of["Objects"] = too_large
        gathering = self.gather(Selection(("0:0",)))
        for _ in range(10):
            self.clock.advance(PAUSE_S)
        self.successResultOf(gathering)
        self.assertEqual(counted, [1000, 250, 250, 250, 250, 200])

    def test_pages_that_time_out(self) -> None:
        """
        So is one that takes too long, but not for ever.
        """
        gathering = self.many()
        self.memory.fault_of["Objects"] = hang
        for _ in range(4):
            self.assertNoResult(gathering)
            self.clock.advance(PAUSE_S)
            self.clock.advance(30)
        self.failureResultOf(gathering, QueryFailed)
        self.assertEqual(self.pages(), [1000, 1000, 250, 62, 15])

    def test_a_page_that_fails(self) -> None:
        """
        When one page cannot be had, the whole is not known.
        """
        gathering = self.many()
        self.memory.fault_of["Objects"] = refuse("oh")
        self.clock.advance(PAUSE_S)
        self.failureResultOf(gathering, QueryFailed)

    def test_cancelled(self) -> None:
        """
        It can be given up, between pages too.
        """
        gathering = self.many()
        gathering.cancel()
        self.failureResultOf(gathering)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_storage_nodes(self) -> None:
        """
        All that are active, in either generation.
        """
        for generation in Generation:
            self.use(chain(), generation)
            nodes = self.successResultOf(Deferred.fromCoroutine(self.gatherer.storage_nodes()))
            self.assertEqual(nodes, (StorageNode("0", "https://storage.example/"),))

    def test_pages_of_storage_nodes(self) -> None:
        """
        Page by page; a query node that gives the same page for ever is not asked for ever.
        """
        self.use(chain(), Generation.HYDRA)
        after: list[object] = []

        def answer(request: Any) -> None:
            after.append(self.memory.asked[-1].variables["after"])
            node = {"id": str(len(after)), "operatorMetadata": {"nodeEndpoint": "http://a/"}}
            info = {"hasNextPage": True, "endCursor": "c" if len(after) > 1 else "b"}
            connection = {"edges": [{"node": node}], "pageInfo": info}
            send(200, {"data": {"storageBucketsConnection": connection}})(request)

        self.memory.fault = answer
        asked = Deferred.fromCoroutine(self.gatherer.storage_nodes())
        self.clock.advance(PAUSE_S)
        self.clock.advance(PAUSE_S)
        self.assertEqual([node.id for node in self.successResultOf(asked)], ["1", "2", "3"])
        self.assertEqual(after, [None, "b", "c"])

    def state(self) -> Deferred[State | None]:
        return Deferred.fromCoroutine(self.gatherer.state())

    def test_state(self) -> None:
        """
        The newer generation says how it is, the older is not asked; and that something is wrong with just that is no
        trouble.
        """
        self.assertEqual(self.successResultOf(self.state()), State("test", 1000))
        self.memory.fault = refuse("oh", data={"squidVersion": {"version": "x"}})
        self.assertIsNone(self.successResultOf(self.state()))
        self.memory.fault = send(500, b"")
        self.failureResultOf(self.state(), QueryFailed)
        self.use(chain(), Generation.HYDRA)
        self.assertIsNone(self.successResultOf(self.state()))
        self.assertEqual(self.memory.asked, [])
