"""What the fake service says about tokens: words are tokens, and figures know their place."""

import re
from typing import Any

import httpx

from tests.service.client.vectors import encoded, vector_of

LAYERS, HEADS = 2, 3


def tokens_of(text: str, *, special: bool) -> list[dict[str, Any]]:
    found = [
        {"id": len(match[0]), "token": match[0], "start": match.start(), "end": match.end()}
        for match in re.finditer(r"\S+", text)
    ]
    if not special:
        return found
    cls, sep = ({"id": i, "token": t, "start": None, "end": None} for i, t in ((1, "^"), (2, "$")))
    return [cls, *found, sep]


def tokenize(body: dict[str, Any]) -> httpx.Response:
    data, total = [], 0
    for index, text in enumerate(body["input"]):
        tokens = tokens_of(text, special=False)
        total += len(tokens)
        data.append(
            {
                "index": index,
                "ids": [token["id"] for token in tokens],
                "tokens": [token["token"] for token in tokens],
                "offsets": [[token["start"], token["end"]] for token in tokens],
                "count": len(tokens),
            }
        )
    return httpx.Response(200, json={"data": data[::-1], "total": total, "max_chunk_tokens": 256})


def encode(body: dict[str, Any]) -> httpx.Response:
    form = body["encoding_format"]
    data = [
        {
            "index": index,
            "embedding": encoded(vector_of(text), form),
            "tokens": [
                token | {"embedding": encoded(vector_of(text, token["token"]), form)}
                for token in tokens_of(text, special=body["special_tokens"])
            ],
        }
        for index, text in enumerate(body["input"])
    ]
    usage = {"prompt_tokens": 9, "total_tokens": 9, "truncated_tokens": 2 * body["truncate"]}
    return httpx.Response(200, json={"data": data[::-1], "usage": usage})


def attention(body: dict[str, Any]) -> httpx.Response:
    tokens = tokens_of(body["input"], special=True)
    places = range(len(tokens))
    stages = body["return"]

    def head(layer: int, number: int) -> dict[str, Any]:
        scores = [[layer + 10 * number + j if j <= i else None for j in places] for i in places]
        weights = [[1 / (i + 1) if j <= i else 0 for j in places] for i in places]
        outputs = [[layer, number, i, 0.5] for i in places]
        steps = {"scores": scores, "weights": weights, "outputs": outputs}
        shown = {name: steps[name] for name in stages}
        answer: dict[str, Any] = {
            "head": number,
            "directions": [{"direction": way, **shown} for way in ("forward", "backward")],
        }
        if "outputs" in stages:
            answer["outputs"] = outputs
        if "context" in body:
            answer["memory_share"] = [layer / 10 + number / 100] * len(tokens)
        return answer

    answer: dict[str, Any] = {
        "tokens": tokens,
        "layers": [
            {"layer": i, "heads": [head(i, h) for h in body.get("heads", range(HEADS))]}
            for i in body.get("layers", range(LAYERS))
        ],
    }
    if "context" in body:
        answer["memory_share"] = [0.5] * len(tokens)
    return httpx.Response(200, json=answer)


ROUTES = {"/v1/tokenize": tokenize, "/v1/encode": encode, "/v1/attention": attention}
