"""Structured logs: one JSON object a line, ids only, never personal data."""

import logging
import sys

import structlog
from redis.exceptions import ConnectionError as RedisConnectionError


def configure(service: str, level: str = "INFO") -> None:
    """Send all logs, the libraries' too, as JSON lines to standard error."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            *shared,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(ensure_ascii=False),
            ],
        )
    )
    handler.addFilter(_shortened)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("album.broker").setLevel(logging.WARNING)


def _shortened(record: logging.LogRecord) -> bool:
    """Say in one line that a server is away: FastStream logs a traceback for every stream and every attempt."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, OSError | TimeoutError | RedisConnectionError):
        record.msg, record.args, record.exc_info = f"{record.getMessage()}: {type(error).__name__}", (), None
    return True


log: structlog.typing.FilteringBoundLogger = structlog.get_logger()
