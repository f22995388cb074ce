"""
Tests for L{distributor.catalogue.manifest}.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from textwrap import dedent

from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from distributor.catalogue import Entry, Manifest, ManifestError, load_manifest, parse_manifest
from distributor.model import BLAKE3_256, SHA2_256, ContentHash, DataObject, StorageNode
from tests.test_document import json_values, yaml_like

HASH = ContentHash(BLAKE3_256, blake3(b"seven").digest())

WHOLE = f"""
storageNodes:
  - id: "0"
    endpoint: http://127.0.0.1:3333/
  - {{id: 1, endpoint: "https://storage.example/base"}}
objects:
  "7":
    size: 1048576
    hash: {HASH}
    type: video/mp4
    storedBy: [1]
    buckets: ["0:0", 0:1, 5]
    accepted: false
  8: {{size: 0, hash: {HASH}}}
"""

NODE_0 = StorageNode("0", "http://127.0.0.1:3333/", trusted=True)
NODE_1 = StorageNode("1", "https://storage.example/base", trusted=True)

hashes = st.builds(
    ContentHash,
    st.sampled_from((BLAKE3_256, SHA2_256)),
    st.binary(max_size=9).map(lambda b: hashlib.sha256(b).digest()),
)
names = st.text(min_size=1, max_size=9).filter(str.isprintable) | st.sampled_from(
    ("0:1", "null", "1e3", "0o17", "'\"\\")
)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    """
    Any manifest.
    """
    nodes = tuple(
        StorageNode(name, f"http://10.0.0.1:{draw(st.integers(1, 65535))}", trusted=True)
        for name in draw(st.lists(names, unique=True, max_size=3))
    )
    some_nodes = st.lists(st.sampled_from(nodes), unique=True).map(tuple) if nodes else st.just(())
    entries = [
        Entry(
            DataObject(
                str(object_id),
                draw(st.integers(0, 2**63 - 1)),
                draw(hashes),
                draw(st.none() | st.sampled_from(("video/mp4", 'text/vtt; charset="utf-8"'))),
                draw(st.booleans()),
            ),
            draw(st.just(nodes) | some_nodes),
            draw(st.none() | st.lists(names | st.integers(0, 9), max_size=3).map(tuple)),
        )
        for object_id in draw(st.lists(st.integers(0, 10**20 - 1), unique=True, max_size=4))
    ]
    return Manifest(nodes, {entry.object.id: entry for entry in entries})


def plain(manifest: Manifest) -> dict[str, object]:
    """
    A manifest as the values of its file.
    """
    return {
        "storageNodes": [{"id": node.id, "endpoint": node.endpoint} for node in manifest.storage_nodes],
        "objects": {
            object_id: {
                "size": entry.object.size,
                "hash": str(entry.object.content_hash),
                "type": entry.object.type,
                "storedBy": [node.id for node in entry.storage_nodes],
                "buckets": entry.buckets,
                "accepted": entry.object.accepted,
            }
            for object_id, entry in manifest.entries.items()
        },
    }


class ParseTests(SynchronousTestCase):
    """
    A manifest is read whole, or refused with what to mend.
    """

    def refused(self, text: str) -> list[str]:
        return str(self.assertRaises(ManifestError, parse_manifest, text, "m.yml")).split("\n")

    def refused_object(self, **changes: object) -> list[str]:
        """
        What is wrong with a manifest of one object, after C{m.yml: objects."7"}.
        """
        described = {"size": 1, "hash": str(HASH)} | changes
        nodes = [{"id": "0", "endpoint": "http://a"}]
        lines = self.refused(json.dumps({"storageNodes": nodes, "objects": {"7": described}}))
        return [re.sub(r'^m\.yml: objects\."7"', "", line) for line in lines]

    def refused_node(self, **changes: object) -> list[str]:
        described = {"id": "0", "endpoint": "http://a"} | changes
        lines = self.refused(json.dumps({"storageNodes": [described], "objects": {}}))
        return [re.sub(r"^m\.yml: storageNodes\[0\]", "", line) for line in lines]

    def test_whole(self) -> None:
        """
        Every key arrives, ids become text, storage nodes are trusted, and what is absent means what the format says.
        """
        manifest = parse_manifest(WHOLE, "m.yml")
        self.assertEqual(manifest.storage_nodes, (NODE_0, NODE_1))
        self.assertEqual(
            dict(manifest.entries),
            {
                "7": Entry(DataObject("7", 1048576, HASH, "video/mp4", False), (NODE_1,), ("0:0", "0:1", 5)),
                "8": Entry(DataObject("8", 0, HASH, None, True), (NODE_0, NODE_1), None),
            },
        )
        self.assertEqual(list(manifest.entries), ["7", "8"])

    def test_bucket_ids(self) -> None:
        """
        The buckets of a manifest are all that its objects name, once, as they are written first.
        """
        node = DataObject("1", 0, HASH)
        buckets = [("0:0", 5), None, ("5", "0:0", "0:1"), ()]
        entries = {str(n): Entry(node, (), each) for n, each in enumerate(buckets)}
        self.assertEqual(Manifest((), entries).bucket_ids, ("0:0", 5, "0:1"))

    def test_nothing_listed(self) -> None:
        """
        A manifest may list nothing, but has to say so: one that was cut short is refused.
        """
        self.assertEqual(parse_manifest("objects: {}", "m.yml"), Manifest((), {}))
        for text in ("storageNodes: []", "objects:"):
            self.assertEqual(
                self.refused(text),
                ["m.yml: objects: is required, and must be a mapping from object ids to objects; {} for none"],
            )
        self.assertEqual(self.refused(""), ["m.yml: must be a mapping with the keys storageNodes, objects"])

    def test_sizes(self) -> None:
        """
        A size is an integer that is not negative.
        """
        for size in (-1, True, 1.5, "1"):
            self.assertEqual(self.refused_object(size=size), [".size: must be a non-negative integer"])
        self.assertEqual(self.refused_object(size=2**63), [".size: must be an integer that fits in 64 bits"])
        self.assertEqual(self.refused_object(size=None), [".size: is required, and must be a non-negative integer"])

    def test_hashes(self) -> None:
        """
        A hash is a multihash that the node can compute; the message says why one is not.
        """
        for value in (7, "gW", "0OIl", "x" * 10_000, "é", ""):
            [line] = self.refused_object(hash=value)
            self.assertRegex(line, r"^\.hash: must be a base58 multihash, BLAKE3-256 or SHA2-256(: not a .+)?$")

    def test_types(self) -> None:
        """
        A type has the form of a media type, and nothing that would end a header.
        """
        for value in ("mp4", "video/", "video/mp4\r\nX: y", "video/mp4; a=\n", "video/mp4\n", "", 7, "vidéo/mp4"):
            self.assertEqual(self.refused_object(type=value), [".type: must be a media type such as video/mp4"])

    def test_stored_by(self) -> None:
        """
        Only storage nodes that the manifest names can store an object.
        """
        self.assertEqual(
            self.refused_object(storedBy=["0", "1", 2]),
            [
                ".storedBy[1]: must be the id of one of storageNodes",
                ".storedBy[2]: must be the id of one of storageNodes",
            ],
        )
        text = json.dumps({"objects": {key: {"size": 1, "hash": str(HASH), "storedBy": [0]} for key in "78"}})
        self.assertEqual(len(self.refused(text)), 2)
        self.assertEqual(self.refused_object(storedBy="0"), [".storedBy: must be a list of ids of storage nodes"])

    def test_stored_by_nobody_and_twice(self) -> None:
        """
        An empty list is not the absence of one, and a node that is named twice stores the object once.
        """
        for written, nodes in {"[]": (), "[1, '1', 0]": (NODE_1, NODE_0)}.items():
            manifest = parse_manifest(WHOLE.replace("[1]", written), "m.yml")
            self.assertEqual(manifest.entries["7"].storage_nodes, nodes)

    def test_other_keys_of_objects(self) -> None:
        """
        Buckets are a list of ids, "accepted" is a boolean, and nothing else is known.
        """
        self.assertEqual(self.refused_object(buckets="0:0"), [".buckets: must be a list of bucket ids"])
        self.assertEqual(self.refused_object(buckets=[True]), [".buckets[0]: must be text or a non-negative integer"])
        self.assertEqual(self.refused_object(accepted="yes"), [".accepted: must be true or false"])
        self.assertEqual(self.refused_object(stored_by=[]), [".stored_by: unknown key, did you mean storedBy?"])

    def test_object_ids(self) -> None:
        """
        Ids are canonical decimals.
        """
        for object_id in ("07", "-1", "1" * 21, "a", "0x10", "..", "", "٣", "1e3"):
            lines = self.refused(json.dumps({"objects": {object_id: {}}}))
            self.assertRegex(lines[0], r"^m\.yml: objects\.(\".*\"|a): must be an object id: decimal, .+$")
        self.assertEqual(
            self.refused("objects: {7: 5}"),
            ['m.yml: objects."7": must be a mapping with the keys size, hash, type, storedBy, buckets, accepted'],
        )

    def test_endpoints(self) -> None:
        """
        An endpoint is an http or https URL with a host, and without what could not precede a path.
        """
        expected = ".endpoint: must be an http or https URL with a host, and without credentials, query or fragment"
        for value in (
            "", "a", "//a", "ftp://a", "file:///etc", "http://", "http:///x", "http://:80", "http://u@a", "http://u:p@a",
            "http://@a", "http://a?x", "http://a#x", "http://a b", "http://a\n", "http://a\tb", "http://é",
            "http://a:99999", "http://a:0", "http://a:x", "http://[::1", "http://a\\@b", 7,
        ):  # fmt: skip
            self.assertEqual(self.refused_node(endpoint=value), [expected], repr(value))
        for value in ("http://a", "HTTPS://a.example:1/x/", "http://[::1]:3333/", "http://127.0.0.1:3333"):
            text = json.dumps({"storageNodes": [{"id": 0, "endpoint": value}], "objects": {}})
            self.assertEqual(parse_manifest(text, "m.json").storage_nodes, (StorageNode("0", value, trusted=True),))

    def test_ids_of_storage_nodes(self) -> None:
        """
        Ids of storage nodes differ, also when one is written as a number.
        """
        text = "storageNodes: [{id: 0, endpoint: 'http://a'}, {id: '0', endpoint: 'http://b'}]\nobjects: {}"
        self.assertEqual(
            self.refused(text), ["m.yml: storageNodes[1].id: must be unlike the ids of the storage nodes above it"]
        )
        self.assertEqual(self.refused_node(id=None), [".id: is required, and must be text or a non-negative integer"])
        self.assertEqual(self.refused_node(nodeEndpoint="x"), [".nodeEndpoint: unknown key, did you mean endpoint?"])
        self.assertEqual(
            self.refused("storageNodes: {}\nobjects: {}"), ["m.yml: storageNodes: must be a list of storage nodes"]
        )

    def test_text(self) -> None:
        """
        Errors of syntax, and ids given twice, come as errors of the manifest.
        """
        self.assertEqual(self.refused("objects:\n  7: {}\n  '7': {}\n"), ['m.yml:3: the key "7" is given twice'])
        self.assertEqual(len(self.refused(json.dumps({"objects": {str(n): {} for n in range(1000)}}))), 21)

    @given(manifests())
    def test_any_manifest(self, manifest: Manifest) -> None:
        """
        Every manifest can be written, in YAML as in JSON, so that it is read as the same.
        """
        values = plain(manifest)
        self.assertEqual(parse_manifest(json.dumps(values), "m.json"), manifest)
        # After a comment it is not JSON, and yet YAML.
        flow = "# objects\n" + json.dumps(values, ensure_ascii=False)
        self.assertEqual(parse_manifest(flow, "m.yml"), manifest)

    @given(st.text() | yaml_like | json_values.map(json.dumps))
    def test_any_text(self, text: str) -> None:
        """
        Whatever is in the file, it is refused as a manifest, or read.
        """
        for whole in (text, f"objects: {text}", f"storageNodes: {text}\nobjects: {{}}", f"objects:\n  7: {text}"):
            try:
                parse_manifest(whole, "m.yml")
            except ManifestError as error:
                for line in str(error).split("\n"):
                    self.assertRegex(line, r"\Am\.yml(:\d+)?: .+\Z")

    @given(st.fixed_dictionaries({}, optional=dict.fromkeys(("size", "hash", "type", "storedBy", "id"), json_values)))
    def test_any_values(self, values: dict[str, object]) -> None:
        """
        Whatever the values of known keys, the manifest is refused, or read.
        """
        text = json.dumps({"storageNodes": [values], "objects": {"7": values}})
        self.assertRaises(ManifestError, parse_manifest, text, "m.json")


class LoadTests(SynchronousTestCase):
    """
    Files are read.
    """

    def test_file(self) -> None:
        """
        A file is read, and errors in it are called by its path.
        """
        path = Path(self.mktemp())
        path.write_text(WHOLE)
        self.assertEqual(load_manifest(path), parse_manifest(WHOLE, "m.yml"))
        path.write_text("objects: []")
        self.assertIn(f"{path}: objects: must be", str(self.assertRaises(ManifestError, load_manifest, path)))

    def test_no_such_file(self) -> None:
        """
        A file that cannot be read is an error of the manifest.
        """
        path = Path(self.mktemp())
        error = self.assertRaises(ManifestError, load_manifest, path)
        self.assertEqual(str(error), f"{path}: cannot be read: No such file or directory")

    def test_documented_example(self) -> None:
        """
        The example in the documentation is a valid manifest.
        """
        page = (Path(__file__).parents[2] / "docs" / "configuration.rst").read_text()
        [example] = re.findall(r"\.\. code-block:: yaml\n   :caption: manifest\.yml\n\n((?:   .*\n|\n)+)", page)
        manifest = parse_manifest(dedent(example), "example")
        self.assertEqual(manifest.entries["7"].buckets, ("0:0",))
