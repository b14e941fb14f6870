"""The HTTP API as a client of the fault harness meets it: every answer counted, nothing retried here."""

import base64
import time
from collections import Counter
from typing import Any, Final

import httpx
import numpy as np
from numpy.typing import NDArray

from tests.chaos.client import Answer, Refused, Request, Unanswered
from tests.chaos.history import Told, fingerprint

TRY_AGAIN: Final = frozenset({429, 500, 502, 503, 504, 507})
"""What leaves open whether anything was done; 500 must not happen and is counted like all others."""


class HttpWire:
    """A `Wire` over a service.

    Args:
        url: The service.
        timeout_s: Longest time of one request.

    Attributes:
        seen: How often each answer came, as `200`, `503 store_unavailable`, or the name of a transport's failure.
        unadvised: Answers 503 without `Retry-After`.
        slowest_s: Longest time until each answer came.
    """

    def __init__(self, url: str, timeout_s: float = 60.0) -> None:
        self._http = httpx.AsyncClient(
            base_url=url,
            timeout=timeout_s,
            trust_env=False,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=64),
        )
        self.seen: Counter[str] = Counter()
        self.unadvised = 0
        self.slowest_s: dict[str, float] = {}

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def create(self, session: str, model: str) -> None:
        """Begin a session; one that exists under this name is ours, whose answer got lost."""
        try:
            await self._send("POST", "/v1/sessions", {"model": model, "id": session})
        except Refused as error:
            if error.code != "session_exists":
                raise

    async def append(self, session: str, request: Request) -> Answer:
        """See `Wire.append`."""
        body: dict[str, Any] = {"chunks": request.texts, "encoding_format": "base64"}
        body["return"] = ["embedding", "document"] if request.want_document else ["embedding"]
        if request.first_seq is not None:
            body["first_seq"] = request.first_seq
        headers = {} if request.key is None else {"Idempotency-Key": request.key}
        answer = await self._send("POST", f"/v1/sessions/{session}/chunks", body, headers)
        told = tuple(
            Told(chunk["seq"], fingerprint(_vector(chunk["embedding"])), chunk["replayed"])
            for chunk in answer["chunks"]
        )
        return Answer(answer["next_seq"], told)

    async def read(self, session: str) -> Answer:
        """See `Wire.read`."""
        next_seq, document = await self.document(session)
        return Answer(next_seq, document=fingerprint(document))

    async def vectors(
        self, session: str, texts: list[str], first_seq: int
    ) -> list[NDArray[np.float32]]:
        """Append texts and return their vectors."""
        body = {"chunks": texts, "first_seq": first_seq, "encoding_format": "base64"}
        answer = await self._send("POST", f"/v1/sessions/{session}/chunks", body)
        return [_vector(chunk["embedding"]) for chunk in answer["chunks"]]

    async def document(self, session: str) -> tuple[int, NDArray[np.float32]]:
        """Return how many chunks a session has, and its document vector."""
        path = f"/v1/sessions/{session}/embedding?encoding_format=base64"
        answer = await self._send("GET", path)
        return answer["next_seq"], _vector(answer["embedding"])

    async def embed(self, model: str) -> None:
        """Ask for a vector without a session."""
        await self._send("POST", "/v1/embeddings", {"model": model, "input": "Who is there?"})

    async def ready(self) -> bool:
        """Return whether the service says that all of it can work."""
        try:
            return (await self._http.get("/health/ready")).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    async def _send(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Any:
        began = time.monotonic()
        try:
            response = await self._http.request(method, path, json=body, headers=headers)
        except httpx.HTTPError as error:
            self._count(type(error).__name__, began)
            raise Unanswered(type(error).__name__) from error
        if response.is_success:
            self._count(str(response.status_code), began)
            return response.json() if response.content else None
        problem = _problem(response)
        code = str(problem.get("error", {}).get("code"))
        self._count(f"{response.status_code} {code}", began)
        if response.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            self.unadvised += "retry-after" not in response.headers
        if response.status_code in TRY_AGAIN or code == "request_in_progress":
            raise Unanswered(code)
        raise Refused(code, problem.get("expected_seq"))

    def _count(self, what: str, began: float) -> None:
        self.seen[what] += 1
        self.slowest_s[what] = max(self.slowest_s.get(what, 0.0), time.monotonic() - began)


def _problem(response: httpx.Response) -> dict[str, Any]:
    try:
        found = response.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _vector(text: str) -> NDArray[np.float32]:
    return np.frombuffer(base64.b64decode(text), "<f4")
