"""Put a marker into everything a client can send, and look for it where nothing of it may be.

    python -m loadtests.canary --url http://127.0.0.1:8000 --logs service.log --logs /tmp/longstream-0

`--logs` names files and folders: what the service prints, and Ray's files of its run. Prints a JSON report; exits with
1 if a marker is in a log, in the metrics, or in an answer to somebody else.
"""

import asyncio
import json
import secrets
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import httpx
import typer

from service.config import client_api_key

_LOGGED_AFTER_S: Final = 5.0
_LONGEST: Final = 64 * 1024**2


class Canary:
    """Markers by where they were put."""

    def __init__(self) -> None:
        self.markers: dict[str, str] = {}

    def mark(self, place: str) -> str:
        """Return a new marker of a place; it may stand in ids, texts and headers alike."""
        marker = f"canary{secrets.token_hex(8)}"
        self.markers[marker] = place
        return marker

    def found(self, texts: Mapping[str, str | bytes]) -> dict[str, list[str]]:
        """Return the places whose marker is in one of some named texts, with the names."""
        hits: dict[str, list[str]] = {}
        for name, text in texts.items():
            data = text.encode(errors="replace") if isinstance(text, str) else text
            # Methods are sent in capitals.
            data = data.lower()
            for marker, place in self.markers.items():
                if marker.lower().encode() in data:
                    hits.setdefault(place, []).append(name)
        return hits


async def sow(client: httpx.AsyncClient, canary: Canary) -> list[int]:
    """Send markers in every place a request has; returns what was answered.

    Args:
        client: Shows a key, if the service asks for one.
        canary: Gets the markers.
    """
    statuses: list[int] = []
    for method, path, options in _requests(canary):
        answer = await client.request(method, path, **options)
        statuses.append(answer.status_code)
    return statuses


def _requests(canary: Canary) -> Iterator[tuple[str, str, dict[str, Any]]]:
    mark = canary.mark
    session = f"/v1/sessions/{mark('session id')}"
    create = {"model": "infini", "id": session.rpartition("/")[2]}
    yield "POST", "/v1/sessions", {"json": {**create, "metadata": {mark("name"): mark("metadata")}}}
    yield "POST", "/v1/sessions", {"json": create}  # exists
    yield from _texts(canary)
    yield from _of_a_session(canary, session)
    yield from _refused(canary)
    yield "DELETE", session, {}
    yield "GET", session, {}


def _texts(canary: Canary) -> Iterator[tuple[str, str, dict[str, Any]]]:
    mark = canary.mark
    for path in ("embeddings", "encode", "attention", "tokenize"):
        yield "POST", f"/v1/{path}", {"json": {"model": "infini", "input": mark(f"text of {path}")}}
    long = f"{mark('text over the window')} " * 600
    yield "POST", "/v1/embeddings", {"json": {"model": "multi-head", "input": long}}
    yield "POST", "/v1/attention", {"json": {"model": "infini", "input": long}}


