"""An encoder with a recall head: the head's part of a memory is written on the way, and no vector depends on it."""

from pathlib import Path

import pytest
import torch

from models.config import DEFAULT_WEIGHTS, AttentionOptions
from models.encoder import Encoder
from models.loading import WITHOUT, LoadedEncoder, load_encoder
from models.memory import Memory
from models.packing import Segment
from models.recall import CROSS, GRAM
from models.weights import AdapterHeader, adapter_parameters, save_adapter
from tests.models.conftest import tiny
from tests.models.recall.heads import attach_head, segment

NUMBERED = segment(30, 31, 17, 23, 32, 33, 12, 34)
PLAIN = segment(30, 31, 32)
OTHER = segment(40, 19, 22, 41)


@pytest.fixture(scope="module")
def model() -> LoadedEncoder:
    return load_encoder("infini-plus", DEFAULT_WEIGHTS)


@pytest.fixture
def encoder() -> Encoder:
    # What was read changes the layers above the head's alone: it finds states as they are in a question.
    found = tiny("infini-plus", AttentionOptions(gate_logit=0.3, memory_from=1))
    attach_head(found)
    return found.eval().requires_grad_(requires_grad=False)


def test_a_batch_and_the_slow_twin_write_what_the_head_does(encoder: Encoder):
    segments = [NUMBERED, PLAIN, OTHER]
    memories = [encoder.empty_memory() for _ in segments]
    assert encoder.recall is not None
    for _ in range(2):  # from an empty memory, and from one that has been written to
        expected = [
            encoder.recall.write(states, one, memory.parts)
            for states, one, memory in zip(
                encoder.states(segments, 1), segments, memories, strict=True
            )
        ]
        after = encoder(segments, memories).memories or []
        for i, (one, parts) in enumerate(zip(segments, expected, strict=True)):
            [slow] = encoder.step(one, memories[i]).memories or []
            for name, part in parts.items():
                torch.testing.assert_close(after[i].parts[name], part)
                torch.testing.assert_close(slow.parts[name], part, atol=1e-4, rtol=1e-4)
        memories = after
    assert memories[0].parts[GRAM].any()
    assert not memories[1].parts[GRAM].any()


def test_vectors_and_the_other_parts_are_as_without_a_head(encoder: Encoder):
    plain = tiny("infini-plus", AttentionOptions(memory_from=1))
    plain.load_state_dict(
        {k: v for k, v in encoder.state_dict().items() if not k.startswith("recall.")}
    )
    with_head, without = encoder.empty_memory(), plain.empty_memory()
    assert with_head.shapes.keys() - without.shapes.keys() == {GRAM, CROSS}
    for one in (NUMBERED, PLAIN, Segment((0, 1)), OTHER):
        left, right = encoder([one], [with_head]), plain([one], [without])
        assert torch.equal(left.sums, right.sums)
        assert torch.equal(left.tokens, right.tokens)
        [with_head], [without] = left.memories or [], right.memories or []
        for name, part in without.parts.items():
            assert torch.equal(with_head.parts[name], part)


def recalled(model: LoadedEncoder, question: str, memory: Memory) -> str:
    encoder, head = model.encoder, model.encoder.recall
    assert head is not None
    [[asked]] = model.tokenizer.segments([question])
    return head.answer(encoder.states([asked], head.options.layer)[0], asked, memory.parts).digits


def test_the_packaged_model_remembers_a_number_over_many_segments(model: LoadedEncoder):
    memory = model.encoder.empty_memory()
    told = "The door code of Ida Holm is 40172. Remember it: 40172 is the door code of Ida Holm."
    chatter = ["In 1812 General Petrov counted 480 men.", "Then it rained for 3 days."] * 10
    with torch.inference_mode():
        for segments in model.tokenizer.segments([told, *chatter]):
            for one in segments:
                [memory] = model.encoder([one], [memory]).memories or []
        assert recalled(model, "What is the door code of Ida Holm?", memory) == "40172"
        assert (
            recalled(model, "What is the door code of Ida Holm?", model.encoder.empty_memory())
            == ""
        )


def test_what_was_read_does_not_reach_the_states_that_the_head_reads(model: LoadedEncoder):
    assert model.encoder.recall is not None
    [[asked]] = model.tokenizer.segments(["What is the door code of Ida Holm?"])
    depth = model.encoder.recall.options.layer
    [fresh] = model.encoder.states([asked], depth)
    [begun] = model.encoder.states([asked], depth, begun=True)
    assert torch.equal(begun, fresh)
    [above] = model.encoder.states([asked], depth + 1, begun=True)
    assert not torch.equal(above, model.encoder.states([asked], depth + 1)[0])


def test_a_head_is_loaded_only_for_the_base_and_the_variant_it_belongs_to(
    model: LoadedEncoder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    assert model.encoder.recall is not None
    assert load_encoder("infini", DEFAULT_WEIGHTS).encoder.recall is None
    untrained = load_encoder("infini-plus", DEFAULT_WEIGHTS, adapter=WITHOUT)
    assert untrained.encoder.recall is None
    assert "recall" not in {name.split(".")[0] for name in untrained.encoder.state_dict()}
    own = tmp_path / "own.safetensors"
    upper = AttentionOptions(memory_from=model.encoder.recall.options.layer)
    parts = adapter_parameters(load_encoder("infini-plus", DEFAULT_WEIGHTS, upper, WITHOUT).encoder)
    header = AdapterHeader("infini-plus", model.base_sha256, "dot", upper.memory_from)
    save_adapter(parts, header, own)
    assert load_encoder("infini-plus", DEFAULT_WEIGHTS, adapter=str(own)).encoder.recall
    monkeypatch.setattr("models.loading.packaged_recall", lambda *_: None)
    another = load_encoder("infini-plus", DEFAULT_WEIGHTS)
    assert another.encoder.recall is None
    assert another.fingerprint != model.fingerprint
