"""The fake service behind a real socket."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

from tests.service.client.fake import FakeService


@contextmanager
def served(service: FakeService) -> Iterator[str]:
    """Serve it on a free port of the loopback interface and yield its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = self.rfile.read(length)
            url = f"http://{self.headers['Host']}{self.path}"
            headers = list(self.headers.items())
            response = service(httpx.Request(self.command, url, headers=headers, content=body))
            self.send_response(response.status_code)
            for name, value in response.headers.items():
                if name.lower() != "content-length":
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(response.content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(response.content)

        do_HEAD = do_POST = do_DELETE = do_GET  # noqa: N815 - names the base class looks for

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
