"""How a process logs: dotted events with data as keys, to standard error.

Law: a traceback shows code, never the values of variables: among them are
configurations with secrets.
"""

import logging
import sys
from typing import Literal, TypeAlias

import structlog

LogFormat: TypeAlias = Literal["console", "json"]


def configure_logging(form: LogFormat = "console", *, level: int = logging.INFO) -> None:
    """Set up structlog for this process; called at its doors, once."""
    last: structlog.typing.Processor
    if form == "json":
        last = structlog.processors.JSONRenderer(sort_keys=True)
    else:
        last = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([structlog.processors.format_exc_info] if form == "json" else []),
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
