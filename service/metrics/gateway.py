"""What a gateway process measures: HTTP."""

from collections.abc import Iterable

from service.metrics import catalogue
from service.metrics.process import ProcessMetrics, member

UNMATCHED_ROUTE = "unmatched"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class GatewayMetrics(ProcessMetrics):
    """Metrics of one gateway process; the arguments are those of `ProcessMetrics`."""

    def __init__(self, backend: str = "sqlite", *, resident: bool = True) -> None:
        super().__init__(backend, resident=resident)
        self._requests = self._counter(catalogue.HTTP_REQUESTS)
        self._seconds = self._histogram(catalogue.HTTP_REQUEST_DURATION)
        self._rejected = self._counter(catalogue.REJECTED)
        self._stream_errors = self._counter(catalogue.STREAM_ERRORS)
        self._routes = {UNMATCHED_ROUTE}
        for reason in catalogue.REJECT_REASONS:
            self._rejected.labels(reason)
        for code in catalogue.STREAM_ERROR_CODES:
            self._stream_errors.labels(code)

    def expect_routes(self, routes: Iterable[tuple[str, str, int]]) -> None:
        """Create the series of (route template, method, success code) before any request."""
        for route, method, code in routes:
            self._routes.add(route)
            self._requests.labels(route, method, str(code))
            self._seconds.labels(route)

    def request(self, route: str | None, method: str, code: int, seconds: float) -> None:
        """Count one request.

        Args:
            route: Route template; None or an unknown one is counted as `unmatched`.
            method: HTTP method; unknown ones are counted as `other`.
            code: Status code sent; 499 for a client that left first.
            seconds: From the request's head to the last byte of the response.
        """
        template = route if route in self._routes and route is not None else UNMATCHED_ROUTE
        verb = method if method in _METHODS else catalogue.OTHER
        self._requests.labels(template, verb, str(code)).inc()
        self._seconds.labels(template).observe(seconds)

    def rejected(self, reason: str) -> None:
        """Count a request that was not done; `reason` is one of `catalogue.REJECT_REASONS`."""
        self._rejected.labels(member(reason, catalogue.REJECT_REASONS)).inc()

    def stream_error(self, status: int) -> None:
        """Count a stream that ended with an error event; `status` is the one the event names."""
        self._stream_errors.labels(member(str(status), catalogue.STREAM_ERROR_CODES)).inc()

    def appended(self, position_tokens: int, tokens: int, seconds: float) -> None:
        """Ignore it: chunks are read, and observed, in encoder processes."""
