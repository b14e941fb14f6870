"""Numbers hidden in a book that one session reads: does the service still know them at the end?

    python -m loadtests.passkey --url http://127.0.0.1:8000 --tokens 128000 --sessions 7 [--filler FILE | --loop]

Each session is told sixteen numbers of sixteen people, five near its start, six in the middle and five near its end. It
is asked for all of them with `POST /v1/sessions/{id}/query` after its last chunk, and for those of sixteen people that
it was never told of: what it answers there is made up. A new session is asked for all of them, too. Prints a JSON
report with 95 % intervals (Wilson); exits with 1 if the state grew.
"""

import json
import random
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
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


@dataclass(frozen=True, slots=True)
class Found:
    """What one session knew at its end.

    Attributes:
        hits: Exact answers by depth.
        made_up: Answers for people it was never told of.
        after_reset: Answers of a new session for the numbers that this one was told.
        tokens: Length of the session.
        states: Sizes of its state on the way, in bytes.
    """

    hits: Counter[str]
    made_up: int
    after_reset: int
    tokens: int
    states: set[int]


def main(  # noqa: PLR0913 - one parameter per option of the command
    *,
    url: Annotated[str, typer.Option()] = "http://127.0.0.1:8000",
    model: Annotated[str, typer.Option()] = "infini-plus",
    tokens: Annotated[int, typer.Option(help="Tokens of a session, about.")] = 32_000,
    sessions: Annotated[int, typer.Option(help="Sessions, of sixteen numbers each.")] = 7,
    filler: Annotated[Path | None, typer.Option(help="A book; the demo's.")] = None,
    loop: Annotated[bool, typer.Option("--loop", help="The paper's five sentences.")] = False,
    at_once: Annotated[int, typer.Option(min=1, help="Sessions read at the same time.")] = 1,
) -> None:
    """Read sessions and report."""
    text = LOOP * _LOOPS if loop else book_text(filler)
    chunks = [chunk for chunk in split_text(text, CHARACTERS) if chunk.strip()]
    with LongstreamClient(url, client_api_key()) as client:
        count = max(1, round(tokens / tokens_a_chunk(client, model, chunks)))

    def one(seed: int) -> Found:
        with LongstreamClient(url, client_api_key()) as client:
            return measure(client, model, chunks, count, seed)

    with ThreadPoolExecutor(at_once) as pool:
        found = list(pool.map(one, range(sessions)))
    hits = sum((each.hits for each in found), Counter())
    report = {
        "filler": "loop" if loop else (filler or Path("war_and_peace.txt")).name,
        "tokens": [min(each.tokens for each in found), max(each.tokens for each in found)],
        "state_bytes": sorted(states := set().union(*(each.states for each in found))),
        **{
            depth: share(depth, tokens, hits[depth], sessions * keys)
            for depth, (_, _, keys) in DEPTHS.items()
        },
        "all": share("all", tokens, hits.total(), sessions * KEYS),
        "made_up": share("made up", tokens, sum(f.made_up for f in found), sessions * KEYS),
        "after_reset": share("reset", tokens, sum(f.after_reset for f in found), sessions * KEYS),
    }
    typer.echo(json.dumps(report, indent=1))
    if len(states) > 1:
        raise SystemExit(1)


def measure(
    client: LongstreamClient, model: str, chunks: Sequence[str], count: int, seed: int
) -> Found:
    """Read one session and ask it; then ask a new one the same, and delete both."""
    draw = random.Random(seed)  # noqa: S311 - a reproducible sample, no secret
    drawn = Needles(seed).draw(2 * KEYS, "named")
    told, absent = drawn[:KEYS], drawn[KEYS:]
    hidden = hide(told, count, draw)
    start = draw.randrange(len(chunks))
    session = client.create_session(model).id
    states = read(client, session, list(islice(cycle(chunks), start, start + count)), hidden)
    answers = ask(client, session, told)
    hits = Counter(
        one.depth
        for one, answer in zip(hidden, answers, strict=True)
        if answer == one.needle.digits
    )
    made_up = sum(answer is not None for answer in ask(client, session, absent))
    tokens = client.session(session).tokens
    client.delete(session)
    fresh = client.create_session(model).id
    after_reset = sum(answer is not None for answer in ask(client, fresh, told))
    client.delete(fresh)
    return Found(hits, made_up, after_reset, tokens, states)


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
