"""
What the APIs show of the whole node: its status, its buckets, its downloads, its metrics.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from distributor import __version__
from distributor.operations import progress_shown
from distributor.service.parts import Parts
from distributor.workers import Crowd

if TYPE_CHECKING:
    from distributor.observe.metrics import Metrics, Standing


class Shown:
    """
    Looks at the parts, each time anew, and changes none.
    """

    def __init__(
        self,
        id: str,
        parts: Parts,
        crowd: Callable[[], Crowd],
        seconds: Callable[[], float],
    ) -> None:
        """
        @param id: the node's.
        @param crowd: the clients of all processes.
        @param seconds: the time.
        """
        self._id = id
        self._store = parts.store
        self._downloads = parts.downloads
        self._catalogue = parts.catalogue
        self._standings = parts.storage_nodes.standings
        self._tally = parts.tally
        self._crowd = crowd
        self._seconds = seconds
        self._metrics: Metrics | None = None
        self._began_at = 0.0

    def begin(self) -> None:
        """
        The node is up from now on.
        """
        self._began_at = self._seconds()

    def status(self) -> dict[str, object]:
        """
        What C{/status} says.
        """
        return {
            "id": self._id,
            "objectsInCache": self._store.object_count,
            "storageLimit": self._store.capacity,
            "storageUsed": self._store.used,
            "uptime": int(self._uptime_s),
            "downloadsInProgress": len(self._downloads),
            "version": __version__,
            **({"queryNodeStatus": status} if "url" in (status := self._catalogue.status()) else {}),
        }

    def buckets(self) -> dict[str, object]:
        """
        What C{/buckets} says.
        """
        selection = self._catalogue.selection
        if selection.buckets is not None:
            return {"bucketIds": list(selection.buckets)}
        if selection.worker_id is not None:
            return {"allByWorkerId": selection.worker_id}
        return {"bucketIds": list(self._catalogue.bucket_ids)}

    def downloads(self) -> dict[str, object]:
        """
        What C{/downloads} says.
        """
        return {"downloads": [progress_shown(download.progress()) for download in self._downloads]}

    def metrics(self) -> Metrics:
        """
        The metrics; they are made when somebody wants them for the first time.
        """
        if self._metrics is None:
            # Imported only now: most nodes have none.
            from distributor.observe.metrics import Metrics

            self._metrics = Metrics(self._tally, self._standing, __version__)
        return self._metrics

    def metrics_text(self) -> tuple[str, bytes]:
        """
        What C{/metrics} says: the media type, and the text.
        """
        metrics = self.metrics()
        return metrics.content_type, metrics.text()

    def for_workers(self) -> Mapping[str, Callable[[], object]]:
        """
        What workers show of the whole node, by what they ask for; JSON-able.
        """
        return {
            "status": self.status,
            "buckets": self.buckets,
            "downloads": self.downloads,
            "metrics": self._metrics_for_workers,
        }

    def _metrics_for_workers(self) -> tuple[str, str]:
        type, text = self.metrics_text()
        return type, text.decode("utf-8")

    def _standing(self) -> Standing:
        from distributor.observe.metrics import Standing

        downloads = list(self._downloads)
        queued = sum(download.progress().state == "queued" for download in downloads)
        catalogue, crowd = self._catalogue.status(), self._crowd()
        return Standing(
            store_used=self._store.used,
            store_reserved=self._store.reserved,
            store_limit=self._store.capacity,
            objects=self._store.object_count,
            downloads_running=len(downloads) - queued,
            downloads_queued=queued,
            readers=sum(download.reader_count for download in downloads),
            answering=crowd.answering,
            connections=crowd.connections,
            uptime_s=self._uptime_s,
            catalogue_up=catalogue["lastError"] is None if "lastError" in catalogue else None,
            breakers=Counter(str(node["breaker"]) for node in self._standings.ranking()),
        )

    @property
    def _uptime_s(self) -> float:
        return self._seconds() - self._began_at
