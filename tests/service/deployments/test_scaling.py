"""How many replicas there should be, without Ray; and that Ray would ask for it."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.serve.config import AutoscalingContext, AutoscalingPolicy

from service.config import load_config
from service.config_models import ModelConfig
from service.config_replicas import ReplicaRange
from service.deployments import encoder
from service.deployments.application import build_application
from service.deployments.scaling import (
    REPORT_SECONDS,
    QueuedTokensPolicy,
    Reports,
    Share,
    replica_options,
    wanted_replicas,
)
from service.errors import ConfigError

MOST = 1000


def wanted(queued, busy, replicas, refused=()) -> int:
    return wanted_replicas(Reports(queued, refused, busy), replicas, MOST)


@pytest.mark.parametrize(
    ("queued", "busy", "replicas", "number"),
    [
        ([0], [0.0], 1, 1),
        ([1000], [1.0], 1, 1),
        ([1001], [1.0], 1, 2),
        ([9000], [1.0], 1, 2),  # never more than twice as many at once
        ([2500, 100], [1.0, 0.3], 2, 3),
        ([0, 0], [0.9, 0.9], 2, 2),  # nothing waits, and yet both are needed
        ([0, 0], [0.4, 0.4], 2, 2),
        ([0, 0], [0.4, 0.2], 2, 1),
        ([1000, 0], [0.4, 0.2], 2, 1),
        ([1000, 1], [0.4, 0.2], 2, 2),  # one alone would soon have another come
        ([0, 0, 0, 0], [0.0] * 4, 4, 3),  # one by one
        ([5000], [1.0], 2, 2),  # the second one has only begun to start
        ([0, 0, 0], [0.0] * 3, 2, 2),  # one is about to go
        ([], [], 3, 3),
    ],
)
def test_what_waits_brings_replicas_and_idleness_takes_them(queued, busy, replicas, number):
    assert wanted(queued, busy, replicas) == number


@pytest.mark.parametrize(
    ("refused", "number"),
    [
        ([0.0, 0.0, 0.0, 0.0], 3),
        ([0.02, 0.02, 0.02, 0.02], 3),  # a burst's
        ([0.1, 0.0, 0.0, 0.0], 5),
        ([0.2, 0.2, 0.2, 0.2], 5),
        ([0.4, 0.4, 0.4, 0.4], 7),
        ([0.9, 0.9, 0.9, 0.9], 8),  # never more than twice as many at once
    ],
)
def test_what_is_refused_brings_replicas_though_little_waits(refused, number):
    assert wanted([100] * 4, [0.1] * 4, 4, refused) == number


def test_what_waits_and_what_is_refused_do_not_add_up():
    assert wanted([1400] * 4, [1.0] * 4, 4, [0.1] * 4) == 6


@given(
    st.lists(
        st.tuples(st.floats(0, 1e7), st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30
    )
)
def test_a_step_is_at_most_double_or_one_less(loads):
    queued, busy, refused = zip(*loads, strict=True)
    assert max(1, len(loads) - 1) <= wanted(queued, busy, len(loads), refused) <= 2 * len(loads)


@given(st.floats(0, 1), st.floats(0, 2 * MOST), st.integers(2, 50))
def test_whoever_goes_is_not_missed(busy, queued, replicas):
    if wanted([queued] * replicas, [busy] * replicas, replicas) < replicas:
        assert busy * replicas / (replicas - 1) < 0.7
        assert queued * replicas <= MOST * (replicas - 1)


def test_steady_work_settles():
    """Work for two and a half replicas, as shares of their time: three stay, whatever it began with."""
    for begin in (1, 2, 3, 8):
        replicas, queue = begin, 0.0
        seen = []
        for _ in range(40):
            queue = max(0.0, queue + (2.5 - replicas) * 2000)
            busy = min(1.0, 2.5 / replicas) if queue == 0 else 1.0
            replicas = wanted([queue / replicas] * replicas, [busy] * replicas, replicas)
            seen.append(replicas)
        assert len(set(seen[-10:])) == 1
        assert seen[-1] in {3, 4}


def context(target: int, metrics: dict[str, dict[str, float]] | None) -> AutoscalingContext:
    return cast(
        "AutoscalingContext",
        SimpleNamespace(target_num_replicas=target, aggregated_metrics=metrics),
    )


def test_the_policy_reads_what_replicas_report():
    policy = QueuedTokensPolicy(most_queued=MOST)
    metrics = {"queued_tokens": {"a": 3000.0}, "refused": {"a": 0.0}, "busy": {"a": 1.0}}
    assert policy(context(1, metrics)) == (2, {})
    metrics = {"queued_tokens": {"a": 0.0}, "refused": {"a": 0.5}, "busy": {"a": 1.0}}
    assert policy(context(1, metrics)) == (2, {})
    assert policy(context(1, None)) == (1, {})


def test_ray_takes_the_policy_as_it_is():
    options = replica_options(
        ModelConfig(id="a", attention="a", replicas=ReplicaRange(min=2, max=5, queued_tokens=512))
    )
    scaling = options["autoscaling_config"]
    assert (scaling.min_replicas, scaling.max_replicas) == (2, 5)
    # Replicas of Ray 2.60 push at this interval, whatever the environment says.
    assert scaling.metrics_interval_s == REPORT_SECONDS < scaling.look_back_period_s
    # What its controller does with it, in a process of its own.
    shipped = AutoscalingPolicy.from_serialized_policy_def(
        scaling.policy.model_dump(), scaling.policy.get_serialized_policy_def()
    )
    policy: Any = shipped.get_policy()(**shipped.policy_kwargs)
    metrics = {"queued_tokens": {"a": 600.0, "b": 600.0}, "busy": {"a": 1.0, "b": 1.0}}
    assert policy(context(2, metrics)) == (3, {})


def test_a_number_is_a_number():
    assert replica_options(ModelConfig(id="a", attention="a", replicas=3)) == {"num_replicas": 3}


def test_a_share_is_since_the_last_question():
    busy, now = 0.0, 10.0
    share = Share(lambda: busy, lambda: now, now)
    assert share.share() == 0.0
    busy, now = 1.0, 14.0
    assert share.share() == 0.25
    now = 15.0
    assert share.share() == 0.0
    assert share.share() == 0.0
    busy, now = 9.0, 16.0  # the clocks are read one after the other
    assert share.share() == 1.0


async def test_a_replica_reports_what_its_node_says(monkeypatch: pytest.MonkeyPatch):
    now = 10.0
    monkeypatch.setattr(encoder, "time", SimpleNamespace(monotonic=lambda: now))
    node: Any = SimpleNamespace(divisible_tokens=7, asked_tokens=100, refused_tokens=25, busy_s=3.0)
    replica: Any = SimpleNamespace(_node=node)
    replica._busy, replica._refused = encoder.shares(lambda: node)
    now = 14.0
    stats = await encoder.Encoder.record_autoscaling_stats(replica)
    assert stats == {"queued_tokens": 7.0, "refused": 0.25, "busy": 0.75}


def test_an_application_has_the_interval():
    config = load_config(
        models=[{"id": "a", "attention": "causal", "replicas": {"max": 2}}], port=1
    )
    gateway: Any = build_application(config)
    served = gateway._bound_deployment.init_args[1]["a"]
    scaling = served._bound_deployment._deployment_config.autoscaling_config
    assert scaling.metrics_interval_s == REPORT_SECONDS


def model(replicas: str) -> str:
    return f"{{models: [{{id: a, attention: causal, replicas: {replicas}}}]}}"


def test_replicas_are_a_number_or_a_range(tmp_path):
    file = tmp_path / "c.yaml"
    for text, first, last in [("3", 3, 3), ("{max: 4}", 1, 4), ("{min: 2, max: 4}", 2, 4)]:
        file.write_text(model(text), encoding="utf-8")
        [one] = load_config(file).models
        assert one.first_replicas == first
        most = one.replicas if isinstance(one.replicas, int) else one.replicas.max
        assert most == last
        again = type(one).model_validate(one.model_dump(mode="json"))
        assert again == one


@pytest.mark.parametrize(
    ("replicas", "complaint"),
    [
        ("0", r"replicas\.number: Input should be greater than or equal to 1$"),
        ("two", r"replicas\.number: Input should be a valid integer"),
        ("{min: 3, max: 2}", r"replicas\.range: max is 2, below min, which is 3$"),
        ("{min: 3}", r"replicas\.range\.max: Field required$"),
        ("{max: 2, most: 3}", r"replicas\.range\.most: there is no such configuration key$"),
    ],
)
def test_a_mistake_has_one_message(tmp_path, replicas, complaint):
    file = tmp_path / "c.yaml"
    file.write_text(model(replicas), encoding="utf-8")
    with pytest.raises(ConfigError, match=complaint) as caught:
        load_config(file)
    assert ";" not in str(caught.value)


@pytest.mark.parametrize(
    "tree",
    [
        {"gateways": 0},
        {"gateways": 0, "models": [{"id": "a", "attention": "causal", "replicas": 2}]},
        {"gateways": 0, "models": [{"id": "a", "attention": "causal", "replicas": {"max": 2}}]},
    ],
)
def test_without_a_gateway_there_is_one_process(tree):
    with pytest.raises(ConfigError, match="gateways: 0 is for one model in one process: serve one"):
        load_config(**tree)
    assert load_config(gateways=0, serve_models=("infini",)).gateways == 0


def test_without_a_gateway_the_model_is_the_application():
    config = load_config(gateways=0, serve_models=("infini",), port=1)
    application = build_application(config)
    deployment: Any = application._bound_deployment
    assert deployment.name == "encoder-infini"
    assert deployment.func_or_class.__name__ == "Solo"
    assert deployment.num_replicas == 1
    assert deployment.init_args == (config.served[0], config)
