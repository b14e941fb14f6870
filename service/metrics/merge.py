"""Many processes' metrics as one text: a `replica` label each, the dead kept in the sums."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

REPLICA_LABEL: Final = "replica"
RETIRED: Final = "retired"
_CUMULATIVE: Final = frozenset({"counter", "histogram", "summary"})
_RETURN_WINDOW: Final = 64
"""Dead replicas whose values can still be taken back out of the sums if one turns out to live."""

_Key = tuple[str, tuple[tuple[str, str], ...]]


class Merger:
    """Merge expositions, remembering what dead replicas had counted.

    Counters and histograms of a dead replica are summed under `replica="retired"`, so sums over
    all replicas never go back; its gauges are dropped. A replica that answers again leaves the sum.

    The memory is that of one merger. With several gateways each has its own, which knows of a dead
    replica only what it scraped itself: sums may differ with the gateway that answers, and a gateway
    that is replaced forgets. Exact sums need one gateway, or a collector that keeps its own history.
    """

    def __init__(self) -> None:
        self._last: dict[str, list[Family]] = {}
        self._dead: dict[str, list[Family]] = {}
        self._forgotten = _Sums()

    def merge(
        self, expositions: Mapping[str, bytes], alive: Collection[str] | None = None
    ) -> bytes:
        """Return one Prometheus text.

        Args:
            expositions: Text of every replica that answered, by replica.
            alive: Replicas known to live. One that is alive and did not answer keeps its last
                counters under its own name. Default: those that answered.

        Raises:
            ValueError: an exposition is not Prometheus text.
        """
        parsed = {replica: _parse(text) for replica, text in expositions.items()}
        self._retire(set(parsed) | set(alive or ()))
        self._last.update(parsed)
        merged = _Families()
        for replica, families in self._last.items():
            merged.add(families, replica, gauges=replica in parsed)
        retired = self._forgotten.copy()
        for families in self._dead.values():
            retired.add(families)
        merged.add(retired.families(), RETIRED, gauges=False)
        return generate_latest(merged)

    def _retire(self, alive: Collection[str]) -> None:
        for replica in [name for name in self._last if name not in alive]:
            self._dead[replica] = self._last.pop(replica)
        for replica in alive:
            returned = self._dead.pop(replica, None)
            if returned is not None:
                self._last[replica] = returned
        while len(self._dead) > _RETURN_WINDOW:
            oldest = next(iter(self._dead))
            self._forgotten.add(self._dead.pop(oldest))


class _Families(Collector):
    """Families of many replicas under one name each."""

    def __init__(self) -> None:
        self._families: dict[str, Family] = {}

    def add(self, families: Iterable[Family], replica: str, *, gauges: bool) -> None:
        for family in families:
            if not gauges and family.type not in _CUMULATIVE:
                continue
            known = self._families.setdefault(
                family.name, Family(family.name, family.documentation, family.type)
            )
            known.samples.extend(
                sample._replace(labels={**sample.labels, REPLICA_LABEL: replica})
                for sample in family.samples
            )

    def collect(self) -> Iterator[Family]:
        yield from (self._families[name] for name in sorted(self._families))


class _Sums:
    """Sample-wise sums of cumulative families."""

    def __init__(self) -> None:
        self._heads: dict[str, Family] = {}
        self._values: dict[str, dict[_Key, float]] = {}

    def copy(self) -> "_Sums":
        twin = _Sums()
        twin._heads = dict(self._heads)
        twin._values = {name: dict(values) for name, values in self._values.items()}
        return twin

    def add(self, families: Iterable[Family]) -> None:
        for family in families:
            if family.type not in _CUMULATIVE:
                continue
            self._heads.setdefault(family.name, family)
            values = self._values.setdefault(family.name, {})
            for sample in family.samples:
                key = (sample.name, tuple(sample.labels.items()))
                values[key] = values.get(key, 0.0) + sample.value

    def families(self) -> Iterator[Family]:
        for name, head in self._heads.items():
            family = Family(name, head.documentation, head.type)
            family.samples = [
                Sample(sample, dict(labels), value)
                for (sample, labels), value in self._values[name].items()
            ]
            yield family


def _parse(text: bytes) -> list[Family]:
    return list(text_string_to_metric_families(text.decode()))
