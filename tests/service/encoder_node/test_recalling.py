"""A recall head at work: on a thread of its own, until the end; and what its votes become."""

import asyncio
import threading

import pytest
import torch

from models.encoder import Encoder, EncoderOutput
from models.memory import Memory
from models.packing import Segment
from models.recall import RecallAnswer
from service.encoder_node.recalling import MOST_AT_ONCE, NOTHING, Recaller
from service.errors import Unavailable
from service.ports import Recollection
from tests.models.conftest import tiny
from tests.models.recall.heads import attach_head, segment

TOLD = segment(30, 31, 17, 23, 32, 33)
QUESTION = segment(31, 32)
FOUND = RecallAnswer("73622", (0.9, 0.7, 0.8), found=True)


@pytest.fixture
def encoder() -> Encoder:
    found = tiny("infini-plus")
    attach_head(found)
    return found.requires_grad_(requires_grad=False)


@pytest.fixture
def recaller(encoder: Encoder) -> Recaller:
    assert encoder.recall is not None
    return Recaller(encoder, encoder.recall, 8)


@pytest.fixture
def memory(encoder: Encoder) -> Memory:
    output: EncoderOutput = encoder([TOLD], [encoder.empty_memory()])
    [after] = output.memories or []
    return after


async def test_a_head_at_work_holds_nobody_up_and_is_refused_at_the_end(
    encoder: Encoder, recaller: Recaller, memory: Memory, monkeypatch: pytest.MonkeyPatch
):
    go, begun = threading.Event(), threading.Event()

    def slow(_: object, segments: list[Segment], __: object) -> list[RecallAnswer]:
        begun.set()
        assert go.wait(20)
        return [FOUND] * len(segments)

    monkeypatch.setattr(encoder.recall, "answers", slow)
    task = asyncio.create_task(recaller.recall([QUESTION, TOLD], memory))
    assert await asyncio.to_thread(begun.wait, 20)
    assert await recaller.recall([QUESTION], encoder.empty_memory()) == [NOTHING]
    assert not task.done()
    closing = asyncio.create_task(asyncio.to_thread(recaller.close))
    go.set()
    assert await task == [Recollection("73622", 0.7, found=True)] * 2
    await closing
    with pytest.raises(Unavailable):
        await recaller.recall([QUESTION], memory)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (FOUND, Recollection("73622", 0.7, found=True)),
        (RecallAnswer("7", (1.004,), found=True), Recollection("7", 1.0, found=True)),
        (RecallAnswer("", (0.9, 0.2), found=False), Recollection(None, 0.2, found=False)),
        (RecallAnswer("", (0.3, -0.01), found=False), Recollection(None, 0.0, found=False)),
        (RecallAnswer("", (), found=False), NOTHING),
    ],
)
async def test_the_least_vote_is_the_certainty_and_lies_between_0_and_1(
    encoder: Encoder,
    recaller: Recaller,
    memory: Memory,
    monkeypatch: pytest.MonkeyPatch,
    answer: RecallAnswer,
    expected: Recollection,
):
    monkeypatch.setattr(encoder.recall, "answers", lambda *_: [answer])
    assert await recaller.recall([QUESTION], memory) == [expected]
    recaller.close()


async def test_a_question_is_answered_as_the_head_answers_it(
    encoder: Encoder, recaller: Recaller, memory: Memory
):
    before = {name: part.clone() for name, part in memory.parts.items()}
    questions = [QUESTION, segment(30, 33, 32, 40), segment(32, 33), segment(31, 30)]
    found = await recaller.recall(questions, memory)
    recaller.close()
    head = encoder.recall
    assert head is not None
    answers = [
        head.answer(states, one, memory.parts)
        for states, one in zip(
            encoder.states(questions, head.options.layer), questions, strict=True
        )
    ]
    assert any(answer.confidence for answer in answers)
    for answer, recalled in zip(answers, found, strict=True):
        assert (recalled.answer or "", recalled.found) == (answer.digits, answer.found)
        least = min(max(min(answer.confidence, default=0.0), 0.0), 1.0)
        assert recalled.confidence == pytest.approx(least, abs=1e-4)
    assert all(torch.equal(before[name], part) for name, part in memory.parts.items())


async def test_many_questions_are_encoded_in_steps_and_answered_in_their_order(
    encoder: Encoder, recaller: Recaller, memory: Memory, monkeypatch: pytest.MonkeyPatch
):
    states, steps = encoder.states, []

    def counted(segments: list[Segment], layers: int) -> list[torch.Tensor]:
        steps.append([len(one.ids) for one in segments])
        return states(segments, layers)

    monkeypatch.setattr(encoder, "states", counted)
    questions = [QUESTION, segment(31), segment(*range(30, 40)), QUESTION]
    together = await recaller.recall(questions, memory)
    assert [sum(step) for step in steps] == [12, 8, 3]  # a longer question is a step of its own
    assert together == [(await recaller.recall([one], memory))[0] for one in questions]
    recaller.close()


async def test_more_requests_than_can_wait_are_refused(
    encoder: Encoder, recaller: Recaller, memory: Memory, monkeypatch: pytest.MonkeyPatch
):
    go = threading.Event()

    def slow(_: object, segments: list[Segment], __: object) -> list[RecallAnswer]:
        assert go.wait(20)
        return [FOUND] * len(segments)

    monkeypatch.setattr(encoder.recall, "answers", slow)
    waiting = [
        asyncio.create_task(recaller.recall([QUESTION], memory)) for _ in range(MOST_AT_ONCE)
    ]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="try again") as refused:
        await recaller.recall([QUESTION], memory)
    assert refused.value.code == "overloaded"
    go.set()
    assert len(await asyncio.gather(*waiting)) == MOST_AT_ONCE
    assert len(await recaller.recall([QUESTION], memory)) == 1
    recaller.close()
