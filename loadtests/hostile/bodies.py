"""Bodies that nobody sends by accident: JSON at its edges, and text that is none."""

import itertools
import string
from typing import Final

from loadtests.hostile.case import EMBEDDINGS, REFUSED, SESSION, Case, cases, chunked, head, post

_BAD: Final = frozenset({400})
_WRONG: Final = frozenset({422})
_REFUSED: Final = frozenset({400, 413, 422})
_FINE: Final = frozenset({200})
_CREATE: Final = b"/v1/sessions"
_CHUNKS: Final = b"/v1/sessions/" + SESSION + b"/chunks"
_QUERY: Final = b"/v1/sessions/" + SESSION + b"/query"
_STREAM: Final = b"/v1/sessions/" + SESSION + b"/stream"
_PLAIN: Final = b"content-type: text/plain; charset=utf-8"


def _embed(value: bytes) -> bytes:
    return post(EMBEDDINGS, b'{"model":"infini","input":' + value + b"}")


def _list(item: bytes, count: int) -> bytes:
    return b"[" + b",".join([item] * count) + b"]"


def _names(count: int) -> bytes:
    names = itertools.islice(itertools.product(string.ascii_letters, repeat=4), count)
    return b"{" + b",".join(b'"%s":1' % "".join(name).encode() for name in names) + b"}"


_NO_JSON: Final = {
    "empty": post(EMBEDDINGS, b""),
    "torn": post(EMBEDDINGS, b'{"model":'),
    "two documents": post(EMBEDDINGS, b'{"model":"infini","input":"x"}{"model":"infini"}'),
    "garbage at the end": post(EMBEDDINGS, b'{"model":"infini","input":"x"} x'),
    "NaN": _embed(b"NaN"),
    "-Infinity": _embed(b"-Infinity"),
    "5000 digits": _embed(b"9" * 5000),
    "lone surrogate": _embed(b'"\\ud800"'),
    "surrogate in UTF-8": _embed(b'"\xed\xa0\x80"'),
    "overlong UTF-8": _embed(b'"\xc0\xaf"'),
    "UTF-8 past the last character": _embed(b'"\xf4\x90\x80\x80"'),
    "cut UTF-8": _embed(b'"\xe2\x82"'),
    "raw NUL": _embed(b'"\x00"'),
    "byte order mark": post(EMBEDDINGS, b"\xef\xbb\xbf" + b'{"model":"infini","input":"x"}'),
    "UTF-16": post(EMBEDDINGS, '{"model":"infini","input":"x"}'.encode("utf-16")),
    "UTF-32": post(EMBEDDINGS, '{"model":"infini","input":"x"}'.encode("utf-32")),
    "a comment": _embed(b'"x" /* y */'),
    "single quotes": post(EMBEDDINGS, b"{'model':'infini','input':'x'}"),
    "a trailing comma": post(EMBEDDINGS, b'{"model":"infini","input":"x",}'),
    "a member twice": post(EMBEDDINGS, b'{"model":"infini","input":"a","input":"b"}'),
    "100,000 deep arrays": _embed(b"[" * 100_000 + b"]" * 100_000),
    "100,000 deep objects": _embed(b'{"a":' * 100_000),
}

_MISSHAPEN: Final = {
    "null": post(EMBEDDINGS, b"null"),
    "a string": post(EMBEDDINGS, b'"model"'),
    "an array": post(EMBEDDINGS, b"[]"),
    "wrong types": post(EMBEDDINGS, b'{"model":1,"input":"x","truncate":"yes"}'),
    "__proto__": post(EMBEDDINGS, b'{"model":"infini","input":"x","__proto__":{"a":1}}'),
    "an unknown member": post(EMBEDDINGS, b'{"model":"infini","input":"x","inptu":1}'),
    "230,000 unknown members": post(EMBEDDINGS, _names(230_000)),
    "a million numbers": _embed(_list(b"1", 1_000_000)),
    "650,000 empty texts": _embed(_list(b'""', 650_000)),
    "no texts": _embed(b"[]"),
    "too many texts": _embed(_list(b'"x"', 3_000)),
    "1e400": _embed(b"1e400"),
    "dimensions below zero": post(EMBEDDINGS, b'{"model":"infini","input":"x","dimensions":-1}'),
    "an unknown encoding": post(
        EMBEDDINGS, b'{"model":"infini","input":"x","encoding_format":"../.."}'
    ),
    "no chunks": post(_CHUNKS, b'{"chunks":[]}'),
    "too many chunks": post(_CHUNKS, b'{"chunks":' + _list(b'"x"', 1_000) + b"}"),
    "a number below zero": post(_CHUNKS, b'{"chunks":["x"],"first_seq":-1}'),
    "a number over 64 bits": post(_CHUNKS, b'{"chunks":["x"],"first_seq":18446744073709551616}'),
    "a number of 1e400": post(_CHUNKS, b'{"chunks":["x"],"first_seq":1e400}'),
    "300,000 wishes": post(_CHUNKS, b'{"chunks":["x"],"return":' + _list(b'"x"', 300_000) + b"}"),
    "no questions": post(_QUERY, b'{"texts":[]}'),
    "an id with a slash": post(_CREATE, b'{"model":"infini","id":"a/b"}'),
    "an id with a line end": post(_CREATE, b'{"model":"infini","id":"a\\nb"}'),
    "an id of dots": post(_CREATE, b'{"model":"infini","id":".."}'),
    "an id of 10 KB": post(_CREATE, b'{"model":"infini","id":"' + b"x" * 10_000 + b'"}'),
    "a decomposed id": post(_CREATE, '{"model":"infini","id":"e\u0301"}'.encode()),
    "an id that runs backwards": post(_CREATE, '{"model":"infini","id":"a\u202eb"}'.encode()),
}

