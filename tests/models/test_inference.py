"""Encoders made ready for inference compute what they computed before, with the same memories."""

import subprocess
import sys

import pytest
import torch

from models import inference
from models.config import AttentionOptions, Precision
from models.encoder import Encoder, EncoderOutput
from models.errors import PrecisionError
from models.inference import prepare, ready, require_precision
from models.loading import LoadedEncoder, load_encoder
from models.memory import Memory
from models.packing import Segment
from models.prepared import PreparedLinear, has_onednn
from models.variants import variants
from tests.models.attention.layers import randomise, words
from tests.models.conftest import WEIGHTS, tiny
from tests.models.recall.heads import attach_head
from tests.texts import SENTENCES

CPU = torch.device("cpu")
DOCUMENT = [[words(9, 1), words(30, 2)], [words(1, 3), words(0, 4)], [words(30, 5), words(30, 6)]]
"""Steps of two sequences each, the second of one with nothing to write."""

with_bf16 = pytest.mark.skipif(
    not any(map(torch.cpu.get_capabilities().get, ("avx512_bf16", "amx_bf16"))),
    reason="this CPU has no bf16",
)


@pytest.fixture(params=sorted(variants()))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def build(name: str) -> Encoder:
    """Build a variant away from where it begins: a gate of zeros hides what it is applied to."""
    encoder = tiny(name, AttentionOptions(gate_logit=0.3))
    if variants()[name].recalls:
        attach_head(encoder)
    randomise(encoder, 0.05)
    return encoder.requires_grad_(requires_grad=False)


def read(encoder: Encoder) -> list[EncoderOutput]:
    """Read both documents, step by step."""
    memories = [encoder.empty_memory() for _ in DOCUMENT[0]] if encoder.has_memory else None
    outputs = []
    for step in DOCUMENT:
        outputs.append(encoder(step, memories))
        memories = outputs[-1].memories
    return outputs


def parts(outputs: list[EncoderOutput]) -> list[Memory]:
    return [memory for output in outputs for memory in output.memories or []]


def test_prepared_in_float32_nothing_changes(name: str):
    encoder = build(name)
    before = read(encoder)
    stepped = encoder.step(DOCUMENT[0][0], encoder.empty_memory() if encoder.has_memory else None)
    shown = encoder.inspect(DOCUMENT[0][0], encoder.empty_memory() if encoder.has_memory else None)
    state = {key: tensor.clone() for key, tensor in encoder.state_dict().items()}
    prepare(encoder, "fp32")
    assert all(torch.equal(state[key], now) for key, now in encoder.state_dict().items())
    after = read(encoder)
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(other.tokens, one.tokens, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(other.sums, one.sums, atol=1e-4, rtol=1e-5)
    for kept, prepared in zip(parts(before), parts(after), strict=True):
        assert kept.tokens_seen == prepared.tokens_seen
        for key, part in kept.parts.items():
            torch.testing.assert_close(prepared.parts[key], part, atol=1e-4, rtol=1e-4)
    memory = encoder.empty_memory() if encoder.has_memory else None
    again = encoder.step(DOCUMENT[0][0], memory)
    torch.testing.assert_close(again.tokens, stepped.tokens, atol=1e-5, rtol=1e-5)
    for found, now in zip(shown, encoder.inspect(DOCUMENT[0][0], memory), strict=True):
        torch.testing.assert_close(now.outputs, found.outputs, atol=1e-5, rtol=1e-5)


def test_the_prepared_layers_are_the_ones_that_run(name: str):
    """Or the other tests would compare an encoder with itself."""
    encoder = build(name)
    prepare(encoder, "fp32")
    before = read(encoder)
    with torch.no_grad():
        for block in encoder.layers:
            for linear in (block.up, block.attention.key, block.attention.output):
                linear.weight.zero_()
    for one, other in zip(before, read(encoder), strict=True):
        assert torch.equal(one.tokens, other.tokens)


@with_bf16
def test_bf16_is_near_and_its_memory_float32(name: str):
    encoder = build(name)
    before = read(encoder)
    prepare(encoder, "bf16")
    after = read(encoder)
    assert {part.dtype for memory in parts(after) for part in memory.parts.values()} <= {
        torch.float32
    }
    for one, other in zip(before, after, strict=True):
        assert other.sums.dtype == other.tokens.dtype == torch.float32
        assert not torch.equal(one.tokens, other.tokens)
        assert torch.cosine_similarity(one.sums, other.sums).min() > 0.995


@with_bf16
@pytest.mark.parametrize("attention", ["multi-head", "infini", "infini-plus"])
def test_bf16_of_the_real_weights_is_held_to_float32(attention: str):
    exact, rounded = (
        ready(load_encoder(attention, WEIGHTS), precision) for precision in ("fp32", "bf16")
    )
    segments = [cut[0] for cut in exact.tokenizer.segments([*SENTENCES, " ".join(SENTENCES)])]
    with torch.inference_mode():
        cosines = torch.cat([_cosines(exact, rounded, segment) for segment in segments])
    assert cosines.mean() >= 0.9999
    assert cosines.min() >= 0.999


def _cosines(one: LoadedEncoder, other: LoadedEncoder, segment: Segment) -> torch.Tensor:
    """Read a segment twice with each, the second time with what the first left."""
    sums = []
    for loaded in (one, other):
        encoder = loaded.encoder
        memories = [encoder.empty_memory()] if encoder.has_memory else None
        first = encoder([segment], memories)
        sums.append(torch.cat([first.sums, encoder([segment], first.memories).sums]))
    return torch.cosine_similarity(sums[0], sums[1])


@with_bf16
def test_a_precision_has_its_own_fingerprint_and_no_figures_of_another(multi_head: LoadedEncoder):
    loaded = load_encoder("multi-head", WEIGHTS)
    exact = ready(loaded)
    assert (exact.precision, exact.fingerprint) == ("fp32", multi_head.fingerprint)
    assert exact.evaluation == multi_head.evaluation != {}
    rounded = ready(load_encoder("multi-head", WEIGHTS), "bf16")
    assert rounded.precision == "bf16"
    assert rounded.fingerprint != exact.fingerprint
    assert len(rounded.fingerprint) == len(exact.fingerprint)
    assert rounded.evaluation == {}


@pytest.mark.parametrize("capabilities", [{}, {"avx512_bf16": False, "avx512_f": True}])
def test_a_cpu_without_bf16_refuses_it_and_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool]
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    encoder = build("multi-head")
    with pytest.raises(PrecisionError, match=r"avx512_bf16.*set the model's precision to fp32"):
        prepare(encoder, "bf16")
    require_precision("fp32", CPU)


