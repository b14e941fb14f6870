"""Nothing is made on torch's default device: an encoder computes where its weights are."""

from contextlib import nullcontext

import pytest
import torch

from models.config import AttentionOptions
from models.encoder import Encoder
from models.inference import prepare
from models.memory import MEMORY_RULES, Memory
from models.packing import pack
from models.variants import variants
from tests.models.attention.layers import words
from tests.models.conftest import tiny
from tests.models.recall.heads import attach_head

ENCODERS = [
    (name, rule)
    for name in variants()
    for rule in (MEMORY_RULES if tiny(name).layers_write else ["linear"])
]
NOWHERE = torch.device("meta")
"""As the default device it shows what forgot to say where it is: nothing that mixes with it computes."""


@pytest.fixture(params=ENCODERS, ids="-".join)
def encoder(request: pytest.FixtureRequest) -> Encoder:
    name, rule = request.param
    encoder = tiny(name, AttentionOptions(memory_rule=rule, gate_logit=0.3))
    if variants()[name].recalls:
        attach_head(encoder)
    return encoder.requires_grad_(requires_grad=False)


@pytest.mark.parametrize("prepared", [False, True])
def test_an_encoder_computes_where_its_weights_are(encoder: Encoder, prepared: bool):  # noqa: FBT001 - a parameter of the test
    if prepared:
        prepare(encoder, "fp32")
    steps = [[words(20, 1), words(3, 2)], [words(9, 3), words(0, 4)]]
    shown = words(5, 5)
    with NOWHERE:
        memories = [encoder.empty_memory() for _ in steps[0]] if encoder.has_memory else None
        for step in steps:
            output = encoder(step, memories)
            assert_on_cpu(output.memories)
            assert output.sums.device.type == output.tokens.device.type == "cpu"
            memories = output.memories
        encoder.inspect(shown, memories[0] if memories else None)


def assert_on_cpu(memories: list[Memory] | None) -> None:
    found = {part.device.type for memory in memories or [] for part in memory.parts.values()}
    assert found <= {"cpu"}


def test_a_batch_is_packed_in_the_memory_of_the_host():
    segments = [words(4, 1), words(2, 2)]
    with NOWHERE:
        ids, packing = pack(segments)
        assert {t.device.type for t in (ids, packing.positions, packing.content)} == {"cpu"}


def test_memories_from_elsewhere_follow_the_weights(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch
):
    """Where there is no data only shapes are computed, and every tensor that stayed behind is an error."""
    if not encoder.has_memory or rule_of(encoder) == "CorrectedDeltaRule":  # it asks for values
        return
    encoder.recall = None  # it asks for values, too
    # Autocast is of real devices only.
    monkeypatch.setattr("models.attention.infini._full_precision", lambda _: nullcontext())
    stored = encoder([words(9, 1)], [encoder.empty_memory()]).memories
    output = encoder.to(NOWHERE)([words(30, 2)], stored)
    assert output.sums.device == output.tokens.device == NOWHERE
    [after] = output.memories or []
    assert {part.device for part in after.parts.values()} == {NOWHERE}
    assert len(encoder.inspect(words(5, 3), stored and stored[0])) == len(encoder.layers)


def rule_of(encoder: Encoder) -> str:
    return type(getattr(encoder.layers[-1].attention, "rule", None)).__name__


def test_a_memory_that_is_there_already_is_not_copied(encoder: Encoder):
    memory = encoder.empty_memory()
    assert memory.to(encoder.device) is memory
    assert memory.to(NOWHERE).tokens_seen == memory.tokens_seen
