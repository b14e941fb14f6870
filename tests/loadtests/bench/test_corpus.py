import itertools
import random

import pytest

from loadtests.bench.corpus import Corpus
from loadtests.bench.errors import BenchError
from loadtests.bench.peers import WEIGHTS
from models.tokenizer import Tokenizer
from models.weights import locate
from tests.loadtests.bench.conftest import WORDS


def test_a_drawn_text_has_exactly_the_tokens_asked_for(corpus):
    rng = random.Random(1)  # noqa: S311 - a reproducible sample
    assert {corpus.count(corpus.draw(rng, tokens)) for tokens in (7, 7, 7)} == {7}
    assert corpus.count(corpus.draw(rng, 250)) == 250


def test_an_impossible_length_is_refused(corpus):
    with pytest.raises(BenchError, match="exactly 1000000 tokens"):
        corpus.draw(random.Random(1), 1_000_000)  # noqa: S311 - a reproducible sample


def test_reading_is_consecutive_within_bounds_and_starts_over(corpus):
    texts = list(itertools.islice(corpus.read(2900, itertools.repeat(20)), 40))
    words = WORDS.split()
    read = " ".join(texts).split()
    assert read == list(itertools.islice(itertools.cycle(words), 2900, 2900 + len(read)))
    assert max(corpus.count(text) for text in texts) <= 20
    assert len(read) > 100


def test_a_word_over_the_limit_is_read_alone():
    long = Corpus("a bb", lambda words: [5 for _ in words])
    assert list(itertools.islice(long.read(0, itertools.repeat(2)), 3)) == ["a", "bb", "a"]


def test_a_corpus_needs_words():
    with pytest.raises(BenchError, match="words"):
        Corpus("  \n ", lambda words: [1 for _ in words])


def test_tokens_of_the_book_are_those_of_the_real_tokenizer():
    book = Corpus.of_the_book(WEIGHTS)
    text = book.draw(random.Random(3), 200)  # noqa: S311 - a reproducible sample
    tokenizer = Tokenizer(locate(WEIGHTS).file("tokenizer.json"), 512)
    assert len(tokenizer.tokenize([text])[0].ids) == 200