def _of_a_session(canary: Canary, session: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    mark = canary.mark
    chunk = {"chunks": [mark("chunk")], "first_seq": 0}
    keyed = {"headers": {"idempotency-key": mark("idempotency key")}}
    plain = {"content-type": "text/plain"}
    yield "POST", f"{session}/chunks", {"json": chunk}
    yield "POST", f"{session}/chunks", {"json": {**chunk, "chunks": [mark("conflicting chunk")]}}
    yield "POST", f"{session}/chunks", {"json": {**chunk, "first_seq": 9}}
    yield "POST", f"{session}/chunks", {"json": {"chunks": [mark("keyed chunk")]}, **keyed}
    yield "POST", f"{session}/chunks", {"json": {"chunks": [mark("other chunk")]}, **keyed}
    yield "POST", f"{session}/stream", {"content": mark("stream"), "headers": plain}
    torn = mark("torn stream").encode() + b"\xff"
    yield "POST", f"{session}/stream", {"content": torn, "headers": plain}
    yield "POST", f"{session}/query", {"json": {"texts": [mark("question")]}}
    tag = {"if-match": f'"{mark("entity tag")}"'}
    yield "POST", f"{session}/chunks", {"json": {"chunks": ["x"]}, "headers": tag}
    look = {"revisit": True, "first_seq": 0, "chunks": [mark("second look")]}
    yield "POST", f"{session}/complete", {"json": look}
    yield "POST", f"{session}/complete", {}
    yield "POST", f"{session}/chunks", {"json": {"chunks": [mark("late chunk")]}}


def _refused(canary: Canary) -> Iterator[tuple[str, str, dict[str, Any]]]:
    mark = canary.mark
    embeddings = "/v1/embeddings"
    yield "POST", embeddings, {"json": {"model": mark("model"), "input": "x"}}
    yield "POST", embeddings, {"json": {"model": "infini", "input": [1, mark("wrong input")]}}
    yield "POST", embeddings, {"json": {"model": "infini", mark("member"): mark("member's value")}}
    yield "POST", embeddings, {"content": f'{{"{mark("broken JSON")}'}
    yield "GET", f"/{mark('path')}", {}
    yield "GET", f"/v1/sessions/{mark('unknown session')}", {}
    yield "GET", "/v1/sessions", {"params": {"after": mark("parameter"), "limit": mark("limit")}}
    yield mark("method"), "/v1/models", {}
    for name in ("user-agent", "referer", "cookie", "x-anything", "accept", "x-forwarded-for"):
        yield "GET", "/v1/models", {"headers": {name: mark(f"header {name}")}}
    yield "GET", "/v1/models", {"headers": {"authorization": f"Bearer {mark('bearer token')}"}}
    yield "GET", "/v1/models", {"headers": {"x-api-key": f"lsk_abcdef_{mark('key')}{'x' * 21}"}}
    yield "GET", "/v1/models", {"headers": {"authorization": f"Basic {mark('password')}"}}
    yield "POST", embeddings, {"headers": {"content-type": mark("content type")}, "content": "x"}
    yield "POST", embeddings, {"headers": {"content-encoding": mark("encoding")}, "content": "x"}
    yield "GET", "/health/live", {"headers": {"origin": f"http://{mark('origin')}"}}


def texts_below(paths: Iterable[Path]) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of files, and of all files in folders."""
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            # Sockets and pipes of a run are no logs.
            if file.is_file() and not file.is_symlink() and file.stat().st_size <= _LONGEST:
                yield str(file), file.read_bytes()


async def strangers_view(client: httpx.AsyncClient) -> dict[str, str]:
    """Return what somebody else may read: metrics, lists, errors."""
    paths = ("/metrics", "/v1/models", "/health/ready", "/nowhere", "/v1/sessions/none")
    answers = {path: await client.get(path) for path in paths}
    return {f"answer to {p}": f"{a.headers}{a.text}" for p, a in answers.items()}


async def _run(url: str, key: str | None, logs: list[Path]) -> dict[str, Any]:
    canary = Canary()
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60) as client:
        statuses = await sow(client, canary)
        # Ray carries what replicas print to the command's output after a while.
        await asyncio.sleep(_LOGGED_AFTER_S)
        seen: dict[str, str | bytes] = {**await strangers_view(client)}
    if key is not None:
        canary.markers[key.rpartition("_")[2]] = "the key in use"
    files = dict(texts_below(logs))
    return {
        "requests": len(statuses),
        "markers": len(canary.markers),
        "statuses": {str(status): statuses.count(status) for status in sorted(set(statuses))},
        "files": len(files),
        "bytes": sum(map(len, files.values())),
        "hits": canary.found({**seen, **files}),
    }


def main(
    url: Annotated[str, typer.Option()] = "http://127.0.0.1:8000",
    logs: Annotated[list[Path] | None, typer.Option(exists=True)] = None,
) -> None:
    """Send markers and look for them."""
    report = asyncio.run(_run(url, client_api_key(), logs or []))
    typer.echo(json.dumps(report, indent=1))
    if report["hits"] or not report["bytes"]:
        raise SystemExit(1)


if __name__ == "__main__":
    typer.run(main)
