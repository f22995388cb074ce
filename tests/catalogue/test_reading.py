"""
Tests for L{distributor.catalogue.reading}: what third parties have written, and what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from distributor.catalogue.facts import DistributionBucket, ObjectFacts, Unusable
from distributor.catalogue.hydra import HYDRA
from distributor.catalogue.reading import WrongShape, object_ids, shown
from distributor.catalogue.squid import SQUID
from distributor.model import ContentHash, StorageNode
from tests.catalogue.recorded_answers import DIALECTS, recorded

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)

Found = dict[str, Any]


def places(value: Any, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """
    Where there is something in a JSON value.
    """
    if isinstance(value, dict):
        inner = [place for key, each in value.items() for place in places(each, (*at, key))]
    elif isinstance(value, list):
        inner = [place for index, each in enumerate(value) for place in places(each, (*at, index))]
    else:
        inner = []
    return [at, *inner] if at else inner


class ObjectTests(SynchronousTestCase):
    """
    One object, spoiled.
    """

    def read(self, spoil: Callable[[Found], object]) -> Any:
        """
        What becomes of the recorded object once it was spoiled.
        """
        data = deepcopy(recorded(SQUID.generation)["DataObject"][0]["answer"]["data"])
        spoil(data["storageDataObjectByUniqueInput"])
        return SQUID.object("5601").read(data)

    def facts(self, spoil: Callable[[Found], object]) -> ObjectFacts:
        facts = self.read(spoil)
        assert isinstance(facts, ObjectFacts)
        return facts

    def test_bad_endpoints(self) -> None:
        """
        A storage bucket whose endpoint is no use is left out, with a reason, and the others remain.
        """
        for bad in ("storage.example", "ftp://a/", "http://a b/", "http://user:secret@a/", 7, ["http://a/"], "http://"):

            def spoil(found: Found, bad: object = bad) -> None:
                found["storageBag"]["storageBuckets"][0]["storageBucket"]["operatorMetadata"]["nodeEndpoint"] = bad

            facts = self.facts(spoil)
            self.assertEqual([node.id for node in facts.storage_nodes], ["8"])
            self.assertEqual(len(facts.ignored), 1)

    def test_no_endpoint(self) -> None:
        """
        An operator who has not named one yet is nothing to speak of.
        """
        for nothing in (None, ""):

            def spoil(found: Found, nothing: object = nothing) -> None:
                found["storageBag"]["storageBuckets"][0]["storageBucket"]["operatorMetadata"]["nodeEndpoint"] = nothing

            facts = self.facts(spoil)
            self.assertEqual(([node.id for node in facts.storage_nodes], facts.ignored), (["8"], ()))

    def test_blanks_around_an_endpoint(self) -> None:
        """
        Blanks around an endpoint do no harm.
        """

        def spoil(found: Found) -> None:
            found["storageBag"]["storageBuckets"][0]["storageBucket"]["operatorMetadata"] = {
                "nodeEndpoint": " http://a/\n"
            }

        self.assertEqual(self.facts(spoil).storage_nodes[0], StorageNode("0", "http://a/", trusted=False))

    def test_bad_buckets(self) -> None:
        """
        Nor does a bucket that makes no sense at all.
        """

        def spoil(found: Found) -> None:
            found["storageBag"]["storageBuckets"].insert(0, {"storageBucket": {"id": 7}})
            found["storageBag"]["distributionBuckets"].insert(0, {"distributionBucket": {"id": "x\n", "operators": []}})
            found["storageBag"]["distributionBuckets"].insert(0, {"distributionBucket": None})

        facts = self.facts(spoil)
        self.assertEqual([node.id for node in facts.storage_nodes], ["0", "8"])
        self.assertEqual([bucket.id for bucket in facts.buckets], ["0:1", "1:0"])
        self.assertEqual(len(facts.ignored), 3)

    def test_bad_sizes_and_hashes(self) -> None:
        """
        An object without a size or a hash that can be checked is one that there is, but no use.
        """
        for bad in ("", "-1", "1e3", "1_0", " 1", "\u0661", None, 1.5, True, -1, str(2**63), 10**30, [1]):
            self.assertIsInstance(self.read(partial(Found.update, size=bad)), Unusable, bad)
        for bad in ("", "gW", "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG0", None, 7, "g" * 10_000, "\u00e4"):
            self.assertIsInstance(self.read(partial(Found.update, ipfsHash=bad)), Unusable, bad)

    def test_size_as_a_number(self) -> None:
        """
        Some servers write a C{BigInt} as a number.
        """
        self.assertEqual(self.facts(lambda found: found.update(size=12)).object.size, 12)

    def test_types(self) -> None:
        """
        Only a subtitle has a media type, and only one that is text.
        """
        for bad in (
            *("video/mp4", "text/html\r\nX: y", "text", None, 7),
            *({"x": 1}, ["text/vtt"]),
        ):
            subtitle = {"__typename": "DataObjectTypeVideoSubtitle", "subtitle": {"mimeType": bad}}
            self.assertIsNone(self.facts(partial(Found.update, type=subtitle)).object.type)
        for other in (None, 7, {"__typename": "DataObjectTypeVideoMedia", "subtitle": {"mimeType": "text/vtt"}}):
            self.assertIsNone(self.facts(partial(Found.update, type=other)).object.type)

    def test_answers_to_another_question(self) -> None:
        """
        What is not about the object, or not an object at all, is no answer.
        """
        for spoil in (
            lambda found: found.update(id="5602"),
            lambda found: found.update(id=5601),
            lambda found: found.update(isAccepted="false"),
            lambda found: found.update(storageBag=None),
            lambda found: found["storageBag"].update(id="a\nb"),
            lambda found: found["storageBag"].update(storageBuckets={}),
            lambda found: found["storageBag"].update(distributionBuckets=[{}]),
            lambda found: found.clear(),
        ):
            self.assertRaises(WrongShape, self.read, spoil)
        wrong: tuple[object, ...] = (None, [], "x", {}, {"storageDataObjectByUniqueInput": [1]})
        for data in wrong:
            self.assertRaises(WrongShape, SQUID.object("5601").read, data)

    @given(st.data())
    def test_anything_anywhere(self, data: st.DataObject) -> None:
        """
        Whatever stands wherever, the answer is read or refused; and the parts that are read are as they should be.
        """
        dialect = data.draw(st.sampled_from(DIALECTS))
        answer = deepcopy(recorded(dialect.generation)["DataObject"][0]["answer"]["data"])
        *path, last = data.draw(st.sampled_from(places(answer)))
        inner = answer
        for step in path:
            inner = inner[step]
        inner[last] = data.draw(JSON)
        try:
            facts = dialect.object("5601").read(answer)
        except WrongShape:
            return
        if isinstance(facts, ObjectFacts):
            self.assertEqual(facts.object.id, "5601")
            self.assertIsInstance(facts.object.content_hash, ContentHash)
            self.assertGreaterEqual(facts.object.size, 0)
            for node in facts.storage_nodes:
                self.assertRegex(node.endpoint, r"\Ahttps?://[!-~]+\Z")
            for bucket in facts.buckets:
                self.assertIsInstance(bucket, DistributionBucket)


class DistributionTests(SynchronousTestCase):
    """
    Many objects at once.
    """

    def test_ids(self) -> None:
        """
        What is no object id is left out.
        """
        objects = [{"id": each} for each in ("7", "07", "-1", "", "x", 7, None, str(2**64 - 1), str(2**64), "0")]
        self.assertEqual(list(object_ids([{"objects": objects}])), [0, 7, 2**64 - 1])

    def test_wrong_shapes(self) -> None:
        """
        A bag or a bucket without its list is no answer: it could hold anything.
        """
        for dialect in DIALECTS:
            objects: tuple[object, ...] = (None, {}, [{}])
            wrong: tuple[object, ...] = (None, {}, [{"id": "b"}], *([{"id": "b", "objects": each}] for each in objects))
            for bags in wrong:
                self.assertRaises(WrongShape, dialect.objects(["b"]).read, {"storageBags": bags})
            for buckets in (None, [{"id": "0:1"}], [{"id": "0:1", "bags": [7]}], [None]):
                self.assertRaises(WrongShape, dialect.bags(["0:1"]).read, {"distributionBuckets": buckets})

    def test_cursor(self) -> None:
        """
        Another page without a cursor is no answer.
        """
        info = {"hasNextPage": True, "endCursor": None}
        answer = {"storageBucketsConnection": {"edges": [], "pageInfo": info}}
        self.assertRaises(WrongShape, HYDRA.active_storage_nodes(None).read, answer)


class ShownTests(SynchronousTestCase):
    """
    Other people's values in our log.
    """

    def test_shown(self) -> None:
        """
        They are one line, ASCII, and not long.
        """
        self.assertEqual(shown("a\nb\u202e"), r"'a\nb\u202e'")
        self.assertLess(len(shown("x" * 10**6)), 100)
        self.assertLess(len(shown({"x": "y" * 10**6})), 100)
