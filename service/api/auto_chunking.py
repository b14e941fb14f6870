"""Cutting a whole document into chunks of at most so many tokens, at sentences where there are any."""

from collections.abc import Iterator, Sequence

from models.chunking import split_text


def cut_at_tokens(text: str, offsets: Sequence[tuple[int, int]], most_tokens: int) -> Iterator[str]:
    """Yield the chunks of a document; joined, they are the text.

    Args:
        text: The document.
        offsets: First character of each of its tokens and the one after its last, in order.
        most_tokens: Most tokens in a chunk, at least 1.
    """
    start = token = 0
    while len(offsets) - token > most_tokens:
        # What may go into the chunk ends where its first token too many begins.
        window = text[start : offsets[token + most_tokens][0]]
        size = max(1, len(window))
        # With the character that follows, the splitter knows whether the window ends at a word.
        [chunk, *_] = split_text(text[start : start + size + 1], size)
        yield chunk
        start += len(chunk)
        while token < len(offsets) and offsets[token][0] < start:
            token += 1
    yield text[start:]
