"""The rows of a set: which vectors are compared."""

from collections.abc import Iterator, Sequence
from typing import Final

from models.evaluate.context.bench import Bench
from models.evaluate.context.controls import derangement, read_nothing
from models.evaluate.context.cuts import overlapping, with_titles
from models.evaluate.context.late import late_vectors
from models.evaluate.context.mixing import CONTEXTS, Candidate, mixtures
from models.evaluate.context.plan import GATES, UPPER_GATES
from models.evaluate.context.reading import Vectors, read_apart, read_through
from models.evaluate.context.scores import Scored
from models.evaluate.variant import Variant

ALONE: Final = "chunk alone"
ATTENUATED: Final = "attenuated attention"
TITLE: Final = "title prefix"
OVERLAPPING: Final = "overlapping windows"
LATE: Final = "late chunking"
OWN: Final = "own memory"
SECOND_LOOK: Final = "own memory, second look"
OFF: Final = "memory off"
OTHER: Final = "another document's memory"
NOTHING: Final = "read-out zero"
CONTROLS: Final = (OFF, OTHER, NOTHING)


def free_rows(bench: Bench, alone: Vectors) -> list[Scored]:
    """Return the chunk alone, and what can be had without training.

    Args:
        bench: The set.
        alone: The base's vectors of the chunks.
    """
    judge = bench.judge
    rows = [judge.best(ALONE, "alone", [Candidate(alone)])]
    rows += [
        judge.best(row, "training-free", mixtures(alone, bench.cut.starts, row)) for row in CONTEXTS
    ]
    rows.append(judge.best(ATTENUATED, "training-free", _attenuated(bench)))
    rows.append(judge.best(OVERLAPPING, "training-free", _overlapping(bench)))
    rows.append(judge.best(LATE, "training-free", _late(bench)))
    titled = with_titles(bench.plan.base.tokenizer, bench.data)
    if titled is not None:
        advance = bench.begin(TITLE, titled.tokens)
        vectors = read_apart(bench.plan.base, titled, None, advance)
        rows.append(judge.best(TITLE, "title", [Candidate(vectors)]))
    return rows


def memory_rows(bench: Bench, model: Variant) -> list[Scored]:
    """Return a model with its own memory, and with each that must not help.

    Args:
        bench: The set.
        model: With memory.
    """
    encoder, cut = model.encoder, bench.cut
    empty = encoder.empty_memory()
    silent = read_nothing(empty)
    partners = derangement(bench.data.name, len(cut.documents), bench.seed)

    advance = bench.begin(f"{model.id}, {OWN} and others'", 2 * cut.tokens)
    layers = bench.layers
    through = read_through(model, cut, empty, partners, advance, layers)
    read = {OWN: through.own}
    if bench.plan.second_look:
        advance = bench.begin(f"{model.id}, {SECOND_LOOK}", cut.tokens)
        read[SECOND_LOOK] = read_apart(model, cut, lambda d, _: through.ends[d], advance, layers)
    advance = bench.begin(f"{model.id}, {OFF}", cut.tokens)
    read[OFF] = read_apart(model, cut, lambda _d, _p: empty, advance, layers)
    if through.other is not None:
        read[OTHER] = through.other
    advance = bench.begin(f"{model.id}, {NOTHING}", cut.tokens)
    read[NOTHING] = read_apart(
        model, cut, lambda _, place: silent if place else empty, advance, layers
    )
    return [bench.judge.memory(model.id, control, vectors) for control, vectors in read.items()]


def mean_rows(bench: Bench, rows: Sequence[Scored], models: Sequence[Variant]) -> list[Scored]:
    """Return the means over the models of one attention, where there are several."""
    seeds: dict[str, list[str]] = {}
    for model in models:
        seeds.setdefault(model.attention, []).append(model.id)
    found = []
    for attention, ids in seeds.items():
        if len(ids) == 1:
            continue
        of_seeds = [row for row in rows if row.model in ids]
        for control in dict.fromkeys(row.control for row in of_seeds):
            alike = [row for row in of_seeds if row.control == control]
            found.append(bench.judge.mean(f"{attention}, mean of {len(ids)}", alike))
    return found


def _attenuated(bench: Bench) -> Iterator[Candidate]:
    """Weaken the attention of all segments but a document's first, in all layers or the upper half alone."""
    upper = bench.plan.base.encoder.config.layers // 2
    for first, gates in ((0, GATES), (upper, UPPER_GATES)):
        for gate in gates:
            vectors = _weakened(bench, gate, first)
            yield Candidate(vectors, {"g": gate, "from layer": float(first)})


def _weakened(bench: Bench, gate: float, first: int) -> Vectors:
    """Read as if a memory that remembers nothing took a share of the attention from a layer on."""
    weakened = bench.plan.attenuate(gate, first)
    empty = weakened.encoder.empty_memory()
    silent = read_nothing(empty)
    advance = bench.begin(f"{ATTENUATED} by {gate} from layer {first}", bench.cut.tokens)
    return read_apart(weakened, bench.cut, lambda _, place: silent if place else empty, advance)


def _overlapping(bench: Bench) -> Iterator[Candidate]:
    base = bench.plan.base
    windows = overlapping(base.tokenizer, bench.cut)
    advance = bench.begin(OVERLAPPING, windows.tokens)
    yield Candidate(read_apart(base, windows, None, advance))


def _late(bench: Bench) -> Iterator[Candidate]:
    """Look through the window the base was trained with, and through the longest it can have."""
    base = bench.plan.base
    config = base.encoder.config
    for window in sorted({config.max_tokens, config.positions}):
        advance = bench.begin(f"{LATE} in {window} tokens", bench.cut.content_tokens)
        vectors = late_vectors(base, bench.cut, window, advance)
        yield Candidate(vectors, {"window": float(window)})
