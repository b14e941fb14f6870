"""What every longstream process measures: its memory, its version, the store it talks to."""

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

import psutil
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from service.metrics import catalogue
from service.metrics.catalogue import Metric

_CREATED_SUFFIX = "_created"


class ProcessMetrics:
    """A private registry with the metrics all processes share.

    Args:
        backend: Kind of the session store this process talks to, e.g. `sqlite`.
        resident: Whether it tells the process's memory; of several in one process, one does.
    """

    def __init__(self, backend: str = "sqlite", *, resident: bool = True) -> None:
        self._registry = CollectorRegistry(auto_describe=True)
        self._backend = backend
        self._events = self._counter(catalogue.SESSION_EVENTS_TOTAL)
        self._store_seconds = self._histogram(catalogue.STORE_OPERATION_DURATION)
        self._store_errors = self._counter(catalogue.STORE_ERRORS)
        self._circuit_open = self._gauge(catalogue.STORE_CIRCUIT_OPEN).labels(backend)
        self._checksum_failures = self._counter(catalogue.STATE_CHECKSUM_FAILURES)
        if resident:
            self._gauge(catalogue.PROCESS_RESIDENT_MEMORY).set_function(_resident_bytes)
        self._gauge(catalogue.BUILD_INFO).labels(package_version()).set(1)
        for event in catalogue.SESSION_EVENTS:
            self._events.labels(event)
        for operation in catalogue.STORE_OPERATIONS:
            self._store_seconds.labels(operation, backend)
            self._store_errors.labels(operation, backend)

    @property
    def backend(self) -> str:
        """Kind of the session store, the `backend` label."""
        return self._backend

    def event(self, name: str, count: int = 1) -> None:
        """Count what happened to a session; `name` is one of `catalogue.SESSION_EVENTS`."""
        self._events.labels(member(name, catalogue.SESSION_EVENTS)).inc(count)
        if name == "lost":
            # The only way to be lost is a row or state that does not verify.
            self._checksum_failures.inc(count)

    def store_operation(self, operation: str, seconds: float) -> None:
        """Observe one store operation, one of `catalogue.STORE_OPERATIONS`."""
        operation = member(operation, catalogue.STORE_OPERATIONS)
        self._store_seconds.labels(operation, self._backend).observe(seconds)

    def store_error(self, operation: str) -> None:
        """Count a store operation that raised."""
        operation = member(operation, catalogue.STORE_OPERATIONS)
        self._store_errors.labels(operation, self._backend).inc()

    def store_circuit(self, *, is_open: bool) -> None:
        """Export whether the session store is left alone for now."""
        self._circuit_open.set(is_open)

    def exposition(self) -> bytes:
        """Return the registry as Prometheus text."""
        return generate_latest(_WithoutCreated(self._registry))

    def _counter(self, metric: Metric) -> Counter:
        return Counter(metric.name, metric.help, metric.labels, registry=self._registry)

    def _gauge(self, metric: Metric) -> Gauge:
        return Gauge(metric.name, metric.help, metric.labels, registry=self._registry)

    def _histogram(self, metric: Metric) -> Histogram:
        return Histogram(
            metric.name,
            metric.help,
            metric.labels,
            buckets=metric.buckets,
            registry=self._registry,
        )


class _WithoutCreated(Collector):
    """The families of a registry without `_created` series, which would double their number."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Family]:
        for family in self._registry.collect():
            family.samples = [
                sample for sample in family.samples if not sample.name.endswith(_CREATED_SUFFIX)
            ]
            yield family


def member(value: str, allowed: tuple[str, ...]) -> str:
    """Keep label sets closed without making a wrong label the caller's failure."""
    return value if value in allowed else catalogue.OTHER


def _resident_bytes() -> float:
    return float(psutil.Process().memory_info().rss)


def package_version() -> str:
    """Return the version of longstream that runs."""
    try:
        return version("longstream")
    except PackageNotFoundError:
        # A source tree that was never installed.
        return "0+unknown"
