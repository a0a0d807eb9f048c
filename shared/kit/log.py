"""Structured logs: one JSON object a line, ids only, never personal data."""

import logging
import sys
import traceback

import structlog
from redis.exceptions import ConnectionError as RedisConnectionError

from shared.kit.errors import words_of


def _without_values(exc_info: structlog.typing.ExcInfo) -> str:
    """Render an error and its causes with their frames, but without the values that failed."""
    parts: list[str] = []
    error: BaseException | None = exc_info[1]
    while error is not None and len(parts) < 20:
        frames = "".join(traceback.format_tb(error.__traceback__))
        parts.append(f"{frames}{type(error).__module__}.{type(error).__qualname__}: {words_of(error)}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n\nbecause of\n\n".join(parts)


_format_error = structlog.processors.ExceptionRenderer(_without_values)


QUIET_SECONDS = 30.0


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
            _format_error,
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
                _format_error,
                structlog.processors.JSONRenderer(ensure_ascii=False),
            ],
        )
    )
    handler.addFilter(_Shortened())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("album.broker").setLevel(logging.WARNING)


class _Shortened(logging.Filter):
    """Says in one line, twice a minute, that a server is away; FastStream logs a traceback for each stream and try."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Shorten a lost connection to one line, and drop it if it was said a moment ago."""
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, OSError | TimeoutError | RedisConnectionError):
            return True
        text = f"{record.getMessage()}: {type(error).__name__}"
        record.msg, record.args, record.exc_info = text, (), None
        if record.created - self._said.get(text, 0.0) < QUIET_SECONDS:
            return False
        self._said[text] = record.created
        return True


log: structlog.typing.FilteringBoundLogger = structlog.get_logger()
