"""What becomes of sessions beside appends, on the real encoder: memories looked at, chunks found, states handed out."""

import threading

import numpy as np
import pytest

from models.memory import Memory
from service.encoder_node import EncoderNode
from service.encoder_node.memory_view import MemoryView
from service.encoder_node.searching import TOP_K
from service.errors import NotFound, Unavailable, Unprocessable
from service.ports import AppendCommand, MemoryCommand, QueryCommand, ReadCommand
from service.sessions.beginnings import Wish
from service.sessions.codec import encode
from service.sessions.copies import SessionCopies
from service.sessions.origins import SessionTraits
from service.sessions.session_file import unpack
from tests.service.encoder_node.conftest import StartNode
from tests.service.encoder_node.sessions import TENANT, catalog, memory_of, open_session, stored
from tests.texts import SENTENCES

PAST, FUTURE = SENTENCES[:6], SENTENCES[6:10]


@pytest.fixture(params=["infini", "infini-plus"])
async def node(request: pytest.FixtureRequest, start_node: StartNode):
    async with start_node(request.param) as running:
        yield running


@pytest.fixture
async def infini(start_node: StartNode):
    async with start_node("infini") as running:
        yield running


def copies(node: EncoderNode) -> SessionCopies:
    assert node._sessions is not None
    return SessionCopies(node._sessions.appender.tools.store, 1 << 24)


async def append(node: EncoderNode, name: str, texts: list[str], first: int) -> np.ndarray:
    result = await node.append(AppendCommand(TENANT, name, tuple(texts), first))
    return np.stack([answer.embedding for answer in result.answers])


async def test_a_chain_of_states_is_a_session_bit_for_bit(node: EncoderNode):
    session = await open_session(node)
    fingerprint = (await node.info()).fingerprint
    state, vectors = None, []
    for seq, text in enumerate(PAST):
        result = await node.read(ReadCommand((text,), state, seq, fingerprint))
        state = result.state
        vectors.append(result.answers[0].embedding)
        [expected] = await append(node, session, [text], seq)
        np.testing.assert_array_equal(vectors[-1], expected)
        assert state == await stored(node, session)
    np.testing.assert_array_equal(
        result.document, (await catalog(node).document(TENANT, session))[1]
    )


async def test_forks_and_files_go_on_bit_for_bit(node: EncoderNode):
    undisturbed, session = await open_session(node), await open_session(node)
    expected = [await append(node, undisturbed, [text], i) for i, text in enumerate(PAST + FUTURE)]
    for i, text in enumerate(PAST):
        await append(node, session, [text], i)
    made = copies(node)
    forked = (await made.forks.fork(TENANT, session, Wish())).record.id
    _, data = await made.transfers.export(TENANT, session, answers=True)
    await catalog(node).delete(TENANT, session)
    contents = unpack(data)
    for state in (await stored(node, forked), encode(contents.state)):
        await node.verify(state)
    imported = (await made.transfers.adopt(TENANT, await node.info(), contents, Wish())).record.id
    for i, text in enumerate(FUTURE, len(PAST)):
        for name in (forked, imported):
            np.testing.assert_array_equal(await append(node, name, [text], i), expected[i])
    assert await stored(node, forked) == await stored(node, imported)
    assert await stored(node, forked) == await stored(node, undisturbed)


async def test_a_state_of_another_model_is_refused(node: EncoderNode, start_node: StartNode):
    session = await open_session(node, *PAST)
    other = "infini-plus" if (await node.info()).id == "infini" else "infini"
    async with start_node(other) as elsewhere:
        with pytest.raises(Unprocessable) as caught:
            await elsewhere.verify(await stored(node, session))
    assert caught.value.code == "invalid_state"


async def test_the_nearest_chunks_are_those_of_a_full_search(infini: EncoderNode):
    wish, traits = Wish("searched"), SessionTraits(indexed=True)
    await catalog(infini).begin(TENANT, await infini.info(), wish, traits)
    vectors = await append(infini, "searched", SENTENCES[:30], 0)
    questions = ("Who said so?", SENTENCES[4], "")
    result = await infini.query(QueryCommand(TENANT, "searched", questions, 7))
    assert result.searched == (0, 30)
    for answer in result.answers:
        scores = vectors @ answer.embedding
        order = sorted(range(30), key=lambda i: (-scores[i], i))[:7]
        assert answer.nearest is not None
        assert [near.seq for near in answer.nearest] == order
        np.testing.assert_allclose(
            [near.score for near in answer.nearest], scores[order], atol=1e-6
        )
    await append(infini, "searched", [SENTENCES[-1]], 30)
    result = await infini.query(QueryCommand(TENANT, "searched", (SENTENCES[-1],)))
    [answer] = result.answers
    assert answer.nearest is not None
    assert len(answer.nearest) == TOP_K
    assert result.searched == (0, 31)


async def test_only_sessions_with_an_index_are_searched(infini: EncoderNode):
    session = await open_session(infini, *PAST)
    result = await infini.query(QueryCommand(TENANT, session, ("x",)))
    assert result.searched is None
    assert result.answers[0].nearest is None
    with pytest.raises(Unprocessable) as caught:
        await infini.query(QueryCommand(TENANT, session, ("x",), 3))
    assert (caught.value.code, caught.value.param) == ("session_has_no_index", "top_k")


