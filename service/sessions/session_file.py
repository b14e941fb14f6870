"""A session as one file: safetensors, with a header of ours in its metadata.

The header is one JSON object under `longstream-session` (`_Header`). Tensors, all little-endian:

    memory/NAME       f32       each part of the memory; none while nothing has been read
    document          f64 (d,)  sum of chunk vectors times their tokens
    document_vector   f32 (d,)  the same at unit length, for whoever only reads the file
    chunks/digest     u8 (n, 32), chunks/embedding f32 (n, d), chunks/tokens i64 (n,)
                                the newest n chunks' answers, with which retries replay; absent if there are none

`digest` is the SHA-256 over the rest of the header and every tensor. It finds accidents, not forgers: what a file says
is checked besides, and whether its memory is one of the model's is the encoder's to find out. Nothing is executable.
"""

import hashlib
import json
from collections.abc import Mapping
from itertools import accumulate
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from service.errors import Unprocessable
from service.sessions.codec import StateArrays, document_vector, require_room
from service.sessions.records import ChunkRecord
from service.sessions.session_contents import SessionContents, metadata_text

MEDIA_TYPE: Final = "application/vnd.longstream.session"
FORMAT_VERSION: Final = 1

_KEY: Final = "longstream-session"
_MEMORY: Final = "memory/"
_HEADER_BYTES: Final = 256 * 1024
"""Longest header that is looked at: metadata of 16 KiB, escaped, and 64 parts, with room."""
_LENGTH_BYTES: Final = 8
_DTYPES: Final[Mapping[str, str]] = {"F32": "<f4", "F64": "<f8", "I64": "<i8", "U8": "|u1"}
_DIGEST_BYTES: Final = 32
_MOST: Final = 2**53 - 1

_Tensors: TypeAlias = dict[str, NDArray[Any]]


