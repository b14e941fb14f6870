import re
from collections import Counter

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.metrics import EncoderMetrics, GatewayMetrics, Merger
from service.metrics.catalogue import CATALOGUE, POSITIONS, position_label
from service.ports import StageTimes
from tests.service.expositions import samples, value


def _encoder() -> EncoderMetrics:
    metrics = EncoderMetrics("infini", "memory")
    metrics.queue_depth(lambda: 7.0)
    metrics.hot_state_bytes(lambda: 11.0)
    return metrics


def test_the_catalogue_follows_the_naming_rules():
    names = [metric.name for metric in CATALOGUE]
    assert len(names) == len(set(names))
    forbidden = {"session", "session_id", "tenant", "text", "key", "replica"}
    for metric in CATALOGUE:
        assert re.fullmatch(r"longstream_[a-z_]+", metric.name)
        assert (metric.kind == "counter") == metric.name.endswith("_total")
        assert (metric.kind == "histogram") == bool(metric.buckets)
        assert list(metric.buckets) == sorted(set(metric.buckets))
        assert metric.help.endswith(".")
        assert not forbidden & set(metric.labels)
        assert not metric.name.endswith(("_ms", "_mb", "_milliseconds"))


def test_every_catalogue_entry_is_exported_as_catalogued_and_nothing_else():
    gateway = GatewayMetrics("memory")
    gateway.expect_routes([("/v1/models", "GET", 200)])
    exported = {}
    for text in (gateway.exposition(), _encoder().exposition()):
        for family in text_string_to_metric_families(text.decode()):
            suffix = "_total" if family.type == "counter" else ""
            exported[family.name + suffix] = family
    assert set(exported) == {metric.name for metric in CATALOGUE}
    for metric in CATALOGUE:
        family = exported[metric.name]
        assert family.type == metric.kind
        assert family.documentation == metric.help
        # Series exist before anything has happened.
        assert family.samples, metric.name
        labels = {name for sample in family.samples for name in sample.labels} - {"le"}
        assert labels == set(metric.labels)
        bounds = {s.labels["le"] for s in family.samples if "le" in s.labels} - {"+Inf"}
        assert {float(bound) for bound in bounds} == set(metric.buckets)


@pytest.mark.parametrize(
    ("tokens", "label"),
    [(0, "0"), (999, "0"), (1000, "1e3"), (9999, "1e3"), (10**4, "1e4"), (10**9, "1e7")],
)
def test_positions_are_decades(tokens, label):
    assert position_label(tokens) == label


def test_position_labels_are_their_lowest_token():
    assert [float(label) for label, lowest in POSITIONS if lowest] == [
        float(lowest) for _, lowest in POSITIONS if lowest
    ]


def test_encoder_methods_reach_their_series():
    metrics = _encoder()
    metrics.stage(StageTimes(0.1, 0.2, 0.3, 0.4))
    metrics.batch(100, 3)
    metrics.queue_wait(0.5)
    metrics.tokens("stateless", 5)
    metrics.tokens("revisit", 6)
    metrics.truncated(4)
    metrics.appended(2_000_000, 12, 0.02)
    metrics.session_state_bytes(304_128)
    metrics.loaded(1.5)
    metrics.event("append", 2)
    metrics.event("complete")
    metrics.event("lost")
    metrics.store_operation("complete", 0.002)
    metrics.store_operation("commit", 0.001)
    metrics.store_error("commit")
    metrics.store_circuit(is_open=True)
    metrics.event("expire")
    text = metrics.exposition()
    infini = {"model": "infini"}
    commit = {"op": "commit", "backend": "memory"}
    assert value(text, "stage_duration_seconds_sum", stage="infer", **infini) == 0.3
    assert value(text, "stage_duration_seconds_count", stage="persist", **infini) == 1
    assert value(text, "batch_tokens_sum", **infini) == 100
    assert value(text, "batch_sequences_bucket", le="4.0", **infini) == 1
    assert value(text, "batch_sequences_bucket", le="2.0", **infini) == 0
    assert value(text, "queue_depth", **infini) == 7
    assert value(text, "queue_wait_seconds_sum", **infini) == 0.5
    assert value(text, "tokens_total", kind="session", **infini) == 12
    assert value(text, "tokens_total", kind="stateless", **infini) == 5
    assert value(text, "tokens_total", kind="revisit", **infini) == 6
    assert value(text, "truncated_tokens_total", **infini) == 4
    assert value(text, "session_append_duration_seconds_count", position="1e6", **infini) == 1
    assert value(text, "session_append_duration_seconds_count", position="0", **infini) == 0
    assert value(text, "session_state_bytes", **infini) == 304_128
    assert value(text, "hot_state_bytes", **infini) == 11
    assert value(text, "model_load_seconds", **infini) == 1.5
    assert value(text, "session_events_total", event="append") == 2
    assert value(text, "session_events_total", event="complete") == 1
    completing = {"op": "complete", "backend": "memory"}
    assert value(text, "store_operation_duration_seconds_sum", **completing) == 0.002
    assert value(text, "state_checksum_failures_total") == 1
    assert value(text, "store_operation_duration_seconds_count", **commit) == 1
    assert value(text, "store_errors_total", **commit) == 1
    assert value(text, "store_circuit_open", backend="memory") == 1
    assert value(text, "session_events_total", event="expire") == 1
    resident = value(text, "process_resident_memory_bytes")
    assert resident is not None
    assert resident > 1e6


