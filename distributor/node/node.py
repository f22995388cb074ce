"""
What a request is answered from: the store, else a download in progress, else the catalogue and the storage nodes.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Protocol as TypingProtocol

from attrs import evolve
from twisted.internet.interfaces import IReactorTime

from distributor.cache import Entry, Store
from distributor.model import (
    ByteRange,
    CacheState,
    DataObject,
    InThread,
    IReader,
    Listing,
    ObjectNotAccepted,
    ObjectNotDistributed,
)
from distributor.node.opened import Found, Opened
from distributor.node.passages import Passages
from distributor.node.shelf import Shelf
from distributor.observe import Sparse
from distributor.sources import StorageNodes
from distributor.transfer import Downloads, IDownloadReader, Passage


class Catalogue(TypingProtocol):
    """
    What the node asks of a catalogue.

    @ivar negative_ttl_s: for how long it may be remembered that an object is not here; whole seconds.
    """

    negative_ttl_s: int

    async def lookup(self, object_id: str) -> Listing:
        """
        @raise ObjectNotFound: there is no such object.
        @raise CatalogueUnavailable: it cannot say.
        """


class Node(Shelf):
    """
    Brings the store, the downloads, the catalogue and the storage nodes together.
    """

    downloads_here = True

    def __init__(
        self,
        store: Store,
        downloads: Downloads,
        catalogue: Catalogue,
        storage_nodes: StorageNodes,
        clock: IReactorTime,
        in_thread: InThread,
        trouble: Sparse,
        *,
        largest_cached: int | None,
        patience_s: float,
        most_passages: int,
        departed: Container[str] = (),
    ) -> None:
        """
        @param trouble: where a failing disk is told of.
        @param largest_cached: larger objects are passed through; in bytes.
        @param patience_s: for how long a reader waits for its first byte.
        @param most_passages: how many answers may be passed through at once.
        @param departed: the ids of objects, on the disk or on their way there, that are other nodes' by now.
        """
        super().__init__(store, in_thread, trouble, largest_cached, catalogue.negative_ttl_s)
        self._store = store
        self._downloads = downloads
        self._catalogue = catalogue
        self._storage_nodes = storage_nodes
        self._passages = Passages(storage_nodes, clock, in_thread, patience_s, most_passages)
        self._clock = clock
        self._departed = departed

    def stored(self, object_id: str) -> Entry | None:
        """
        A complete object, to be served from the disk.
        """
        return None if object_id in self._departed else super().stored(object_id)

    async def find(self, object_id: str) -> Found:
        """
        What there is to know of an object without opening it.

        @raise ObjectNotFound: there is no such object.
        @raise ObjectNotDistributed: others distribute it.
        @raise ObjectNotAccepted: it has not been uploaded yet.
        @raise CatalogueUnavailable: nothing is known of it, and the catalogue cannot say.
        """
        entry = self.stored(object_id)
        if entry is not None:
            return self.found(object_id, entry)
        coming = self.coming(object_id)
        if coming is not None:
            return coming
        began = self._clock.seconds()
        listing = await self.lookup(object_id)
        took_s = self._clock.seconds() - began
        return Found(listing.object, self._cold_state(listing.object), listing.object.type, listing, took_s)

    def coming(self, object_id: str) -> Found | None:
        """
        What there is to know of an object that is being downloaded.
        """
        download = self._downloads.get(object_id)
        if download is None or download.error is not None or object_id in self._departed:
            return None
        return Found(download.object, download.cache_state, download.media_type, download.listing)

    def join(self, object_id: str, wanted: ByteRange) -> IDownloadReader | None:
        """
        A reader of a download, if there is one. The caller closes it.
        """
        download = self._downloads.get(object_id)
        return None if download is None or download.error is not None else download.reader((wanted,))

    def join_now(self, object_id: str, wanted: ByteRange) -> IDownloadReader | None:
        """
        The same, if that has what C{wanted} begins with.
        """
        download = self._downloads.get(object_id)
        return self.join(object_id, wanted) if download is not None and download.ready(wanted.start) else None

    def look(self) -> None:
        """
        Take what storage nodes have answered meanwhile.
        """
        self._storage_nodes.look()

    def _cold_state(self, object: DataObject) -> CacheState:
        """
        C{PENDING} for a file that another program has left here, as all that is to be done is to verify it.
        """
        adoptable = self._store.unverified.get(object.id) == object.size
        return CacheState.PENDING if adoptable else CacheState.MISS

    async def lookup(self, object_id: str) -> Listing:
        """
        What the catalogue says of an object that this node is to serve.

        @raise DistributorError: it is not there, not ours, or not known.
        """
        listing = await self._catalogue.lookup(object_id)
        if not listing.distributed_here:
            raise ObjectNotDistributed(object_id)
        if not listing.object.accepted:
            raise ObjectNotAccepted(object_id)
        known_type = self._store.known_type(object_id)
        if listing.object.type is None and known_type is not None:
            # Another program has found it out, for a file that it has left here.
            return evolve(listing, object=evolve(listing.object, type=known_type))
        return listing

    async def listed(self, object_id: str) -> Found:
        """
        What the catalogue says, for an answer that is to be passed through.

        @raise DistributorError: as L{lookup}.
        """
        listing = await self.lookup(object_id)
        return Found(listing.object, CacheState.MISS, listing.object.type, listing)

    async def open(self, found: Found, ranges: Sequence[ByteRange]) -> Opened:
        """
        Start, or join, whatever gives the bytes of an object. The caller closes what it gets.

        @param ranges: what is going to be read, in this order.

        @raise Overloaded: too many downloads wait already.
        """
        object_id = found.object.id
        while True:
            opened = await self.open_stored(found)
            if opened is not None:
                return opened
            download = self._downloads.get(object_id)
            if download is not None:
                if download.error is None:
                    return Opened(self, found, download.cache_state, download.reader(ranges), None, joined=True)
                # It has failed and is putting its file away; the next one can go on from what there is.
                await self._downloads.over(download)
            elif found.listing is None:
                found = evolve(found, listing=await self.lookup(object_id))
            else:
                return self._fetch(found, found.listing, ranges)

    def _fetch(self, found: Found, listing: Listing, ranges: Sequence[ByteRange]) -> Opened:
        unreadable = self._store.get(found.object.id) is not None
        if unreadable or not self.keeps(found.object):
            return Opened(self, found, CacheState.MISS, None, None)
        state = self._cold_state(found.object)
        return Opened(self, found, state, self._downloads.start(listing, ranges), None)

    async def wait(self, reader: IReader, offset: int) -> None:
        """
        Wait for a reader's first byte.

        @raise Overloaded: it has taken too long.
        """
        await self._passages.deadlines.in_time(reader.wait(offset))

    async def passage(self, found: Found, wanted: ByteRange, reader: IReader | None) -> Passage:
        """
        C{wanted} from a storage node, its first byte ready.

        @param reader: what has given the bytes before C{wanted}, if they are still to be read there.
        @raise DistributorError: no storage node has it.
        """
        listing = found.listing or await self.lookup(found.object.id)
        return await self._passages.passage(listing, wanted, reader)
