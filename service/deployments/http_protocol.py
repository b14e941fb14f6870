"""HTTP/1.1 of one connection, with bounds on everything its sender controls before the application sees it.

uvicorn bounds the size of a request's head, with h11 only, and no time but that between requests: connections that
send a byte now and then would stay open for ever. What comes after a head is bounded by the application, which knows
the route; what still comes after the answer is bounded here, and so is an answer that nobody takes.
"""

import asyncio
import sys
import uuid
from functools import partial
from http import HTTPStatus
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from service.api.middleware import SECURITY_HEADERS
from service.api.problems import PROBLEM_MEDIA_TYPE, bare_problem
from service.api.refusals import HeadersTooLarge
from service.config_access import EdgeConfig
from service.deployments.http_closing import ClosingTransport
from service.deployments.http_pieces import in_pieces
from service.errors import BadRequest, ServiceError, Unavailable

_ANSWERABLE: Final = (h11.IDLE, h11.SEND_RESPONSE)
_LEAST_TAKEN: Final = 64 * 1024
"""Bytes of a waiting answer that its client has to take in each `edge.unread_seconds`."""
LEAST_PER_SECOND: Final = 64 * 1024
"""Bytes of a whole answer that its client has to take each second, once `edge.unread_seconds` are over."""


class GuardedHttp(H11Protocol):
    """One connection.

    Args:
        edge: The bounds.
        idle: The connections of the process without an unanswered request, the oldest first.
        options: What uvicorn makes a protocol with.
    """

    def __init__(
        self, edge: EdgeConfig, idle: "dict[GuardedHttp, None] | None" = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.app = partial(in_pieces, self.app, self._deadline)
        self._edge = edge
        self._idle = {} if idle is None else idle
        self._head_timer: asyncio.TimerHandle | None = None
        self._linger_timer: asyncio.TimerHandle | None = None
        self._unread_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn
        """Start the clock of the first head; if there are too many, close the oldest idle one, or else this one."""
        self._closing = ClosingTransport(transport, self._edge.linger_seconds, self._expects_more)
        super().connection_made(self._closing)  # type: ignore[arg-type] # all that uvicorn uses of one
        if len(self.connections) > self._edge.connections and not self._make_room():
            busy = Unavailable("overloaded", "This process has too many connections; try again.")
            self._refuse(busy, {"retry-after": str(busy.retry_after_s)})
            return
        self._idle[self] = None
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Keep the clock of a head that is incomplete; stop it when it is there."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self.transport.is_closing():
            return
        if not self._is_idle():
            self._idle.pop(self, None)
        if self.conn.their_state is not h11.IDLE:
            self._stop_head_timer()
        elif self._head_timer is None:
            self._await_head()
        if not self._awaits_rest():
            self._stop_linger_timer()

    def on_response_complete(self) -> None:
        """Give what is left of an answered request's body a moment to end."""
        super().on_response_complete()
        if self._is_idle():
            self._idle[self] = None
        if self.transport.is_closing():
            return
        if self._awaits_rest():
            self._stop_linger_timer()
            seconds = self._edge.linger_seconds
            self._linger_timer = self.loop.call_later(seconds, self._closing.drop)
        elif self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            # The beginning of a next head came along with the last request.
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the clocks."""
        self._idle.pop(self, None)
        self._closing.forget()
        self._stop_head_timer()
        self._stop_linger_timer()
        self._stop_unread_timer()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Let a request in work be answered; a connection without one has nothing to wait for."""
        if self._is_idle():
            self._closing.drop()
        else:
            super().shutdown()

    def pause_writing(self) -> None:
        """Start the clock of an answer that its client does not take."""
        super().pause_writing()
        self._await_reader()

    def resume_writing(self) -> None:
        """Stop it: most of the answer is on its way."""
        self._stop_unread_timer()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, called by uvicorn while it handles h11's error."""
        error = sys.exception()
        hint = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 0
        # None before the first request, which its declared type leaves out.
        cycle = getattr(self, "cycle", None)
        if cycle is not None and not cycle.response_complete:
            # The application hears that its client is gone, which from now on it is.
            cycle.disconnected = True
            cycle.message_event.set()
        refusal: ServiceError = BadRequest("invalid_request", msg)
        if hint == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
            refusal = HeadersTooLarge(
                "headers_too_large",
                f"The head of the request is larger than {self._edge.head_bytes} bytes.",
                extras={"max_head_bytes": self._edge.head_bytes},
            )
        self._refuse(refusal)

    def _is_idle(self) -> bool:
        """Tell whether every request that came here is answered; the head of a next one may be on its way."""
        # None before the first request, which its declared type leaves out.
        cycle = getattr(self, "cycle", None)
        return cycle is None or cycle.response_complete

    def _awaits_rest(self) -> bool:
        """Tell whether a request was answered before its body ended; there is no next one until it does."""
        return self.conn.our_state is h11.DONE and self.conn.their_state is h11.SEND_BODY

    def _expects_more(self) -> bool:
        """Tell whether something may be on its way that nobody reads any more."""
        unread = self.conn.their_state in {h11.SEND_BODY, h11.ERROR}
        return unread or bool(self.conn.trailing_data[0])

    def _make_room(self) -> bool:
        """Close the connection that has been idle longest: they need no key, so anybody could hold them all."""
        oldest = next(iter(self._idle), None)
        if oldest is None:
            return False
        del self._idle[oldest]
        oldest.shutdown()
        return True

    def _await_head(self) -> None:
        self._stop_head_timer()
        self._head_timer = self.loop.call_later(self._edge.head_seconds, self._closing.drop)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_linger_timer(self) -> None:
        if self._linger_timer is not None:
            self._linger_timer.cancel()
            self._linger_timer = None

    def _await_reader(self) -> None:
        waiting = self.transport.get_write_buffer_size()
        self._unread_timer = self.loop.call_later(
            self._edge.unread_seconds, self._require_taken, waiting
        )

    def _require_taken(self, waited: int) -> None:
        if self.transport.get_write_buffer_size() > waited - _LEAST_TAKEN:
            # Closed in good order it would stay until the client has read all of it.
            self.transport.abort()
        else:
            self._await_reader()

    def _deadline(self, size: int) -> asyncio.TimerHandle:
        """Start the clock of a whole answer: 64 KiB a minute would make one of megabytes last for hours."""
        seconds = self._edge.unread_seconds + size / LEAST_PER_SECOND
        return self.loop.call_later(seconds, self.transport.abort)

    def _stop_unread_timer(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None

    def _refuse(self, error: ServiceError, headers: dict[str, str] | None = None) -> None:
        """Answer with a problem document if nothing was answered yet, and close."""
        if self.conn.our_state in _ANSWERABLE:
            request_id = uuid.uuid4().hex
            body = bare_problem(error, request_id)
            named = {
                **SECURITY_HEADERS,
                "content-type": PROBLEM_MEDIA_TYPE,
                "content-length": str(len(body)),
                "x-request-id": request_id,
                "connection": "close",
                **(headers or {}),
            }
            reason = error.title.encode()
            head = h11.Response(
                status_code=error.status, headers=list(named.items()), reason=reason
            )
            for event in (head, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
