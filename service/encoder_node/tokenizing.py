"""Texts into tokens off the event loop, and tokens into what a caller may see of them."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from models.errors import TextError
from models.packing import Segment
from models.tokenizer import TokenizedText, Tokenizer
from service.errors import BadRequest, Unprocessable
from service.ports import TextTokens

Result = TypeVar("Result")

AT_ONCE: Final = 2
"""Requests a process tokenizes at once: each takes up to a gigabyte or two while a body of 2 MiB is all punctuation."""

_threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="tokenizer")


async def segments_of(
    tokenizer: Tokenizer, texts: Sequence[str]
) -> tuple[list[list[Segment]], float]:
    """Cut texts into segments; return them and the seconds it took.

    Raises:
        BadRequest: a text is not Unicode.
    """
    return await _aside(tokenizer.segments, texts)


async def tokens_of(
    tokenizer: Tokenizer, texts: Sequence[str]
) -> tuple[list[TokenizedText], float]:
    """Find the tokens of texts and their places; return them and the seconds it took.

    Raises:
        BadRequest: a text is not Unicode.
    """
    return await _aside(tokenizer.tokenize, texts)


def with_special_tokens(text: TokenizedText, segments: Sequence[Segment]) -> TextTokens:
    """Put CLS and SEP around each segment of a text, as the model reads it.

    Args:
        text: The text's own tokens.
        segments: The text, cut; fewer of them than it has if it was truncated.
    """
    ids: list[int] = []
    pieces: list[str] = []
    offsets: list[tuple[int, int] | None] = []
    start = 0
    for segment in segments:
        stop = start + segment.content_tokens
        ids += segment.ids
        pieces += ["[CLS]", *text.pieces[start:stop], "[SEP]"]
        offsets += [None, *text.offsets[start:stop], None]
        start = stop
    return TextTokens(tuple(ids), tuple(pieces), tuple(offsets))


def require_answerable(numbers: int, limit: int, advice: str) -> None:
    """Refuse what would make an answer of too many numbers.

    Args:
        numbers: How many the answer would have.
        limit: How many it may have.
        advice: What to do about it.

    Raises:
        Unprocessable: `answer_too_large` with both.
    """
    if numbers > limit:
        raise Unprocessable(
            "answer_too_large",
            f"the answer would have {numbers} numbers; at most {limit} are sent: {advice}",
            extras={"answer_numbers": numbers, "max_answer_numbers": limit},
        )


async def _aside(
    tokenize: Callable[[Sequence[str]], list[Result]], texts: Sequence[str]
) -> tuple[list[Result], float]:
    begun = time.monotonic()
    try:
        # The tokenizer leaves the interpreter's lock alone, so the event loop goes on meanwhile.
        results = await asyncio.get_running_loop().run_in_executor(_threads, tokenize, texts)
    except TextError as error:
        raise BadRequest("invalid_request", str(error)) from error
    return results, time.monotonic() - begun
