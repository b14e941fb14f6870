"""Logs of a replica: one JSON line per event on stderr, from where Ray carries them to the command's.

They name no text, vector, key or session id; see `service.redaction`. What a message of an unforeseen error says is
told at the level `debug` only.
"""

import logging
import sys

import structlog
from structlog.typing import EventDict, WrappedLogger

from service.config import ServiceConfig
from service.redaction import bare_trace, use_salt

SERVE_LOGGER = "ray.serve"
"""Where Ray Serve writes, to files of its own, with a trace for each call that an encoder refuses."""
_WORDY = ("uvicorn", "asyncio")
"""Loggers of what other peers do wrong, and of what is told in other words already."""


def configure_logs(config: ServiceConfig) -> None:
    """Set up structlog and the standard library's loggers of this process."""
    # Ray Serve puts a writer to its own file into the place of sys.stderr.
    stderr = sys.__stderr__ or sys.stderr
    level = logging.getLevelNamesMapping()[config.log_level.upper()]
    logging.basicConfig(
        stream=stderr, level=level, format="%(levelname)s %(name)s: %(message)s", force=False
    )
    if config.log_salt is not None:
        use_salt(config.log_salt)
    frank = level <= logging.DEBUG
    if not frank:
        for one in (logging.getLogger(SERVE_LOGGER), *logging.getLogger().handlers):
            one.addFilter(without_messages)
    for name in _WORDY:
        logging.getLogger(name).setLevel(max(level, logging.ERROR))
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info if frank else bare_exception,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=stderr),
        cache_logger_on_first_use=True,
    )


def without_messages(record: logging.LogRecord) -> bool:
    """Take the messages of exceptions out of a record of the standard library; it is never held back."""
    if record.exc_info:
        record.exc_text = bare_trace(*record.exc_info)
        record.exc_info = None
    if record.name == "asyncio":
        # Behind a bracket and in further lines it shows objects as they are: arguments, exceptions and what they say.
        first = record.getMessage().partition("\n")[0]
        record.msg, record.args = first.partition("(")[0], ()
    return True


def bare_exception(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Render an event's exception without its message."""
    found = event.pop("exc_info", None)
    if isinstance(found, BaseException):
        event["exception"] = bare_trace(type(found), found, found.__traceback__)
    elif isinstance(found, tuple):
        event["exception"] = bare_trace(*found)
    elif found:
        event["exception"] = bare_trace(*sys.exc_info())
    return event
