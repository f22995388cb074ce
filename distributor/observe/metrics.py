"""
What Prometheus reads: the tally, and how things stand at that moment.

See U{https://prometheus.io/docs/practices/naming/} for the names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate

from attrs import frozen
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from distributor.observe.tally import Tally

PREFIX = "distributor_"


@frozen(kw_only=True)
class Standing:
    """
    How things stand.

    @ivar store_used: bytes on disk.
    @ivar store_reserved: bytes that downloads may still write.
    @ivar store_limit: bytes that the store may take.
    @ivar readers: how many answers read a download that is running or queued.
    @ivar answering: how many assets are being answered.
    @ivar connections: how many clients are connected to the public API.
    @ivar catalogue_up: whether the query node has answered lately; L{None} where there is none.
    @ivar breakers: how many storage nodes there are in each state of the circuit breaker.
    """

    store_used: int
    store_reserved: int
    store_limit: int
    objects: int
    downloads_running: int
    downloads_queued: int
    readers: int
    answering: int
    connections: int
    uptime_s: float
    catalogue_up: bool | None = None
    breakers: Mapping[str, int] | None = None


class _Node(Collector):
    """
    Makes metrics of a tally when it is asked to.
    """

    def __init__(self, tally: Tally, standing: Callable[[], Standing], version: str) -> None:
        self._tally = tally
        self._standing = standing
        self._version = version

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily(f"{PREFIX}build", "The program.", {"version": self._version})
        yield from self._counters()
        yield self._first_byte()
        yield from _gauges(self._standing())

    def _counters(self) -> Iterator[Metric]:
        tally = self._tally
        answers = CounterMetricFamily(
            f"{PREFIX}requests",
            "Requests for assets that were answered, by the state of the cache and status.",
            labels=["cache", "status"],
        )
        for (cache, status), count in sorted(tally.answers.items(), key=lambda item: str(item[0])):
            answers.add_metric(["none" if cache is None else cache.value, str(status)], count)
        yield answers
        yield _labelled("storage_node_requests", "Requests to storage nodes.", "outcome", tally.storage_requests)
        yield _labelled("catalogue_requests", "Requests to the query node.", "outcome", tally.catalogue_requests)
        downloads = {"finished": tally.downloads_finished, "failed": tally.downloads_failed}
        yield _labelled("downloads_ended", "Downloads that have ended.", "outcome", downloads)
        faults = {kind.value: count for kind, count in tally.faults.items()}
        yield _labelled("storage_node_faults", "Wrong bytes from storage nodes.", "kind", faults)
        for name, text, value in (
            ("sent_bytes", "Bytes of objects sent to clients.", tally.bytes_sent),
            ("received_bytes", "Bytes of objects received from storage nodes.", tally.bytes_received),
            ("evictions", "Objects deleted to make room.", tally.evictions),
            ("evicted_bytes", "Bytes of objects deleted to make room.", tally.bytes_evicted),
        ):
            yield CounterMetricFamily(PREFIX + name, text, value=value)

    def _first_byte(self) -> Metric:
        histogram = self._tally.first_byte
        bounds = [*(repr(bound) for bound in histogram.bounds_s), "+Inf"]
        return HistogramMetricFamily(
            f"{PREFIX}first_byte_seconds",
            "How long clients waited for an answer with bytes to begin.",
            buckets=list(zip(bounds, accumulate(histogram.counts), strict=True)),
            sum_value=histogram.sum_s,
        )


def _labelled(name: str, text: str, label: str, counts: Mapping[str, int]) -> Metric:
    metric = CounterMetricFamily(PREFIX + name, text, labels=[label])
    for value, count in sorted(counts.items()):
        metric.add_metric([value], count)
    return metric


def _gauges(now: Standing) -> Iterator[Metric]:
    for name, text, value in (
        ("store_used_bytes", "Bytes that files of objects take.", now.store_used),
        ("store_reserved_bytes", "Bytes that downloads may still write.", now.store_reserved),
        ("store_limit_bytes", "Bytes that files of objects may take.", now.store_limit),
        ("store_objects", "Complete objects.", now.objects),
        ("readers", "Answers that read a download in progress.", now.readers),
        ("answers_in_progress", "Assets that are being answered.", now.answering),
        ("connections", "Clients that are connected to the public API.", now.connections),
        ("uptime_seconds", "Since the start.", now.uptime_s),
    ):
        yield GaugeMetricFamily(PREFIX + name, text, value=value)
    downloads = GaugeMetricFamily(f"{PREFIX}downloads", "Downloads in progress.", labels=["state"])
    downloads.add_metric(["running"], now.downloads_running)
    downloads.add_metric(["queued"], now.downloads_queued)
    yield downloads
    if now.catalogue_up is not None:
        text = "Whether the query node has answered lately."
        yield GaugeMetricFamily(f"{PREFIX}catalogue_up", text, value=int(now.catalogue_up))
    if now.breakers is not None:
        breakers = GaugeMetricFamily(f"{PREFIX}storage_nodes", "Storage nodes that are known.", labels=["breaker"])
        for state, count in sorted(now.breakers.items()):
            breakers.add_metric([state], count)
        yield breakers


class Metrics:
    """
    The metrics of one node, and of the process that it is.

    @ivar content_type: of what L{text} gives.
    """

    def __init__(self, tally: Tally, standing: Callable[[], Standing], version: str) -> None:
        """
        @param standing: asked whenever the metrics are.
        """
        self.content_type = CONTENT_TYPE_PLAIN_0_0_4
        self._registry = CollectorRegistry()
        self._registry.register(_Node(tally, standing, version))
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def text(self) -> bytes:
        """
        As they are now, in the text format of Prometheus.
        """
        return generate_latest(self._registry)
