"""Numbers hidden in a book that one session reads: does the service still know them at the end?

    python -m loadtests.passkey --url http://127.0.0.1:8000 --tokens 128000 --sessions 7 [--filler FILE | --loop]

Each session is told sixteen numbers of sixteen people, five near its start, six in the middle and five near its end. It
is asked for all of them with `POST /v1/sessions/{id}/query` after its last chunk, and for those of sixteen people that
it was never told of: what it answers there is made up. Prints a JSON report with 95 % intervals (Wilson); exits with 1
if the state grew.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from loadtests.book import book_text
from models.chunking import split_text
from models.evaluate.passkey_measure import Cell
from models.evaluate.passkey_texts import LOOP, Needle, Needles
from service.client import LongstreamClient
from service.config import client_api_key

DEPTHS: Final = {"start": (0.0, 0.02, 5), "middle": (0.49, 0.51, 6), "end": (0.98, 1.0, 5)}
"""Between which shares of a session numbers lie, and how many."""
KEYS: Final = sum(count for _, _, count in DEPTHS.values())
CHARACTERS: Final = 1000
AT_ONCE: Final = 16
"""Chunks of a request."""
_LOOPS: Final = 200


@dataclass(frozen=True, slots=True)
class Hidden:
    """A number in a session.

    Attributes:
        needle: The sentence that states it, and the question for it.
        depth: A key of `DEPTHS`.
        chunk: The chunk it is put behind.
    """

    needle: Needle
    depth: str
    chunk: int


def main(
    *,
    url: Annotated[str, typer.Option()] = "http://127.0.0.1:8000",
    model: Annotated[str, typer.Option()] = "infini-plus",
    tokens: Annotated[int, typer.Option(help="Tokens of a session, about.")] = 32_000,
    sessions: Annotated[int, typer.Option(help="Sessions, of sixteen numbers each.")] = 7,
    filler: Annotated[Path | None, typer.Option(help="A book; the demo's.")] = None,
    loop: Annotated[bool, typer.Option("--loop", help="The paper's five sentences.")] = False,
) -> None:
    """Read sessions and report."""
    text = LOOP * _LOOPS if loop else book_text(filler)
    chunks = [chunk for chunk in split_text(text, CHARACTERS) if chunk.strip()]
    hits = dict.fromkeys(DEPTHS, 0)
    lengths: list[int] = []
    states: set[int] = set()
    made_up = 0
    with LongstreamClient(url, client_api_key()) as client:
        count = max(1, round(tokens / tokens_a_chunk(client, model, chunks)))
        for seed in range(sessions):
            draw = random.Random(seed)  # noqa: S311 - a reproducible sample, no secret
            drawn = Needles(seed).draw(2 * KEYS, "named")
            hidden = hide(drawn[:KEYS], count, draw)
            start = draw.randrange(len(chunks))
            book = list(islice(cycle(chunks), start, start + count))
            session = client.create_session(model).id
            states |= read(client, session, book, hidden)
            answers = ask(client, session, drawn)
            for one, answer in zip(hidden, answers[:KEYS], strict=True):
                hits[one.depth] += answer == one.needle.digits
            made_up += sum(answer is not None for answer in answers[KEYS:])
            lengths.append(client.session(session).tokens)
            client.delete(session)
    report = {
        "filler": "loop" if loop else (filler or Path("war_and_peace.txt")).name,
        "tokens": [min(lengths), max(lengths)],
        "state_bytes": sorted(states),
        **{
            depth: share(depth, tokens, hits[depth], sessions * keys)
            for depth, (_, _, keys) in DEPTHS.items()
        },
        "all": share("all", tokens, sum(hits.values()), sessions * KEYS),
        "made_up": share("made up", tokens, made_up, sessions * KEYS),
    }
    typer.echo(json.dumps(report, indent=1))
    if len(states) > 1:
        raise SystemExit(1)


def tokens_a_chunk(client: LongstreamClient, model: str, chunks: Sequence[str]) -> float:
    """Return how many tokens a chunk has on average, from chunks all over the book."""
    sample = chunks[:: max(1, len(chunks) // AT_ONCE)][:AT_ONCE]
    return client.embed(sample, model).tokens / len(sample)


def hide(needles: Sequence[Needle], count: int, draw: random.Random) -> list[Hidden]:
    """Say where each number goes in a session of so many chunks."""
    depths = [depth for depth, (_, _, keys) in DEPTHS.items() for _ in range(keys)]
    hidden = []
    for needle, depth in zip(needles, depths, strict=True):
        first, last, _ = DEPTHS[depth]
        place = draw.randrange(int(first * count), max(int(first * count) + 1, int(last * count)))
        hidden.append(Hidden(needle, depth, place))
    return hidden


def read(
    client: LongstreamClient, session: str, book: Sequence[str], hidden: Sequence[Hidden]
) -> set[int]:
    """Append a book with its numbers; return the sizes of the state on the way."""
    told = list(book)
    for one in hidden:
        told[one.chunk] += f" {one.needle.statement}"
    sizes, seq = set(), 0
    for start in range(0, len(told), AT_ONCE):
        seq = client.append(session, told[start : start + AT_ONCE], seq).next_seq
        sizes.add(client.session(session).state_bytes)
    return sizes


def ask(client: LongstreamClient, session: str, needles: Sequence[Needle]) -> list[str | None]:
    """Ask for every number; return the answers, None where there is none."""
    asked = client.query(session, [needle.question for needle in needles])
    return [
        None if question.recall is None else question.recall.answer for question in asked.questions
    ]


def share(task: str, tokens: int, hits: int, of: int) -> dict[str, Any]:
    """Return a count with its interval."""
    cell = Cell("", task, tokens, hits, of)
    low, high = cell.interval
    return {"count": hits, "of": of, "low": round(low, 3), "high": round(high, 3)}


if __name__ == "__main__":
    typer.run(main)
