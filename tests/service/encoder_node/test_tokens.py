"""Token vectors and places, on the real checkpoint."""

import numpy as np
import pytest

from service.encoder_node import EncoderNode
from service.errors import BadRequest, Unprocessable
from service.ports import TextTokens
from tests.service.encoder_node.conftest import StartNode
from tests.texts import SENTENCES

LONG = " ".join(SENTENCES)
TEXTS = [
    "The bank of the river.",
    "Crème brûlée, naïve café — Ångström",
    "今日は天気がいい。",
    "a 👩‍👩‍👧‍👦 family, 🇫🇷 and 👍🏽!",
    "",
    " \t two   spaces ",
]


@pytest.fixture(params=["multi-head", "infini"])
async def node(request: pytest.FixtureRequest, start_node: StartNode):
    async with start_node(request.param) as running:
        yield running


async def test_a_texts_vector_is_the_mean_over_its_tokens_cls_and_sep_included(node: EncoderNode):
    result = await node.encode(TEXTS, truncate=False)
    alone = await node.embed(TEXTS, truncate=False)
    np.testing.assert_allclose(result.embedded.vectors, alone.vectors, atol=1e-6)
    for text, vector in zip(result.texts, result.embedded.vectors, strict=True):
        assert (text.tokens.pieces[0], text.tokens.pieces[-1]) == ("[CLS]", "[SEP]")
        assert text.vectors.shape == (len(text.tokens.ids), 384)
        mean = text.vectors.mean(0)
        np.testing.assert_allclose(mean / np.linalg.norm(mean), vector, atol=1e-5)
    assert result.embedded.tokens == sum(len(text.tokens.ids) for text in result.texts)


def _spelled(text: str, tokens: TextTokens) -> list[str]:
    return [text[offset[0] : offset[1]] for offset in tokens.offsets if offset is not None]


async def test_places_are_characters_of_the_text_as_it_was_sent(node: EncoderNode):
    result = await node.tokenize(TEXTS)
    spelled = [_spelled(text, tokens) for text, tokens in zip(TEXTS, result.texts, strict=True)]
    assert spelled[0] == ["The", "bank", "of", "the", "river", "."]
    assert result.texts[0].pieces == ("the", "bank", "of", "the", "river", ".")
    assert "".join(spelled[1]) == TEXTS[1].replace(" ", "")
    assert {"naïve", "café"} <= set(spelled[1])
    assert "".join(spelled[2]) == TEXTS[2]
    assert spelled[3][0] == "a"
    assert spelled[3][-1] == "!"
    assert "family" in spelled[3]
    assert any("👩" in piece for piece in spelled[3])
    assert spelled[4] == []
    assert spelled[5] == ["two", "spaces"]
    encoded = await node.encode(TEXTS, truncate=False)
    for found, text in zip(result.texts, encoded.texts, strict=True):
        assert text.tokens.offsets == (None, *found.offsets, None)
        assert text.tokens.ids[1:-1] == found.ids


async def test_a_text_over_the_window_keeps_every_token_or_is_refused(node: EncoderNode):
    [whole] = (await node.tokenize([LONG])).texts
    assert len(whole.ids) > 500
    if (await node.info()).memory_bytes:
        result = await node.encode(["short", LONG], truncate=False)
        text = result.texts[1]
        places = [place for place in text.tokens.offsets if place is not None]
        assert tuple(places) == whole.offsets
        segments = -(-len(whole.ids) // 254)
        assert text.tokens.offsets.count(None) == 2 * segments
        assert len(text.tokens.ids) == len(text.vectors) == len(whole.ids) + 2 * segments
        mean = text.vectors.mean(0)
        expected = (await node.embed([LONG], truncate=False)).vectors[0]
        np.testing.assert_allclose(mean / np.linalg.norm(mean), expected, atol=1e-5)
        return
    with pytest.raises(Unprocessable) as refused:
        await node.encode(["short", LONG], truncate=False)
    assert (refused.value.code, refused.value.param) == ("input_too_long", "input.1")
    cut = await node.encode(["short", LONG], truncate=True)
    assert cut.embedded.truncated_tokens == len(whole.ids) - 254
    assert cut.texts[1].tokens.offsets == (None, *whole.offsets[:254], None)


async def test_an_answer_over_the_limit_is_refused_before_anything_is_encoded(
    start_node: StartNode,
):
    async with start_node("multi-head", answer_numbers=384 * 10) as node:
        assert len((await node.encode(["a b c"] * 2, truncate=False)).texts) == 2
        steps = node._engine.last_step_at
        with pytest.raises(Unprocessable, match="at most 10 at once") as refused:
            await node.encode(["a b c"] * 3, truncate=False)
        assert refused.value.code == "answer_too_large"
        assert refused.value.extras == {"answer_numbers": 15 * 384, "max_answer_numbers": 3840}
        assert node._engine.last_step_at == steps
        assert (await node.embed(["a b c"] * 3, truncate=False)).tokens == 15
        assert len((await node.tokenize(["a " * 1280])).texts[0].ids) == 1280
        with pytest.raises(Unprocessable, match="at most 1280 at once"):
            await node.tokenize(["a " * 1281])


async def test_text_that_is_not_unicode_is_a_bad_request(node: EncoderNode):
    with pytest.raises(BadRequest):
        await node.encode(["\ud800"], truncate=False)
    with pytest.raises(BadRequest):
        await node.tokenize(["\ud800"])
