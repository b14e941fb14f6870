"""Commands that report in a few lines do without the log of what they provoke."""

import logging

import structlog


def without_log() -> None:
    """Let structlog print nothing any more."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
