"""Recall heads in files: they come back as they went, and nothing else is taken for one."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from models.errors import WeightsError
from models.recall import load_recall, read_recall_header, save_recall
from models.recall.checkpoint import FORMAT
from tests.models.recall.heads import OPTIONS, PIECES, random_head

BASE = "b" * 64


@pytest.fixture
def file(tmp_path: Path) -> Path:
    save_recall(random_head(), BASE, tmp_path / "recall.safetensors")
    return tmp_path / "recall.safetensors"


def rewrite(file: Path, **metadata: str) -> None:
    header = {
        "format": FORMAT,
        "base": BASE,
        "options": json.dumps(OPTIONS.as_dict()),
        "pieces": json.dumps({str(i): piece for i, piece in PIECES.pieces.items()}),
    }
    save_file(random_head().half().state_dict(), file, header | metadata)


def test_a_head_comes_back_in_half_precision(file: Path):
    head, kept = load_recall(file, BASE), random_head()
    assert (head.options, head.pieces) == (kept.options, kept.pieces)
    for name, tensor in kept.state_dict().items():
        assert torch.equal(head.state_dict()[name], tensor.half().float())
    assert not head.training
    assert not any(parameter.requires_grad for parameter in head.parameters())
    assert read_recall_header(file).base == BASE


def test_a_head_of_another_base_is_refused(file: Path):
    with pytest.raises(WeightsError, match="trained on another base"):
        load_recall(file, "c" * 64)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "longstream-adapter-1"}, "not a recall head of this version"),
        ({"options": "{}"}, "options of a recall head are"),
        ({"options": json.dumps(OPTIONS.as_dict() | {"slots": -1})}, "option slots"),
        ({"options": json.dumps(OPTIONS.as_dict() | {"ridge": "x"})}, "option ridge"),
        ({"pieces": "["}, "header is broken"),
        ({"pieces": '{"x": "1"}'}, "header is broken"),
        (
            {"options": json.dumps(OPTIONS.as_dict() | {"code": 25, "hidden": 8})},
            "gate_hidden.bias is",
        ),
    ],
)
def test_a_header_that_does_not_fit_is_refused(file: Path, changes: dict[str, str], message: str):
    rewrite(file, **changes)
    with pytest.raises(WeightsError, match=message):
        load_recall(file, BASE)


def test_every_tensor_at_fault_is_named(file: Path):
    state = random_head().half().state_dict()
    state["distance"][0] = float("nan")
    del state["gate_score.bias"]
    metadata = {
        "format": FORMAT,
        "base": BASE,
        "options": json.dumps(OPTIONS.as_dict()),
        "pieces": "{}",
    }
    save_file({**state, "more": torch.zeros(1)}, file, metadata)
    with pytest.raises(WeightsError) as caught:
        load_recall(file, BASE)
    for problem in ("missing gate_score.bias", "unexpected more", "distance is not finite"):
        assert problem in str(caught.value)


def test_a_file_that_is_none_is_refused(tmp_path: Path):
    broken = tmp_path / "recall.safetensors"
    broken.write_bytes(b"nothing of the kind")
    for path in (broken, tmp_path / "missing.safetensors"):
        with pytest.raises(WeightsError, match="cannot read recall head"):
            read_recall_header(path)


def test_a_value_beyond_half_precision_is_refused(tmp_path: Path):
    head = random_head()
    with torch.no_grad():
        head.distance[0] = 1e6
    with pytest.raises(WeightsError, match="beyond half precision: distance"):
        save_recall(head, BASE, tmp_path / "recall.safetensors")
