"""Paths and parameters that look for something that is not theirs."""

from typing import Final

from loadtests.hostile.case import REFUSED, SESSION, cases, get, head

_SESSIONS: Final = b"/v1/sessions/"
_LOST: Final = frozenset({401, 404})

_PATHS: Final = {
    path.decode()[:60]: get(path)
    for path in (
        b"/../../etc/passwd",
        b"/v1/../../../etc/passwd",
        b"/v1/%2e%2e/%2e%2e/etc/passwd",
        b"/v1/..%2f..%2fetc%2fpasswd",
        b"/v1/..%5c..%5cwindows",
        b"//etc/passwd",
        b"/./v1/models",
        b"/v1//models",
        b"/v1/models/",
        b"/v1/models/..",
        b"/v1/models/%00",
        b"/v1/models/%0d%0aX-Injected:%201",
        b"/v1/models/%ff%fe",
        b"/v1/models/%25%32%65",
        b"/v1/models/%zz",
        b"/V1/MODELS",
        b"/v1/models;x=y",
        b"/docs",
        b"/redoc",
        b"/-/routes",
        b"/-/healthz",
        b"/api/jobs/",
        b"/api/serve/applications/",
        b"/.git/config",
        b"/.env",
        b"/server-status",
        b"/metrics/../v1/models",
        b"/health/live/../../metrics",
        b"/health/live%2f..%2f..%2fmetrics",
    )
}

_IDS: Final = {
    "session " + name.decode()[:40]: get(_SESSIONS + name)
    for name in (
        b".",
        b"..",
        b"%2e%2e",
        b"%00",
        SESSION + b"%00",
        SESSION + b"%20",
        SESSION + b"%0a",
        SESSION + b"/",
        SESSION + b"%2f",
        SESSION + b"'--",
        SESSION + b"%25",
        b"*",
        b"%ef%bc%a1",
        b"e%cc%81",
        b"%f0%9f%8e%bb",
        b"public%2f" + SESSION,
        b"x" * 129,
        b"x" * 7_000,
        b"sess_" + b"A" * 22,
    )
}

_PARAMETERS: Final = {
    "parameters " + query.decode()[:40]: get(b"/v1/sessions?" + query)
    for query in (
        b"limit=-1",
        b"limit=0",
        b"limit=1e9",
        b"limit=NaN",
        b"limit=99999999999999999999",
        b"limit=%00",
        b"limit=",
        b"after=../",
        b"after=%27%20OR%201=1",
        b"after=%00",
        b"after=" + b"x" * 5_000,
    )
}

_REACHING: Final = {
    "embedding of nobody": get(_SESSIONS + b"none/embedding"),
    "encoding of a script": get(_SESSIONS + SESSION + b"/embedding?encoding_format=%3Cscript%3E"),
    "deleting nobody": head(b"DELETE", _SESSIONS + b"none"),
    "deleting a list": head(b"DELETE", _SESSIONS + SESSION + b"," + SESSION),
}

PATHS: Final = (
    *cases(_LOST, _PATHS),
    *cases(_LOST, _IDS),
    *cases(frozenset({422}), _PARAMETERS),
    *cases(REFUSED, _REACHING),
)
