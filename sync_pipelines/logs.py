"""How a process logs: dotted events with data as keys, to standard error.

Laws:

* A traceback shows code, never the values of variables: among them are configurations
  with secrets.
* What is bound by structlog's contextvars, such as the ids of a request or an execution, is
  in every line of it, also in those of libraries; so are the ids of the span that is on.
"""

import logging
import sys
from typing import Literal, TypeAlias

import structlog

from sync_pipelines import tracing

LogFormat: TypeAlias = Literal["console", "json"]


def configure_logging(form: LogFormat = "console", *, level: int = logging.INFO) -> None:
    """Set up structlog for this process; called at its doors, once."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _with_trace,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *_shown(form),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def configure_library_logs(form: LogFormat = "console") -> None:
    """Let what libraries log look as our own lines do; for a process that is all ours."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.contextvars.merge_contextvars,
                _with_trace,
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_shown(form),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def _with_trace(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    event.update(tracing.ids())
    return event


def _shown(form: LogFormat) -> list[structlog.typing.Processor]:
    """How an event becomes a line, in the end."""
    if form == "json":
        return [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(sort_keys=True),
        ]
    return [
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    ]
