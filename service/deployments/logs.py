"""Logs of a replica: one JSON line per event on stderr, from where Ray carries them to the command's."""

import logging
import sys

import structlog

from service.config import ServiceConfig


def configure_logs(config: ServiceConfig) -> None:
    """Set up structlog and the standard library's loggers of this process."""
    # Ray Serve puts a writer to its own file into the place of sys.stderr.
    stderr = sys.__stderr__ or sys.stderr
    level = logging.getLevelNamesMapping()[config.log_level.upper()]
    logging.basicConfig(
        stream=stderr, level=level, format="%(levelname)s %(name)s: %(message)s", force=False
    )
    logging.getLogger("uvicorn").setLevel(max(level, logging.WARNING))
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=stderr),
        cache_logger_on_first_use=True,
    )
