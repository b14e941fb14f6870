"""What the fake service answers about a session beside appends."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx

from tests.service.client.vectors import encoded, vector_of

if TYPE_CHECKING:  # the fake service imports this module
    from tests.service.client.fake import FakeSession


def document(session: "FakeSession") -> dict[str, Any]:
    return {
        "object": "document_embedding",
        "embedding": encoded(vector_of("document", *session.texts), "base64"),
        "tokens": session.tokens,
        "next_seq": len(session.texts),
    }


def complete(
    session: "FakeSession", body: dict[str, Any], describe: Callable[[], dict[str, Any]]
) -> httpx.Response:
    """Complete, and look again: vectors know all texts, and which one they are of."""
    chunks = []
    for seq, text in enumerate(body.get("chunks", ()), body.get("first_seq", 0)):
        if session.texts[seq : seq + 1] != [text]:
            extras = {"expected_seq": len(session.texts), "provided_seq": seq}
            error = {"detail": "other text", "error": {"code": "sequence_conflict"}}
            return httpx.Response(409, json=error | extras)
        vector = encoded(vector_of("again", *session.texts, text), body["encoding_format"])
        chunks.append({"seq": seq, "embedding": vector, "tokens": len(text.split())})
    session.completed = True
    answer = {
        "object": "complete",
        "session": describe(),
        "chunks": chunks,
        "usage": {"prompt_tokens": sum(chunk["tokens"] + 2 for chunk in chunks)},
    }
    return httpx.Response(200, json=answer)


def nearest(session: "FakeSession", top_k: int) -> list[dict[str, Any]]:
    """Find the last chunks, whatever is asked."""
    last = session.answers[::-1][:top_k]
    return [
        {"seq": answer["seq"], "score": 1 / place, "token_range": answer["token_range"]}
        for place, answer in enumerate(last, start=1)
    ]


def query(session: "FakeSession", body: dict[str, Any]) -> httpx.Response:
    """Answer questions backwards; remember what was read that ends like the question."""

    def recall(question: str) -> dict[str, Any] | None:
        if session.model == "forgetful":
            return None
        found = [text for text in session.texts if text.endswith(question)]
        answer = found[-1].split()[0] if found else None
        return {"answer": answer, "confidence": 0.5 * len(found), "found": bool(found)}

    data = [
        {
            "index": index,
            "embedding": encoded(vector_of(text), body["encoding_format"]),
            "tokens": len(text.split()),
            "recall": recall(text),
            "nearest": nearest(session, body.get("top_k", 10)) if session.index else None,
        }
        for index, text in enumerate(body["texts"])
    ]
    answer = {"data": data[::-1], "next_seq": len(session.texts), "usage": {"prompt_tokens": 7}}
    return httpx.Response(200, json=answer)
