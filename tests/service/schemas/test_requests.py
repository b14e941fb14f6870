import pytest
from pydantic import ValidationError

from service.schemas.attention import AttentionRequest
from service.schemas.complete import CompleteRequest
from service.schemas.embeddings import EmbeddingsRequest
from service.schemas.encode import EncodeRequest
from service.schemas.query import QueryRequest
from service.schemas.sessions import AppendRequest, CreateSessionRequest


def test_defaults_are_what_the_contract_says():
    append = AppendRequest.model_validate({"chunks": ["a"]})
    assert append.first_seq is None
    assert append.members == ["embedding", "tokens"]
    assert append.encoding_format == "float"
    create = CreateSessionRequest.model_validate({"model": "m"})
    assert create.id is None
    assert create.metadata == {}
    embed = EmbeddingsRequest.model_validate({"model": "m", "input": "a"})
    assert embed.input == ["a"]
    assert embed.truncate is False
    encode = EncodeRequest.model_validate({"model": "m", "input": "a"})
    assert encode.members == ["embedding"]
    assert encode.encoding_format == "float"
    assert (encode.truncate, encode.special_tokens) == (False, False)
    attention = AttentionRequest.model_validate({"model": "m", "input": "a"})
    assert attention.stages == ["weights"]
    assert (attention.context, attention.layers, attention.heads) == (None, None, None)
    complete = CompleteRequest.model_validate({})
    assert (complete.revisit, complete.first_seq, complete.chunks) == (False, None, None)
    assert complete.encoding_format == "float"
    assert QueryRequest.model_validate({"texts": ["a"]}).encoding_format == "float"


@pytest.mark.parametrize(
    "body",
    [
        {"chunks": ["a"], "return": ["everything"]},
        {"chunks": ["a"], "return": "embedding"},
        {"chunks": ["a"], "members": ["embedding"]},
        {"chunks": ["a"], "encoding_format": None},
        {"chunks": ["a"], "first_seq": "0"},
        {"chunks": ("a",)},
        {"chunks": [b"a"]},
    ],
)
def test_nothing_is_coerced(body):
    with pytest.raises(ValidationError):
        AppendRequest.model_validate(body)


@pytest.mark.parametrize(
    ("model", "body"),
    [
        (AppendRequest, {"chunks": [1] * 100_000}),
        (QueryRequest, {"texts": [1] * 100_000}),
        (CompleteRequest, {"revisit": True, "first_seq": 0, "chunks": [1] * 100_000}),
    ],
)
def test_a_wrong_text_ends_the_check(model, body):
    with pytest.raises(ValidationError) as error:
        model.model_validate(body)
    assert error.value.error_count() == 1


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"revisit": True}, "say what to look at"),
        ({"revisit": True, "first_seq": 0}, "say what to look at"),
        ({"revisit": True, "chunks": []}, "say what to look at"),
        ({"first_seq": 0}, "with revisit: true only"),
        ({"chunks": ["a"]}, "with revisit: true only"),
    ],
)
def test_a_second_look_is_asked_for_as_a_whole(body, said):
    with pytest.raises(ValidationError, match=said):
        CompleteRequest.model_validate(body)
    assert CompleteRequest.model_validate({"revisit": True, "first_seq": 0, "chunks": []}).revisit


@pytest.mark.parametrize("member", ["x", 1, "tokens"])
def test_a_member_that_is_none_or_one_too_many_ends_the_check(member):
    with pytest.raises(ValidationError) as error:
        AppendRequest.model_validate({"chunks": ["a"], "return": [member] * 100_000})
    assert error.value.error_count() == 1


@pytest.mark.parametrize(
    ("model", "field", "item"),
    [
        (EncodeRequest, "return", "tokens"),
        (EncodeRequest, "return", 1),
        (AttentionRequest, "return", "weights"),
        (AttentionRequest, "layers", 1),
        (AttentionRequest, "heads", -1),
        (AttentionRequest, "heads", "1"),
    ],
)
def test_a_choice_that_is_none_or_too_long_ends_the_check(model, field, item):
    with pytest.raises(ValidationError) as error:
        model.model_validate({"model": "m", "input": "a", field: [item] * 100_000})
    assert error.value.error_count() == 1


@pytest.mark.parametrize("name", ["a", "A-z_9", "x" * 128])
def test_session_ids_that_can_be(name):
    assert CreateSessionRequest.model_validate({"model": "m", "id": name}).id == name
