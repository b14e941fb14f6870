"""A server that answers embeddings and appends from a hash: `fake_server.py PORT [SALT]`."""

import base64
import hashlib
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np


def vector(text: str, salt: str) -> str:
    """Return a unit vector that depends on the text, and on the salt, as base64."""
    seed = int.from_bytes(hashlib.sha256(f"{salt}{text}".encode()).digest()[:4], "little")
    drawn = np.random.default_rng(seed).standard_normal(8)
    return base64.b64encode((drawn / np.linalg.norm(drawn)).astype("<f4").tobytes()).decode()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    salt = ""

    def do_GET(self) -> None:
        self._answer(200, {"status": "ok"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path.endswith("/chunks"):
            rows = [
                {"seq": body["first_seq"] + index, "embedding": vector(text, self.salt)}
                for index, text in enumerate(body["chunks"])
            ]
            self._answer(200, {"chunks": rows})
        elif self.path.endswith("/embeddings"):
            rows = [
                {"index": index, "embedding": vector(text, self.salt)}
                for index, text in enumerate(body["input"])
            ]
            self._answer(200, {"data": rows})
        else:
            self._answer(201, {"id": body["id"]})

    def _answer(self, status: int, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


if __name__ == "__main__":
    Handler.salt = sys.argv[2] if len(sys.argv) > 2 else ""
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