class _Header(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    format_version: Literal[1]
    model: str = Field(max_length=256)
    fingerprint: str = Field(max_length=256)
    session_id: str = Field(max_length=128)
    next_seq: int = Field(ge=0, le=_MOST)
    tokens: int = Field(ge=0, le=_MOST)
    tokens_seen: int = Field(ge=0, le=_MOST)
    completed: bool
    index: bool
    metadata: dict[str, JsonValue]
    digest: str


def pack(contents: SessionContents) -> bytes:
    """Return a session as a file; the same session gives the same bytes."""
    tensors = _tensors(contents)
    header = {
        "format_version": FORMAT_VERSION,
        "model": contents.model,
        "fingerprint": contents.fingerprint,
        "session_id": contents.session_id,
        "next_seq": contents.next_seq,
        "tokens": contents.state.tokens,
        "tokens_seen": contents.state.tokens_seen,
        "completed": contents.completed,
        "index": contents.indexed,
        "metadata": json.loads(contents.metadata),
    }
    header["digest"] = _digest(header, tensors)
    packed: bytes = safetensors.numpy.save(tensors, {_KEY: json.dumps(header, sort_keys=True)})
    return packed


def unpack(data: bytes) -> SessionContents:
    """Return the session that `pack` was given; whatever is not exactly that is refused.

    Raises:
        Unprocessable: `invalid_session_file` says what is wrong; `unsupported_session_file` if only the format is of
            another version.
    """
    if int.from_bytes(data[:_LENGTH_BYTES], "little") > _HEADER_BYTES:
        raise _invalid("its header is longer than any that is written")
    try:
        found = safetensors.deserialize(data)  # type: ignore[no-untyped-call]
        length = int.from_bytes(data[:_LENGTH_BYTES], "little")
        listed = json.loads(data[_LENGTH_BYTES : _LENGTH_BYTES + length])
        text = listed["__metadata__"][_KEY]
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _invalid(f"it is no safetensors file with a {_KEY} header") from error
    header = _header(text)
    tensors = {name: _array(name, tensor) for name, tensor in found}
    if _digest(header.model_dump(exclude={"digest"}), tensors) != header.digest:
        raise _invalid("its digest is wrong: it was damaged or changed")
    return _contents(header, tensors)


def _tensors(contents: SessionContents) -> _Tensors:
    state, chunks = contents.state, contents.chunks
    tensors: _Tensors = {_MEMORY + name: part for name, part in state.parts.items()}
    tensors["document"] = state.document
    tensors["document_vector"] = document_vector(state.document)
    if chunks:
        digests = b"".join(chunk.digest for chunk in chunks)
        vectors = b"".join(chunk.embedding for chunk in chunks)
        tensors["chunks/digest"] = np.frombuffer(digests, np.uint8).reshape(len(chunks), -1)
        tensors["chunks/embedding"] = np.frombuffer(vectors, "<f4").reshape(len(chunks), -1)
        tensors["chunks/tokens"] = np.array([chunk.tokens for chunk in chunks], np.int64)
    # Not `np.ascontiguousarray`, which makes a vector of a part that is one number.
    return {name: np.require(tensor, requirements="C") for name, tensor in tensors.items()}


def _digest(header: Mapping[str, Any], tensors: _Tensors) -> str:
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        place = json.dumps([name, tensor.dtype.str, tensor.shape])
        digest.update(b"\0" + place.encode() + b"\0")
        digest.update(tensor.tobytes())
    return digest.hexdigest()


def _header(text: object) -> _Header:
    if not isinstance(text, str):
        raise _invalid("its header is no text")
    try:
        return _Header.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "header"
        if place == "format_version" and first["type"] == "literal_error":
            raise Unprocessable(
                "unsupported_session_file",
                f"the file is of another format; this release reads format {FORMAT_VERSION}: export it again",
                extras={"supported_format_version": FORMAT_VERSION},
            ) from error
        raise _invalid(f"{place[:64]}: {first['msg']}") from error


def _array(name: str, tensor: Mapping[str, Any]) -> NDArray[Any]:
    dtype = _DTYPES.get(tensor["dtype"])
    if dtype is None:
        raise _invalid(f"tensor {name[:64]!r} has numbers of type {tensor['dtype']}")
    try:
        array = np.frombuffer(bytes(tensor["data"]), dtype).reshape(tensor["shape"])
    except (ValueError, OverflowError) as error:
        raise _invalid(f"tensor {name[:64]!r} has an impossible shape") from error
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise _invalid(f"tensor {name[:64]!r} has numbers that are not finite")
    return array


def _contents(header: _Header, tensors: _Tensors) -> SessionContents:
    parts = {
        name.removeprefix(_MEMORY): tensors.pop(name)
        for name in sorted(tensors)
        if name.startswith(_MEMORY)
    }
    try:
        require_room({name: part.shape for name, part in parts.items()})
    except ValueError as error:
        raise _invalid(f"its memory cannot be kept: {error}") from error
    if any(part.dtype != np.float32 for part in parts.values()):
        raise _invalid("a part of its memory is not float32")
    if bool(parts) != (header.next_seq > 0):
        raise _invalid("it has a memory without a chunk, or chunks without a memory")
    document = _taken(tensors, "document", "<f8", 1)
    vector = _taken(tensors, "document_vector", "<f4", 1)
    if not np.array_equal(vector, document_vector(document)):
        raise _invalid("its document vector is another document's")
    try:
        metadata = metadata_text(header.metadata)
    except ValueError as error:
        raise _invalid("its metadata is no JSON that could be kept") from error
    state = StateArrays(parts, header.tokens_seen, document, header.tokens)
    chunks = _chunks(header, tensors, len(document)) if tensors else ()
    if tensors:
        raise _invalid(f"tensor {min(tensors)[:64]!r} has no meaning here")
    return SessionContents(
        model=header.model,
        fingerprint=header.fingerprint,
        session_id=header.session_id,
        next_seq=header.next_seq,
        completed=header.completed,
        indexed=header.index,
        metadata=metadata,
        state=state,
        chunks=chunks,
    )


def _chunks(header: _Header, tensors: _Tensors, width: int) -> tuple[ChunkRecord, ...]:
    digests = _taken(tensors, "chunks/digest", "|u1", 2)
    vectors = _taken(tensors, "chunks/embedding", "<f4", 2)
    tokens = _taken(tensors, "chunks/tokens", "<i8", 1).tolist()
    count = len(tokens)
    if digests.shape != (count, _DIGEST_BYTES) or vectors.shape != (count, width):
        raise _invalid("its chunks are of different numbers")
    # The newest chunks are kept, and what they weigh is part of what the document weighs.
    before = header.tokens - sum(tokens)
    if not 0 < count <= header.next_seq or min(tokens) < 0 or before < 0:
        raise _invalid("its chunks are not the newest of its document")
    starts = accumulate(tokens, initial=before)
    rows = zip(range(header.next_seq - count, header.next_seq), tokens, starts, strict=False)
    return tuple(
        ChunkRecord(seq, digests[i].tobytes(), vectors[i].tobytes(), weight, start)
        for i, (seq, weight, start) in enumerate(rows)
    )


def _taken(tensors: _Tensors, name: str, dtype: str, axes: int) -> NDArray[Any]:
    tensor = tensors.pop(name, None)
    if tensor is None or tensor.dtype.str != np.dtype(dtype).str or tensor.ndim != axes:
        raise _invalid(f"tensor {name!r} is missing or of another kind")
    return tensor


def _invalid(reason: str) -> Unprocessable:
    return Unprocessable("invalid_session_file", f"this is no session that was exported: {reason}")