_TOO_MUCH: Final = {
    "10 MB": _embed(b'"' + b"x" * 10_000_000 + b'"'),
    "3 MB in chunks": head(
        b"POST", EMBEDDINGS, b"content-type: application/json", b"transfer-encoding: chunked"
    )
    + chunked(*[b"x" * 60_000] * 50),
    "metadata of 60 KB": post(
        _CREATE, b'{"model":"infini","metadata":{"a":"' + b"x" * 60_000 + b'"}}'
    ),
}

_HARMLESS: Final = {
    "minus zero": post(_CREATE + b"/none/chunks", b'{"chunks":["x"],"first_seq":-0}'),
    "a model that is a path": post(EMBEDDINGS, b'{"model":"../../etc/passwd","input":"x"}'),
    "a model that is a URL": post(EMBEDDINGS, b'{"model":"http://169.254.169.254/","input":"x"}'),
    "a model of 1 MB": post(EMBEDDINGS, b'{"model":"' + b"x" * 1_000_000 + b'","input":"x"}'),
}

_TEXTS: Final = {
    f"text {name}": _embed(b'"' + text.encode() + b'"')
    for name, text in {
        "that is empty": "",
        "of blanks": " \u00a0\u2003\u3000",
        "that runs backwards": "\u202eabc\u2066",
        "of no width": "\u200b\u200d\ufeff",
        "with escaped NUL": "\\u0000",
        "beyond the basic plane": "\U0001f3bb\U0010ffff",
        "of combining marks": "a" + "\u0301" * 500,
        "with script": "<script>alert(1)</script>",
        "with SQL": "'; DROP TABLE sessions; --",
        "with a template": "{{7*7}} ${jndi:ldap://x} %s%n",
    }.items()
}

_STREAMS: Final = {
    "a stream of latin-1": post(_STREAM, "größe".encode("latin-1"), _PLAIN),
    "a stream of UTF-16": post(_STREAM, "text".encode("utf-16"), _PLAIN),
    "a stream of overlong UTF-8": post(_STREAM, b"\xc0\xaf\xc0\xae", _PLAIN),
    "a stream of surrogates": post(_STREAM, b"\xed\xa0\x80\xed\xb0\x80", _PLAIN),
    "chunks of no characters": post(_STREAM + b"?chunk_chars=0", b"x", _PLAIN),
    "chunks of a billion": post(_STREAM + b"?chunk_chars=1000000000", b"x", _PLAIN),
    "a stream from -1": post(_STREAM + b"?first_seq=-1", b"x", _PLAIN),
    "a stream of another type": post(_STREAM, b"x", b"content-type: text/html"),
    "a stream that is compressed": post(_STREAM, b"x", _PLAIN, b"content-encoding: gzip"),
    "a stream in UTF-7": post(_STREAM, b"+ADw-", b"content-type: text/plain; charset=utf-7"),
}

BODIES: Final = (
    *cases(_BAD, _NO_JSON),
    *cases(_WRONG | _BAD, _MISSHAPEN),
    *cases(_REFUSED, _TOO_MUCH),
    *cases(REFUSED, _HARMLESS),
    *cases(_FINE | _WRONG | _BAD, _TEXTS),
    *cases(frozenset({400, 415, 422}), _STREAMS),
    Case(
        "a stream of single bytes",
        (
            head(b"POST", _STREAM + b"?chunk_chars=65536", _PLAIN, b"transfer-encoding: chunked"),
            chunked(*(b"%c" % byte for byte in "ein Stück Text".encode())),
        ),
        _FINE,
    ),
)