async def test_an_answer_has_its_bound(start_node: StartNode):
    async with start_node("infini", answer_numbers=100) as node:
        await catalog(node).begin(
            TENANT, await node.info(), Wish("searched"), SessionTraits(indexed=True)
        )
        await append(node, "searched", SENTENCES[:30], 0)
        result = await node.query(QueryCommand(TENANT, "searched", ("x",), 25))
        assert len(result.answers[0].nearest or ()) == 25
        with pytest.raises(Unprocessable, match="fewer questions"):
            await node.query(QueryCommand(TENANT, "searched", ("x", "y"), 25))


async def test_a_compressive_memory_by_layer_and_head(infini: EncoderNode):
    session = await open_session(infini)
    empty = await infini.memory(MemoryCommand(TENANT, session))
    assert (empty.next_seq, empty.tokens_seen) == (0, 0)
    assert not any(part.norm.any() for part in empty.parts)
    await append(infini, session, PAST, 0)
    found = await infini.memory(MemoryCommand(TENANT, session))
    memory = await memory_of(infini, session)
    assert found.layers == (0, 1, 2, 3, 4, 5)
    assert found.gates is not None
    assert found.gates.shape == (6, 12)
    assert ((found.gates > 0) & (found.gates < 1)).all()
    assert (found.next_seq, found.tokens_seen) == (6, memory.tokens_seen)
    assert found.nbytes == empty.nbytes == (await infini.info()).memory_bytes
    matrix, normaliser = found.parts
    assert (matrix.name, matrix.axes, matrix.norm.shape) == ("matrix", ("layer", "head"), (6, 12))
    np.testing.assert_allclose(
        matrix.norm, np.linalg.norm(memory.parts["matrix"].numpy(), axis=(2, 3)), rtol=1e-5
    )
    assert matrix.effective_rank is not None
    assert matrix.saturation is not None
    assert ((matrix.effective_rank >= 1) & (matrix.effective_rank <= 32)).all()
    assert ((matrix.saturation > 0) & (matrix.saturation <= 1)).all()
    assert normaliser.effective_rank is None
    assert (found.segments, found.numbers) == (None, None)


async def test_a_reader_and_its_parts(start_node: StartNode):
    async with start_node("infini-plus") as node:
        session = await open_session(node, *PAST)
        found = await node.memory(MemoryCommand(TENANT, session))
        assert (found.gates, found.layers) == (None, ())
        assert found.segments == len(PAST)
        parts = {part.name: part for part in found.parts}
        heads = parts["reader.values"].shape[0]
        rank = parts["reader.values"].effective_rank
        assert rank is not None
        assert rank.shape == (heads,)
        assert parts["reader.weights"].norm.shape == (heads,)
        assert parts["reader.segments"].norm.shape == ()


async def test_memories_are_looked_at_beside_the_engine_and_a_few_at_once(
    infini: EncoderNode, monkeypatch: pytest.MonkeyPatch
):
    session = await open_session(infini, *PAST)
    threads = set()

    def described(_memory: Memory) -> tuple[()]:
        threads.add(threading.current_thread().name)
        return ()

    monkeypatch.setattr("service.encoder_node.memory_view._described", described)
    await infini.memory(MemoryCommand(TENANT, session))
    [thread] = threads
    assert thread.startswith("memory-view")
    monkeypatch.setattr("service.encoder_node.memory_view.MOST_AT_ONCE", 0)
    with pytest.raises(Unavailable) as caught:
        await infini.memory(MemoryCommand(TENANT, session))
    assert caught.value.code == "overloaded"


async def test_a_view_that_is_closed_is_draining(infini: EncoderNode):
    assert infini._sessions is not None
    view = MemoryView(infini._model.encoder, infini._sessions.appender.tools)
    view.close()
    with pytest.raises(Unavailable) as caught:
        await view.describe(MemoryCommand(TENANT, "s"))
    assert caught.value.code == "draining"


async def test_a_model_without_memory_has_nothing_of_it(start_node: StartNode):
    async with start_node("multi-head") as node:
        for attempt in (
            node.read(ReadCommand(("x",))),
            node.verify(b""),
            node.memory(MemoryCommand(TENANT, "s")),
        ):
            with pytest.raises(Unprocessable) as caught:
                await attempt
            assert caught.value.code == "model_has_no_memory"


async def test_sessions_that_are_not_there(infini: EncoderNode):
    with pytest.raises(NotFound):
        await infini.memory(MemoryCommand(TENANT, "never"))


async def test_snapshots_are_kept_as_configured(infini: EncoderNode):
    session = await open_session(infini)
    for seq in range(33):
        await append(infini, session, [f"text {seq}"], seq)
    assert infini._sessions is not None
    store = infini._sessions.appender.tools.store
    assert await store.snapshots(TENANT, session) == [32]
    begun = await copies(infini).forks.fork(TENANT, session, Wish(), at_seq=32)
    np.testing.assert_array_equal(
        await append(infini, begun.record.id, ["text 32"], 32),
        await append(infini, session, ["text 32"], 32),
    )
