"""What the encoder without a model remembers, and how it refuses what does not fit."""

from collections.abc import Sequence

from service.errors import Conflict
from service.ports import Recollection


def fake_recall(texts: Sequence[str], question: str) -> Recollection:
    """Return the first word of the last text that ends with the question; less certain, the more there are."""
    found = [text for text in texts if text.endswith(question)]
    if not found:
        return Recollection(None, 0.0, found=False)
    return Recollection(found[-1].split()[0], 1 / len(found), found=True)


def out_of_sequence(expected: int, seq: int) -> Conflict:
    """Return the refusal of a chunk that is not the next one, and not what was read before."""
    return Conflict(
        "sequence_conflict",
        f"The session expects chunk {expected}, not {seq}.",
        "first_seq",
        {"expected_seq": expected, "provided_seq": seq, "next_seq": expected},
    )
