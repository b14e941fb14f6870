"""Made-up sentences: a seed gives them again, and a statement says its fact."""

from models.fit.recall_texts import OTHER_NUMBERS, QUESTIONS, STATEMENTS, Sentences


def test_the_same_seed_draws_the_same_sentences():
    def drawn(seed: int) -> list[str]:
        sentences = Sentences(seed)
        facts = [sentences.fact() for _ in range(20)]
        texts = [
            text for f in facts for text in (sentences.statement(f).text, sentences.question(f))
        ]
        return [*texts, sentences.other().text]

    assert drawn(3) == drawn(3)
    assert drawn(3) != drawn(4)


def test_a_statement_says_kind_name_and_number():
    sentences = Sentences(0)
    for _ in range(300):
        fact = sentences.fact()
        said = sentences.statement(fact)
        assert said.fact is fact
        assert fact.kind in said.text
        assert fact.name in said.text
        assert fact.digits in said.text.replace(" ", "")
        assert 3 <= len(fact.digits) <= 8


def test_a_question_says_what_is_asked_for_and_never_the_answer():
    sentences = Sentences(1)
    for _ in range(300):
        fact = sentences.fact(name="Nora Keller")
        by_name, by_kind = sentences.question(fact), sentences.question(fact, by_name=False)
        assert fact.name in by_name
        assert fact.name not in by_kind
        assert fact.kind in by_name
        assert fact.kind in by_kind
        assert not any(c.isdigit() for c in by_name + by_kind)


def test_other_numbers_are_nobodys_facts():
    sentences = Sentences(2)
    drawn = [sentences.other() for _ in range(200)]
    assert all(sentence.fact is None for sentence in drawn)
    assert all(any(c.isdigit() for c in sentence.text) for sentence in drawn)
    assert not set(OTHER_NUMBERS) & {*STATEMENTS, *QUESTIONS}
