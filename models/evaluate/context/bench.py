"""One set made ready: cut once, its queries encoded, its judge appointed."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from models.evaluate.context.cuts import Cut
from models.evaluate.context.layers import SharedLayers
from models.evaluate.context.plan import ContextPlan
from models.evaluate.context.reading import Vectors, read_apart
from models.evaluate.context.scores import Judge
from models.evaluate.data import RetrievalSet
from models.evaluate.watch import Watch


@dataclass(frozen=True)
class Bench:
    """Everything the rows of a set share.

    Attributes:
        plan: Of the run.
        data: The set.
        cut: Its documents in segments.
        queries: Vectors of its queries, by the base.
        judge: Ranks its chunks.
        watch: Is told about the progress.
    """

    plan: ContextPlan
    data: RetrievalSet
    cut: Cut
    queries: Vectors
    judge: Judge
    watch: Watch

    @classmethod
    def of(cls, plan: ContextPlan, data: RetrievalSet, watch: Watch) -> "Bench":
        """Cut the documents and encode the queries.

        Raises:
            EvaluationError: a vector is not finite.
        """
        asked = Cut.of(plan.base.tokenizer, [(query.text,) for query in data.queries])
        watch.begin(f"{data.name}: queries", asked.tokens)
        queries = read_apart(plan.base, asked, None, watch.advance)
        cut = Cut.of(plan.base.tokenizer, data.documents)
        return cls(plan, data, cut, queries, Judge(data, queries), watch)

    @cached_property
    def layers(self) -> SharedLayers:
        """Of models that share theirs, and what they made of the set so far."""
        return SharedLayers()

    @property
    def seed(self) -> int:
        """Of all draws."""
        return self.plan.resampling.seed

    def begin(self, work: str, tokens: int) -> Callable[[int], None]:
        """Announce a piece of work; return what is told its progress."""
        self.watch.begin(f"{self.data.name}: {work}", tokens)
        return self.watch.advance
