"""
Tests for L{distributor.catalogue.manifest_catalogue}.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

from blake3 import blake3
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import ILogObserver, LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from distributor.catalogue import Entry, Manifest, ManifestCatalogue, load_manifest, parse_manifest
from distributor.model import (
    BLAKE3_256,
    ContentHash,
    DataObject,
    InThread,
    Listing,
    ObjectNotFound,
    StorageNode,
)
from tests.catalogue.catalogue_contract import CatalogueTestsMixin

IN_THREAD = cast(InThread, maybeDeferred)
NODE = StorageNode("0", "http://127.0.0.1:3333", trusted=True)


def manifest_of(**buckets: tuple[str | int, ...] | None) -> Manifest:
    """
    A manifest of objects C{o1=...}, by their buckets.
    """
    content_hash = ContentHash(BLAKE3_256, blake3(b"").digest())
    entries = [Entry(DataObject(name[1:], 0, content_hash), (NODE,), each) for name, each in buckets.items()]
    return Manifest((NODE,), {entry.object.id: entry for entry in entries})


class Threads:
    """
    Runs work when it is told to.
    """

    def __init__(self) -> None:
        self.waiting: list[Callable[[], object]] = []

    def __call__(self, f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Deferred[Any]:
        result: Deferred[Any] = Deferred()
        self.waiting.append(lambda: maybeDeferred(f, *args, **kwargs).chainDeferred(result))
        return result


class ManifestCatalogueTests(SynchronousTestCase):
    """
    The catalogue answers from the manifest that was read last.
    """

    def setUp(self) -> None:
        self.events: list[dict[str, Any]] = []
        observer = cast(ILogObserver, self.events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def catalogue_of(self, manifest: Manifest, buckets: tuple[str | int, ...] | None = None) -> ManifestCatalogue:
        return ManifestCatalogue(manifest, lambda: manifest, IN_THREAD, buckets)

    def lookup(self, catalogue: ManifestCatalogue, object_id: str) -> Listing:
        listing: Listing = self.successResultOf(Deferred.fromCoroutine(catalogue.lookup(object_id)))
        return listing

    def reload(self, catalogue: ManifestCatalogue) -> bool:
        taken: bool = self.successResultOf(Deferred.fromCoroutine(catalogue.reload()))
        return taken

    def test_lookup(self) -> None:
        """
        An object that is listed is found with its storage nodes; another is not.
        """
        manifest = manifest_of(o7=None)
        catalogue = self.catalogue_of(manifest)
        self.assertEqual(self.lookup(catalogue, "7"), Listing(manifest.entries["7"].object, (NODE,), True))
        for object_id in ("8", "07", ""):
            self.failureResultOf(Deferred.fromCoroutine(catalogue.lookup(object_id)), ObjectNotFound)

    def test_what_is_distributed_here(self) -> None:
        """
        An object is distributed here when it is in no bucket, or in one of ours, numbers being the same as their text.
        """
        manifest = manifest_of(o1=None, o2=("0:0",), o3=("0:1", "5"), o4=(5,), o5=())
        distributed = {
            None: "12345",
            (): "1",
            ("0:0",): "12",
            (5,): "134",
            ("5",): "134",
            ("0:1", "0:0"): "123",
            (50,): "1",
        }
        for buckets, expected in distributed.items():
            catalogue = self.catalogue_of(manifest, buckets)
            here = [each for each in manifest.entries if self.lookup(catalogue, each).distributed_here]
            self.assertEqual("".join(here), expected)

    def test_bucket_ids(self) -> None:
        """
        The buckets are those that the manifest names.
        """
        self.assertEqual(self.catalogue_of(manifest_of(o1=("0:0",), o2=("0:1", 5))).bucket_ids, ("0:0", "0:1", 5))

    def test_configured_buckets_that_nothing_is_in(self) -> None:
        """
        A configured bucket that no object is in is worth a warning, as it may be a slip of the pen.
        """
        manifest = manifest_of(o1=("0:0", 5))
        self.catalogue_of(manifest, ("0:0", "5"))
        self.assertEqual([event for event in self.events if event["log_level"] is LogLevel.warn], [])
        self.catalogue_of(manifest, ("0:0", "1:0", 7))
        [warning] = [event for event in self.events if event["log_level"] is LogLevel.warn]
        self.assertEqual(warning["buckets"], "1:0, 7")

    def test_reload(self) -> None:
        """
        A changed file is taken; a wrong one is refused with one log entry, and the old one stays in force.
        """
        path = Path(self.mktemp())
        catalogue = ManifestCatalogue(Manifest((), {}), partial(load_manifest, path), IN_THREAD)
        content_hash = ContentHash(BLAKE3_256, blake3(b"").digest())
        path.write_text(f"objects: {{7: {{size: 0, hash: {content_hash}}}}}")
        self.assertTrue(self.reload(catalogue))
        self.assertEqual(self.lookup(catalogue, "7").object.size, 0)
        path.write_text("objects: {7: {size: -1}}")
        self.assertFalse(self.reload(catalogue))
        self.assertEqual(self.lookup(catalogue, "7").object.size, 0)
        [error] = [event for event in self.events if event["log_level"] is LogLevel.error]
        self.assertIn('objects."7".size: must be a non-negative integer', error["problems"])

    def test_reload_that_breaks(self) -> None:
        """
        Even an error that nobody foresaw leaves the old manifest in force, and its traceback in the log.
        """
        catalogue = ManifestCatalogue(manifest_of(o7=None), partial(divmod, 1, 0), IN_THREAD)
        self.assertFalse(self.reload(catalogue))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.lookup(catalogue, "7").object.id, "7")

    def test_a_reading_that_takes_long(self) -> None:
        """
        A reading that ends after one that was started later does not undo it.
        """
        threads = Threads()
        readings = iter([manifest_of(o2=None), manifest_of(o1=None)])
        catalogue = ManifestCatalogue(manifest_of(), lambda: next(readings), threads)
        first, second = (Deferred.fromCoroutine(catalogue.reload()) for _ in range(2))
        slow, fast = threads.waiting
        fast()
        self.assertTrue(self.successResultOf(second))
        self.assertNoResult(first)
        slow()
        self.assertFalse(self.successResultOf(first))
        self.assertEqual(self.lookup(catalogue, "2").object.id, "2")

    def test_changes(self) -> None:
        """
        Another manifest is a change; one that is refused is not.
        """
        manifests: list[Manifest | Exception] = [manifest_of(o1=None), ZeroDivisionError()]
        changes: list[None] = []

        def read() -> Manifest:
            manifest = manifests.pop(0)
            if isinstance(manifest, Exception):
                raise manifest
            return manifest

        catalogue = ManifestCatalogue(manifest_of(), read, IN_THREAD, changed=lambda: changes.append(None))
        self.assertTrue(self.reload(catalogue))
        self.assertFalse(self.reload(catalogue))
        self.assertEqual(len(changes), 1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_serves(self) -> None:
        """
        Of an object that it does not list, a manifest says nothing: what was cached may be served on.
        """
        catalogue = self.catalogue_of(manifest_of(o1=("0:0",), o2=("0:1",), o3=None), ("0:0",))
        self.assertEqual([catalogue.serves(each) for each in "1234"], [True, False, True, None])
        self.assertIn("names no buckets", str(catalogue.explain("3")["why"]))
        self.assertEqual(catalogue.explain("4")["state"], "not found")


class ManifestContractTests(CatalogueTestsMixin, SynchronousTestCase):
    """
    The catalogue of a manifest is a catalogue.
    """

    def setUp(self) -> None:
        self.changes = 0

    def catalogue(self) -> ManifestCatalogue:
        content_hash = ContentHash(BLAKE3_256, blake3(b"a film").digest())
        objects = "".join(
            f"  {id}: {{size: 6, hash: {content_hash}, buckets: ['{bucket}'], accepted: {accepted}}}\n"
            for id, bucket, accepted in (("1", "0:0", "true"), ("2", "0:1", "true"), ("3", "0:0", "false"))
        )
        written = f"storageNodes: [{{id: '0', endpoint: 'http://storage.example/'}}]\nobjects:\n{objects}"
        manifest = parse_manifest(written, "test")
        return ManifestCatalogue(manifest, lambda: manifest, IN_THREAD, ("0:0",), 3, self.changed)

    def changed(self) -> None:
        self.changes += 1
