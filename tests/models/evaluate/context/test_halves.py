from dataclasses import replace

import pytest

from models.evaluate import EvaluationError, RetrievalSet
from models.evaluate.context import ContextPlan
from models.evaluate.context.halves import for_selection, queries_of


def test_a_documents_half_never_changes():
    """Adapters were chosen on one of them: these may not move."""
    halves = {name: for_selection(name) for name in ("bees", "lighthouse", "chess", "volcano")}
    assert halves == {"bees": False, "lighthouse": True, "chess": True, "volcano": False}
    many = [for_selection(f"document {i}") for i in range(1000)]
    assert 450 < sum(many) < 550


def test_a_query_is_in_the_half_of_its_document(garden: RetrievalSet):
    selection, report = (queries_of(garden, half) for half in ("selection", "report"))
    assert (selection ^ report).all()
    assert set(garden.query_documents[selection].tolist()) == {1, 2}
    assert set(garden.query_documents[report].tolist()) == {0, 3}
    assert queries_of(garden, "all").all()


def test_a_set_without_a_half_is_refused(plan: ContextPlan, garden: RetrievalSet):
    queries = tuple(query for query in garden.queries if query.document == 0)
    with pytest.raises(EvaluationError, match="garden: its selection half has no query"):
        replace(plan, sets=(replace(garden, queries=queries),))
    with pytest.raises(EvaluationError, match="garden: its documents have no names"):
        replace(plan, sets=(replace(garden, doc_ids=()),))


def test_a_plan_that_does_not_fit_is_refused(plan: ContextPlan, garden: RetrievalSet):
    with pytest.raises(EvaluationError, match="no retrieval set"):
        replace(plan, sets=())
    with pytest.raises(EvaluationError, match="sets named more than once: garden"):
        replace(plan, sets=(garden, garden))
    with pytest.raises(EvaluationError, match="models named more than once: infini"):
        replace(plan, models=plan.models * 2)
    with pytest.raises(EvaluationError, match="infini cannot be the base: it has a memory"):
        replace(plan, base=plan.models[0])
    with pytest.raises(EvaluationError, match="multi-head has no memory"):
        replace(plan, models=(plan.base,))
