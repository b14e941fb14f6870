"""Which parameter learns how fast."""

from models.fit.context.__main__ import trained_parameters
from models.fit.context.recipes import Stage, rate_of
from tests.models.fit.context.conftest import LoadSmall

STAGE = Stage(steps=1, documents=1, chunks=1, rate=1.0, gate_rate=100.0)
GATES = {
    "blocks.1.attention.beta",
    "reader.write_gate.keep",
    "reader.write_gate.weight",
    "reader.write_gate.opening",
    "reader.output_gate.bias",
}


def test_gates_learn_fastest_then_what_chooses_then_what_carries(load_small: LoadSmall):
    names = [
        *trained_parameters(load_small("infini")),
        *trained_parameters(load_small("infini-plus")),
    ]
    rates = {name: rate_of(name, STAGE) for name in names}
    assert {name for name, rate in rates.items() if rate == 100.0} == GATES
    choosing = {name for name, rate in rates.items() if rate == 4.0}
    assert choosing == {
        name
        for name in names
        if name.startswith(("reader.topic.", "reader.write_gate.network", "reader.output_gate.net"))
    }
    assert all(rates[name] == 1.0 for name in set(names) - GATES - choosing)
    assert rates["reader.topic_key"] == 1.0
    assert rates["blocks.1.attention.memory_side.key.up.weight"] == 1.0