def test_a_torch_without_onednn_refuses_bf16(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    require_precision("bf16", CPU)
    monkeypatch.setattr(inference, "has_onednn", lambda: False)
    with pytest.raises(PrecisionError):
        require_precision("bf16", CPU)


@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=with_bf16)])
def test_without_onednn_torch_computes_the_same(
    monkeypatch: pytest.MonkeyPatch, precision: Precision
):
    torch.manual_seed(1)
    layers = [torch.nn.Linear(24, 48), torch.nn.Linear(24, 8)]
    x, plus = torch.randn(7, 24), torch.randn(7, 56)
    fast = PreparedLinear(layers, precision, gelu=True)
    monkeypatch.setattr("models.prepared.has_onednn", lambda: False)
    plain = PreparedLinear(layers, precision, gelu=True)
    tolerance = 1e-5 if precision == "fp32" else 2e-2
    with torch.inference_mode():
        expected = torch.nn.functional.gelu(torch.cat([layer(x) for layer in layers], 1))
        for way in (fast, plain):
            torch.testing.assert_close(way(x).float(), expected, atol=tolerance, rtol=tolerance)
        without = PreparedLinear(layers, precision), expected
    residual = torch.cat([layer(x) for layer in layers], 1).detach() + plus
    summed = without[0](x, plus=plus)
    assert summed.dtype == torch.float32
    torch.testing.assert_close(summed, residual, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=with_bf16)])
def test_vectors_do_not_depend_on_what_shared_their_step(precision: Precision):
    loaded = ready(load_encoder("multi-head", WEIGHTS), precision)
    segments = [cut[0] for cut in loaded.tokenizer.segments([*SENTENCES[:6], " ".join(SENTENCES)])]
    with torch.inference_mode():
        alone = torch.cat([loaded.encoder([segment]).sums for segment in segments])
        together = loaded.encoder([*segments[1:], segments[0]]).sums.roll(1, 0)
    unit = torch.nn.functional.normalize
    torch.testing.assert_close(unit(together), unit(alone), atol=1e-5, rtol=0)


GROWTH = """
import random, psutil, torch
from models.prepared import PreparedLinear
product = PreparedLinear([torch.nn.Linear(384, 1536)], "fp32", gelu=True)
rows = list(range(1, 1001))
random.Random(0).shuffle(rows)
sizes = []
for count in rows:
    product(torch.zeros(count, 384))
    sizes.append(psutil.Process().memory_info().rss / 2**20)
print(sizes[400], sizes[-1])
"""


@pytest.mark.skipif(not has_onednn(), reason="needs oneDNN")
def test_memory_does_not_follow_the_number_of_lengths_that_were_seen():
    """In a process of its own: the bound is heeded before the first product only."""
    command = [sys.executable, "-c", GROWTH]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    before, after = map(float, said.split())
    # Unbounded, another 600 lengths are 300 MiB; bounded, those that are kept are now and then longer ones.
    assert after - before < 120
