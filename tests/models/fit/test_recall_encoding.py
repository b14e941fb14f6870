"""Encoding of facts: every number carries the fact it states, as the head would see it."""

import random

import torch

from models.fit.recall_encoding import NumberReader, sentences_of, statements, surrounded
from models.fit.recall_texts import Fact, Sentence, Sentences
from models.loading import LoadedEncoder
from models.recall import NumberPieces, RecallOptions

FILLER = ["The river was quiet.", "In 1812 the snow came early.", "Nobody spoke."]


def reader(base: LoadedEncoder) -> NumberReader:
    return NumberReader(base, RecallOptions(), NumberPieces.of(base.tokenizer))


def test_numbers_are_labelled_with_their_facts(multi_head: LoadedEncoder):
    facts = [Fact("pass key", "Nora", "73622"), Fact("door code", "", "4711")]
    passages = [
        [Sentence("It was 1812.", None), Sentence("The key is 7 3 6 2 2, not 15.", facts[0])],
        [Sentence("No number here.", None)],
        [Sentence("The door code is 4711. Remember it. 4711 it is.", facts[1])],
    ]
    found = reader(multi_head).read(passages, facts)
    assert found.digits == ["1812", "73622", "15", "4711", "4711"]
    assert found.facts == [-1, 0, -1, 1, 1]
    windows = found.windows
    assert windows.states.shape == (5, 48, 384)
    pieces = NumberPieces.of(multi_head.tokenizer)
    assert not any(token in pieces for token in windows.ids[windows.present].tolist())
    assert not windows.states[~windows.present].any()


def test_encoded_states_are_those_of_the_base(multi_head: LoadedEncoder):
    question = "What is the pass key of Nora?"
    found = reader(multi_head).ask([question, "pass key"])
    segment = multi_head.tokenizer.segments([question])[0][0]
    with torch.inference_mode():
        wanted = multi_head.encoder.states([segment], RecallOptions().layer)[0]
    length = len(segment.ids)
    assert torch.allclose(found.states[0, :length].float(), wanted, atol=0.05)  # bf16
    assert found.ids[0, :length].tolist() == list(segment.ids)
    assert found.present.sum(-1).tolist() == [length - 2, 2]


def test_statements_stand_in_other_text_and_repeat_with_the_seed():
    def drawn() -> tuple[list[list[Sentence]], list[Fact]]:
        return statements(Sentences(0), 60, FILLER, random.Random(0))  # noqa: S311 - a sample

    (passages, facts), again = drawn(), drawn()
    assert (passages, facts) == again
    assert [s.fact for p in passages for s in p if s.fact] == facts
    assert len(facts) >= 60
    assert max(sum(s.fact is not None for s in passage) for passage in passages) > 1
    assert any(len(passage) > 1 for passage in passages)


def test_surrounding_text_keeps_the_sentences_together():
    inner = [Sentence("one", None), Sentence("two", None)]
    for seed in range(20):
        draw = random.Random(seed)  # noqa: S311 - a sample
        texts = [s.text for s in surrounded(inner, FILLER, draw)]
        assert "two" in texts[texts.index("one") + 1 : texts.index("one") + 2]


def test_sentences_end_at_their_marks():
    assert sentences_of("One. Two? Three! Four") == ["One.", "Two?", "Three!", "Four"]