def test_of_two_registries_in_a_process_one_tells_its_memory():
    text = GatewayMetrics("memory", resident=False).exposition()
    assert value(text, "process_resident_memory_bytes") is None


def test_label_values_outside_the_catalogue_are_counted_as_other():
    metrics = GatewayMetrics("memory")
    metrics.rejected("a new reason")
    metrics.rejected("overloaded")
    metrics.stream_error(500)
    metrics.stream_error(418)
    metrics.event("a session id")
    text = metrics.exposition()
    assert value(text, "rejected_total", reason="other") == 1
    assert value(text, "rejected_total", reason="overloaded") == 1
    assert value(text, "stream_errors_total", code="500") == 1
    assert value(text, "stream_errors_total", code="other") == 1
    assert value(text, "session_events_total", event="other") == 1
    assert b"a new reason" not in text


def test_registries_are_private():
    first, second = _encoder(), _encoder()
    first.event("append")
    assert value(second.exposition(), "session_events_total", event="append") == 0


def _counting(appends: int, depth: float) -> bytes:
    metrics = EncoderMetrics("infini", "memory")
    metrics.queue_depth(lambda: depth)
    metrics.event("append", appends)
    for _ in range(appends):
        metrics.queue_wait(0.02)
    return metrics.exposition()


def _sum(text: bytes, name: str, **labels: str) -> float:
    wanted = set(labels.items())
    return sum(
        value
        for (sample, found), value in samples(text).items()
        if sample == f"longstream_{name}" and wanted <= found
    )


def test_merging_labels_every_sample_and_heads_every_family_once():
    merged = Merger().merge({"a": _counting(1, 5), "b": _counting(2, 6)})
    for family in text_string_to_metric_families(merged.decode()):
        assert all("replica" in sample.labels for sample in family.samples)
    heads = Counter(line for line in merged.decode().splitlines() if line.startswith("#"))
    assert heads
    assert set(heads.values()) == {1}
    names = Counter(line.split()[2] for line in heads if line.startswith("# TYPE"))
    assert set(names.values()) == {1}
    assert value(merged, "session_events_total", event="append", replica="a") == 1
    assert value(merged, "session_events_total", event="append", replica="b") == 2
    assert value(merged, "queue_depth", model="infini", replica="b") == 6


def test_the_dead_stay_in_the_sums_and_lose_their_gauges():
    merger = Merger()
    merger.merge({"a": _counting(3, 5), "b": _counting(4, 6)})
    merged = merger.merge({"c": _counting(1, 7)})
    assert _sum(merged, "session_events_total", event="append") == 8
    assert value(merged, "session_events_total", event="append", replica="retired") == 7
    assert _sum(merged, "queue_wait_seconds_count") == 8
    assert (
        value(merged, "queue_wait_seconds_bucket", model="infini", le="0.025", replica="retired")
        == 7
    )
    assert _sum(merged, "queue_depth") == 7
    assert b'replica="a"' not in merged
    again = merger.merge({"c": _counting(1, 7)})
    assert again == merged or _sum(again, "session_events_total", event="append") == 8


def test_one_that_lives_and_did_not_answer_keeps_its_counters_under_its_name():
    merger = Merger()
    merger.merge({"a": _counting(3, 5), "b": _counting(4, 6)})
    merged = merger.merge({"b": _counting(5, 6)}, alive={"a", "b"})
    assert value(merged, "session_events_total", event="append", replica="a") == 3
    assert value(merged, "queue_depth", model="infini", replica="a") is None
    assert b"retired" not in merged


def test_one_that_comes_back_is_not_counted_twice():
    merger = Merger()
    merger.merge({"a": _counting(3, 5)})
    assert _sum(merger.merge({}), "session_events_total", event="append") == 3
    merged = merger.merge({"a": _counting(4, 5)})
    assert _sum(merged, "session_events_total", event="append") == 4


def test_many_deaths_take_no_more_room_and_lose_nothing():
    merger = Merger()
    for index in range(70):
        merger.merge({f"replica-{index}": _counting(1, 0)})
    merged = merger.merge({})
    assert _sum(merged, "session_events_total", event="append") == 70
    assert len(merger._dead) == 64


def test_label_values_are_escaped_on_the_way_out():
    merged = Merger().merge({'a"\\\n': b"# TYPE x counter\nx_total 1\n"})
    (family,) = text_string_to_metric_families(merged.decode())
    assert family.samples[0].labels == {"replica": 'a"\\\n'}


def test_what_is_no_exposition_is_refused_and_changes_nothing():
    merger = Merger()
    merger.merge({"a": _counting(3, 5)})
    with pytest.raises(ValueError, match=r"."):
        merger.merge({"a": _counting(3, 5), "b": b"{not prometheus"})
    assert _sum(merger.merge({"a": _counting(3, 5)}), "session_events_total", event="append") == 3
