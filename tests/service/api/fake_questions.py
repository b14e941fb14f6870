"""What the encoder without a model remembers, and how it refuses what does not fit."""

from collections.abc import Sequence

from service.errors import Conflict
from service.ports import ChunkAnswer, NearChunk, Recollection


def fake_recall(texts: Sequence[str], question: str) -> Recollection:
    """Return the first word of the last text that ends with the question; less certain, the more there are."""
    found = [text for text in texts if text.endswith(question)]
    if not found:
        return Recollection(None, 0.0, found=False)
    return Recollection(found[-1].split()[0], 1 / len(found), found=True)


def fake_nearest(answers: Sequence[ChunkAnswer], top_k: int | None) -> tuple[NearChunk, ...]:
    """Return the last chunks, whatever is asked; the last one scores 1, the one before it half, and so on."""
    last = list(reversed(answers))[: top_k or 10]
    return tuple(
        NearChunk(answer.seq, 1 / place, answer.tokens, answer.token_start)
        for place, answer in enumerate(last, start=1)
    )


def out_of_sequence(expected: int, seq: int) -> Conflict:
    """Return the refusal of a chunk that is not the next one, and not what was read before."""
    return Conflict(
        "sequence_conflict",
        f"The session expects chunk {expected}, not {seq}.",
        "first_seq",
        {"expected_seq": expected, "provided_seq": seq, "next_seq": expected},
    )
