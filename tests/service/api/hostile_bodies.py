"""Bodies that nobody sends by accident, with the status that each deserves where it is made for."""

import itertools
import string


def _keys(count: int) -> bytes:
    names = itertools.islice(itertools.product(string.ascii_letters, repeat=4), count)
    return b"{" + b",".join(b'"%s":1' % "".join(name).encode() for name in names) + b"}"


def _embed(value: bytes) -> bytes:
    return b'{"model":"infini","input":' + value + b"}"


def _list(item: bytes, count: int) -> bytes:
    return b"[" + b",".join([item] * count) + b"]"


def _returning(item: bytes, count: int) -> bytes:
    return b'{"chunks":["x"],"return":' + _list(item, count) + b"}"


def _revisit(chunks: bytes) -> bytes:
    return b'{"revisit":true,"first_seq":0,"chunks":' + chunks + b"}"


def _cohere(inputs: bytes) -> bytes:
    return b'{"input_type":"classification","model":"infini","inputs":' + inputs + b"}"


def _documents(inputs: bytes) -> bytes:
    return b'{"inputs":' + inputs + b',"model":"infini"}'


def home(body: bytes) -> str:
    """The route that a body is made for; the others refuse it too, maybe for another reason."""
    if b'"layers"' in body[:64]:
        return "/v1/attention"
    if b'"input_type"' in body[:64]:
        return "/v2/embed"
    if body.startswith(b'{"inputs"'):
        return "/v1/contextualizedembeddings"
    if body.startswith(b'{"texts"'):
        return "/v1/sessions/s1/query"
    if b'"revisit"' in body[:64]:
        return "/v1/sessions/s1/complete"
    return "/v1/sessions/s1/chunks" if body.startswith(b'{"chunks"') else "/v1/embeddings"


BODIES = {
    "empty": (b"", 400),
    "null": (b"null", 422),
    "number": (b"1", 422),
    "array": (b"[]", 422),
    "torn": (b'{"model":', 400),
    "trailing": (_embed(b'"x"') + b" x", 400),
    "nan": (_embed(b"NaN"), 400),
    "infinity": (_embed(b"-Infinity"), 400),
    "1e400": (_embed(b"1e400"), 422),
    "5000 digits": (_embed(b"9" * 5000), 400),
    "lone surrogate": (_embed(b'"\\ud800"'), 400),
    "raw surrogate": (_embed(b'"\xed\xa0\x80"'), 400),
    "bad utf-8": (_embed(b'"\xff"'), 400),
    "bad utf-8 key": (b'{"\xff":1}', 400),
    "raw nul": (_embed(b'"\x00"'), 400),
    "byte order mark": (b"\xef\xbb\xbf" + _embed(b'"x"'), 400),
    "utf-16": (_embed(b'"x"').decode().encode("utf-16"), 400),
    "repeated key": (b'{"model":"infini","input":"a","input":"b"}', 400),
    "170k repeated keys": (b"{" + b'"model":"x",' * 170_000 + b'"input":"a"}', 400),
    "unknown key": (b'{"model":"infini","input":"a","inptu":1}', 422),
    "230k unknown keys": (_keys(230_000), 422),
    "300k unknown keys": (_keys(300_000), 413),
    "100k deep arrays": (_embed(b"[" * 100_000 + b"]" * 100_000), 400),
    "100k deep objects": (b'{"a":' * 100_000, 400),
    "1M numbers": (_embed(_list(b"1", 1_000_000)), 422),
    "a text, then 1M numbers": (_embed(b'["x",' + b"1," * 1_000_000 + b"1]"), 422),
    "650k empty texts": (_embed(_list(b'""', 650_000)), 422),
    "690k empty objects": (_embed(b'["x",' + b"{}," * 690_000 + b"1]"), 422),
    "10 MB": (_embed(b'"' + b"x" * 10_000_000 + b'"'), 413),
    "wrong types": (b'{"model":1,"input":"x","truncate":"yes","dimensions":"8"}', 422),
    "huge model name": (b'{"model":"' + b"x" * 1_000_000 + b'","input":"x"}', 422),
    "300k numbers for chunks": (b'{"chunks":' + _list(b"1", 300_000) + b"}", 422),
    "650k empty chunks": (b'{"chunks":' + _list(b'""', 650_000) + b"}", 422),
    "100k deep chunks": (b'{"chunks":' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400),
    "300k unknown members": (_returning(b'"x"', 300_000), 422),
    "200k known members": (_returning(b'"tokens"', 200_000), 422),
    "300k numbers for members": (_returning(b"1", 300_000), 422),
    "500k objects for members": (_returning(b"{}", 500_000), 422),
    "an object for a text": (b'{"chunks":{"a":' + _list(b"1", 300_000) + b"}}", 422),
    "300k layers": (b'{"model":"infini","layers":' + _list(b"0", 300_000) + b',"input":"x"}', 422),
    "300k numbers for questions": (b'{"texts":' + _list(b"1", 300_000) + b"}", 422),
    "650k empty questions": (b'{"texts":' + _list(b'""', 650_000) + b"}", 422),
    "questions and 300k names": (b'{"texts":["x"],"recall":' + _list(b'"x"', 300_000) + b"}", 422),
    "300k numbers to revisit": (_revisit(_list(b"1", 300_000)), 422),
    "650k empty chunks to revisit": (_revisit(_list(b'""', 650_000)), 422),
    "100k deep chunks to revisit": (_revisit(b"[" * 100_000 + b"]" * 100_000), 400),
    "revisit at 1e400": (b'{"revisit":true,"chunks":[],"first_seq":1e400}', 422),
    "220k unknown keys of an input": (_cohere(b"[" + _keys(220_000) + b"]"), 422),
    "220k unknown keys of a content": (_cohere(b'[{"content":[' + _keys(220_000) + b"]}]"), 422),
    "650k empty contents": (_cohere(b'[{"content":' + _list(b"{}", 650_000) + b"}]"), 422),
    "50k inputs": (_cohere(_list(b'{"content":[{"type":"text","text":""}]}', 50_000)), 422),
    "2k inputs of 300 contents": (
        _cohere(_list(b'{"content":' + _list(b"{}", 300) + b"}", 2_000)),
        422,
    ),
    "400k documents": (_documents(_list(b'[""]', 400_000)), 422),
    "a document of 600k chunks": (_documents(b"[" + _list(b'""', 600_000) + b"]"), 422),
    "huge encoding": (b'{"chunks":["x"],"encoding_format":"' + b"x" * 1_000_000 + b'"}', 422),
}
