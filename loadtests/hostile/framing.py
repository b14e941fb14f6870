"""Where does a request end? Two readers that disagree are how a request is smuggled past one of them."""

from typing import Final

from loadtests.hostile.case import (
    AUTH,
    CLOSED,
    EMBEDDINGS,
    HOST,
    JSON,
    VALID,
    Case,
    cases,
    chunked,
    get,
    head,
    post,
)

_BAD: Final = frozenset({400})
_FINE_OR_BAD: Final = frozenset({200, 400})
_SMUGGLED: Final = b"GET /v1/smuggled HTTP/1.1\r\nhost: x\r\n\r\n"
_LENGTH: Final = b"content-length: %d" % len(VALID)
_CHUNKED: Final = b"transfer-encoding: chunked"


def _framed(*headers: bytes, body: bytes = VALID) -> bytes:
    return head(b"POST", EMBEDDINGS, JSON, *headers) + body


_LENGTHS: Final = {
    "two lengths that differ": _framed(b"content-length: 5", _LENGTH),
    "two lengths in one field": _framed(b"content-length: 5, %d" % len(VALID)),
    "negative length": _framed(b"content-length: -1"),
    "length with a plus": _framed(b"content-length: +%d" % len(VALID)),
    "hexadecimal length": _framed(b"content-length: 0x23"),
    "length with a space": _framed(b"content-length: 3 5"),
    "length of 400 digits": _framed(b"content-length: " + b"9" * 400),
    "empty length": _framed(b"content-length:"),
    "length in arabic digits": _framed("content-length: ٣٥".encode()),
}

_CODINGS: Final = {
    "length, then chunked": _framed(_LENGTH, _CHUNKED, body=chunked(VALID)),
    "chunked, then length": _framed(_CHUNKED, _LENGTH, body=chunked(VALID)),
    "CL.TE": _framed(b"content-length: 6", _CHUNKED, body=b"0\r\n\r\nG" + _SMUGGLED),
    "TE.CL": _framed(_CHUNKED, b"content-length: 4", body=chunked(_SMUGGLED)),
    "zero length and chunked": _framed(b"content-length: 0", _CHUNKED, body=chunked(_SMUGGLED)),
    "chunked twice": _framed(b"transfer-encoding: chunked, chunked", body=chunked(VALID)),
    "chunked in two fields": _framed(_CHUNKED, _CHUNKED, body=chunked(VALID)),
    "chunked and identity": _framed(b"transfer-encoding: chunked, identity", body=chunked(VALID)),
    "identity coding": _framed(b"transfer-encoding: identity"),
    "gzip coding": _framed(b"transfer-encoding: gzip"),
    "gzip, chunked": _framed(b"transfer-encoding: gzip, chunked", body=chunked(VALID)),
    "nearly chunked": _framed(b"transfer-encoding: xchunked", body=chunked(VALID)),
    "quoted chunked": _framed(b'transfer-encoding: "chunked"', body=chunked(VALID)),
    "chunked after a vertical tab": _framed(b"transfer-encoding: \x0bchunked", body=chunked(VALID)),
    "space before the colon": _framed(b"transfer-encoding : chunked", body=chunked(VALID)),
    "chunked after NUL": _framed(b"transfer-encoding: \x00chunked", body=chunked(VALID)),
    "chunked in HTTP/1.0": _framed(_CHUNKED, body=chunked(VALID)).replace(b"/1.1", b"/1.0", 1),
}

_CHUNKS: Final = {
    "chunk size with 0x": _framed(_CHUNKED, body=b"0x23\r\n" + VALID + b"\r\n0\r\n\r\n"),
    "negative chunk size": _framed(_CHUNKED, body=b"-1\r\n\r\n0\r\n\r\n"),
    "chunk size with a plus": _framed(_CHUNKED, body=b"+23\r\n" + VALID + b"\r\n0\r\n\r\n"),
    "chunk size is no number": _framed(_CHUNKED, body=b"zz\r\n\r\n"),
    "no line end after a chunk": _framed(_CHUNKED, body=b"23\r\n" + VALID + b"XX0\r\n\r\n"),
    "chunk longer than it says": _framed(_CHUNKED, body=b"5\r\n" + VALID + b"\r\n0\r\n\r\n"),
}

