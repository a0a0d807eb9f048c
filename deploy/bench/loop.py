"""The event loop and the memory settings of a service, for everything that is measured, the floors as well."""

import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

from shared.kit.run import on_loop

T = TypeVar("T")


def run(do: Coroutine[Any, Any, T]) -> T:
    """Run as a service runs, with a log of errors only."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    # Servers end before the last line to them is closed; nobody wants to read of that between figures.
    for name in ("asyncio", "album.broker", "album.bench"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return on_loop(do)
