"""Errors of a request's head, which only the HTTP edge knows."""

from service.errors import ServiceError


class UriTooLong(ServiceError):
    """The request target is over a limit; the limit is in the extras."""

    status = 414
    title = "URI Too Long"


class Misdirected(ServiceError):
    """`Host` names a service that this one is not."""

    status = 421
    title = "Misdirected Request"


class HeadersTooLarge(ServiceError):
    """The header fields are over a limit."""

    status = 431
    title = "Request Header Fields Too Large"
