"""Heads that nobody sends by accident."""

import gzip
from typing import Final

from loadtests.hostile.case import (
    CLOSED,
    EMBEDDINGS,
    HOST,
    REFUSED,
    SESSION,
    VALID,
    Case,
    cases,
    get,
    head,
    post,
)

_FINE: Final = frozenset({200})
_BAD: Final = frozenset({400})
_UNTYPED: Final = frozenset({415})
_CHUNKS: Final = b"/v1/sessions/" + SESSION + b"/chunks"
_CHUNK: Final = b'{"chunks":["x"]}'
_LIVE: Final = b"/health/live"
_BOMB: Final = gzip.compress(b"0" * 10_000_000, mtime=0)

_BROKEN: Final = {
    "no Host": b"GET /health/live HTTP/1.1\r\n\r\n",
    "two Hosts": get(_LIVE, b"host: other"),
    "bare CR in a value": get(_LIVE, b"x-a: b\rc"),
    "NUL in a value": get(_LIVE, b"x-a: b\x00c"),
    "a name with a space": get(_LIVE, b"x a: b"),
    "an empty name": get(_LIVE, b": b"),
    "a line without a colon": get(_LIVE, b"nonsense"),
    "a name in UTF-8": get(_LIVE, "größe: b".encode()),
    "a control character in a name": get(_LIVE, b"x\x01: b"),
}

_LARGE: Final = {
    "a header of 60 KB": get(_LIVE, b"x-a: " + b"b" * 60_000),
    "200 headers": get(_LIVE, *(b"x-%d: y" % n for n in range(200))),
    "500 cookies": get(_LIVE, *(b"cookie: a=%d" % n for n in range(500))),
    "a name of 40 KB": get(_LIVE, b"x" * 40_000 + b": y"),
}

_TARGETS: Final = {
    "a target of 9 KB": get(b"/" + b"x" * 9_000),
    "a query of 9 KB": get(b"/v1/sessions?after=" + b"x" * 9_000),
    "a thousand parameters": get(b"/v1/sessions?" + b"&".join([b"limit=10"] * 1000)),
}

_METHODS: Final = {
    "TRACE": head(b"TRACE", b"/v1/models", b"x-secret: echo"),
    "CONNECT": head(b"CONNECT", b"localhost:22"),
    "OPTIONS *": head(b"OPTIONS", b"*"),
    "a method of 10 KB": head(b"X" * 10_000, b"/v1/models"),
    "a method in lower case": head(b"get", b"/v1/models"),
    "DELETE of everything": head(b"DELETE", b"/v1/sessions"),
    "PUT": head(b"PUT", b"/v1/models/infini"),
}

_ENCODINGS: Final = {
    f"content-encoding {coding.decode()}": post(EMBEDDINGS, body, b"content-encoding: " + coding)
    for coding, body in {
        b"gzip": gzip.compress(VALID, mtime=0),
        b"br": b"\x0f\x02\x80",
        b"zstd": b"\x28\xb5\x2f\xfd",
        b"deflate": b"\x78\x9c",
        b"gzip, gzip": gzip.compress(_BOMB, mtime=0),
        b"identity, gzip": _BOMB,
        b"aes128gcm": VALID,
    }.items()
}

_TYPES: Final = {
    f"content-type {kind.decode()}": post(EMBEDDINGS, VALID, b"content-type: " + kind)
    for kind in (
        b"text/plain",
        b"application/x-www-form-urlencoded",
        b"multipart/form-data; boundary=x",
        b"application/json; charset=utf-16",
        b"application/json; charset=utf-7",
        b"application/xml",
        b"application/octet-stream",
        b"*/*",
        b"",
        b";;;=",
    )
}

_WITHOUT_EFFECT: Final = {
    line.decode(errors="replace")[:40]: post(EMBEDDINGS, VALID, line)
    for line in (
        b"x-request-timeout-seconds: -1",
        b"x-request-timeout-seconds: nan",
        b"x-request-disconnect-disabled: ?1",
        b"serve_multiplexed_model_id: ../../etc/passwd",
        b"x-session-id: other",
        b"x-serve-router-session-id: other",
        b"x-request-id: <script>alert(1)</script>",
        b"x-request-id: " + b"a" * 10_000,
        b"x-forwarded-for: 127.0.0.1, ::1",
        b"x-forwarded-host: evil.example",
        b"x-http-method-override: DELETE",
        b"x-original-url: /metrics",
        b"range: bytes=0-18446744073709551615",
        b"accept: text/html;q=9999999999",
        b"accept-encoding: gzip;q=nan, *",
        b"expect: 200-maybe",
        b"upgrade: h2c",
        b"te: trailers, deflate;q=0.5",
        b"via: 1.1 a, 1.1 b",
        b"cookie: " + b"a=b; " * 1_000,
        b"x-obs-text: \xff\xfe\x80",
    )
}

_CONDITIONS: Final = {
    line.decode(errors="replace")[:40]: post(_CHUNKS, _CHUNK, line)
    for line in (
        b"if-match: nonsense",
        b'if-match: "a" "b"',
        b"if-match: " + b'"a", ' * 1_000 + b"x",
        b"idempotency-key: ",
        b"idempotency-key: " + b"k" * 300,
        b"idempotency-key: \xc3\xa9",
        b"idempotency-key: a b",
    )
}

_FOREIGN: Final = {
    "origin null": post(EMBEDDINGS, VALID, b"origin: null"),
    "another origin": post(EMBEDDINGS, VALID, b"origin: http://evil.example"),
    "an image of another site": get(_LIVE, b"sec-fetch-site: cross-site"),
    "two origins": post(
        EMBEDDINGS, VALID, b"origin: http://" + HOST, b"origin: http://evil.example"
    ),
}

_STRANGE: Final = (
    Case(
        "a websocket", (get(_LIVE, b"upgrade: websocket", b"connection: upgrade"),), REFUSED | _FINE
    ),
    Case("a head of 400 KB", (get(_LIVE, b"x-a: " + b"b" * 400_000),), frozenset({431, CLOSED})),
    Case("HTTP/9.9", (get(_LIVE).replace(b"/1.1", b"/9.9", 1),), _BAD | _FINE),
    Case("Host with a user", (get(_LIVE).replace(HOST, b"evil@" + HOST, 1),), REFUSED | _FINE),
    Case(
        "an absolute target",
        (get(b"http://evil.example/v1/models"),),
        frozenset({200, 401, 421}),
    ),
)

HEADS: Final = (
    *cases(_BAD, _BROKEN),
    *cases(frozenset({431}), _LARGE),
    *cases(frozenset({414}), _TARGETS),
    *cases(frozenset({401, 404, 405}), _METHODS),
    *cases(_UNTYPED, _ENCODINGS),
    *cases(_UNTYPED, _TYPES),
    *cases(_FINE, _WITHOUT_EFFECT),
    *cases(_BAD, _CONDITIONS),
    *cases(frozenset({403}), _FOREIGN),
    *_STRANGE,
)