_LENIENT: Final = {
    "the same length twice": _framed(_LENGTH, _LENGTH),
    "the same length in one field": _framed(b"%b, %d" % (_LENGTH, len(VALID))),
    "folded coding": _framed(b"transfer-encoding:\r\n chunked", body=chunked(VALID)),
    "coding in capitals": _framed(b"TRANSFER-ENCODING: CHUNKED", body=chunked(VALID)),
    "a length in the trailer": _framed(
        _CHUNKED, body=chunked(VALID)[:-2] + b"content-length: 5\r\n\r\n"
    ),
    "one byte a chunk": _framed(_CHUNKED, body=chunked(*(b"%c" % byte for byte in VALID))),
    "heads end with LF": get(b"/health/live").replace(b"\r\n", b"\n"),
}

_NEVER_ENDING: Final = {
    "less than it says": _framed(b"content-length: 1000"),
    "a chunk of 16 exabytes": _framed(_CHUNKED, body=b"ffffffffffffffff\r\nabc"),
    "no last chunk": _framed(_CHUNKED, body=chunked(VALID)[:-5]),
    "chunk lines end with LF": _framed(_CHUNKED, body=b"23\n" + VALID + b"\n0\n\n"),
    "half a head": b"POST /v1/embeddings HTTP/1.1\r\nhost: ",
    "nothing": b"",
    "a thousand empty lines": b"\r\n" * 1000,
}

_PIPELINED: Final = (
    Case(
        "a request in the body of a GET",
        (
            head(b"GET", b"/health/live", b"content-length: %d" % len(_SMUGGLED), close=False)
            + _SMUGGLED
            + get(b"/health/live"),
        ),
        frozenset({200}),
        answers=2,
    ),
    Case(
        "fifty requests at once",
        (head(b"GET", b"/health/live", close=False) * 49 + get(b"/health/live"),),
        frozenset({200}),
        answers=50,
    ),
    Case(
        "garbage after a request",
        (head(b"GET", b"/health/live", close=False) + b"\x00\x01\x02 garbage\r\n\r\n",),
        _FINE_OR_BAD,
        answers=2,
    ),
    Case(
        "a request after one that is refused",
        (_framed(_LENGTH, _CHUNKED, body=chunked(VALID)) + _SMUGGLED,),
        _BAD,
    ),
    Case(
        "a long chunk extension",
        (_framed(_CHUNKED, body=b"23;" + b"x" * 60_000 + b"\r\n" + VALID + b"\r\n0\r\n\r\n"),),
        frozenset({200, 400, 431, CLOSED}),
    ),
    Case(
        "a long trailer",
        (_framed(_CHUNKED, body=chunked(VALID)[:-2] + b"x-y: z\r\n" * 20_000 + b"\r\n"),),
        frozenset({200, 400, 431, CLOSED}),
    ),
    Case(
        "expect 100-continue",
        (post(EMBEDDINGS, VALID, b"expect: 100-continue"),),
        frozenset({200}),
    ),
)

_NO_HTTP: Final = {
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n\r\n",
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "SMTP": b"EHLO localhost\r\n\r\n",
    "a version of words": b"GET / HTTP/one.one\r\nhost: " + HOST + b"\r\n\r\n",
    "two spaces": b"GET  / HTTP/1.1\r\nhost: " + HOST + b"\r\n\r\n",
    "NUL in the target": b"GET /\x00 HTTP/1.1\r\nhost: " + HOST + b"\r\n" + AUTH + b"\r\n",
    "raw UTF-8 in the target": "GET /größe HTTP/1.1\r\n\r\n".encode(),
}

FRAMING: Final = (
    *cases(_BAD, _LENGTHS),
    *cases(_BAD, _CODINGS),
    *cases(_BAD, _CHUNKS),
    *cases(_FINE_OR_BAD, _LENIENT),
    *cases(_BAD, _NO_HTTP),
    *_PIPELINED,
    *(
        Case(name, (request,), frozenset({400, 408, CLOSED}), incomplete=True)
        for name, request in _NEVER_ENDING.items()
    ),
)
