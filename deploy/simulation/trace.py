"""What happened in a simulated world: the trace and its hash, the faults, the marks, and what must never be."""

from collections import Counter, deque
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import structlog

from deploy.simulation.loop import now

# As many lines as a world that goes wrong keeps to be shown.
TAIL = 6000
# What the kit says of itself when a protection did its work.
_MARKED = {
    "stream_refilled",
    "gap_filled",
    "snapshot_loaded",
    "message_parked",
    "cursor_followed",
    "retry_hangs",
    "hub_refilled",
    "hub_moved",
    "stream_inside_lost",
    "roster_taken",
    "history_of_the_hub_taken",
    "taken_back_from_hub",
    "begun_behind_gap",
    "epoch_begun",
    "published_without_the_hub",
}
# Streams may wait for somebody else for a while; in the end none may, which is judged then.
_WAITS = {"own_stream_not_sent", "foreign_stream_waits", "hub_in_doubt"}


class Trace:
    """Everything worth knowing of one world."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.tail: deque[str] = deque(maxlen=TAIL)
        self.faults: Counter[str] = Counter()
        self.marks: Counter[str] = Counter()
        self.violations: list[str] = []
        self._hash = sha256(f"{seed}".encode())

    @property
    def hash(self) -> str:
        """Give one hash over all lines: the same seed must give the same one."""
        return self._hash.hexdigest()

    def note(self, line: str) -> None:
        """Write a line."""
        line = f"{now():9.4f} {line}"
        self.tail.append(line)
        self._hash.update(line.encode())

    def fault(self, kind: str, where: str) -> None:
        """Count a fault that was done to the world."""
        self.faults[kind] += 1
        self.note(f"FAULT {kind} {where}")

    def mark(self, name: str) -> None:
        """Count that a branch was passed which protects against faults."""
        self.marks[name] += 1

    def wrong(self, sentence: str) -> None:
        """Keep what must never be."""
        self.violations.append(sentence)
        self.note(f"VIOLATION {sentence}")


@contextmanager
def log_into(trace: Trace) -> Iterator[None]:
    """Take the structured logs of the code under test into the trace instead of printing them."""

    def take(_: Any, level: str, event: MutableMapping[str, Any]) -> Any:
        _take(trace, level, event)
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(
        processors=[take],
        wrapper_class=structlog.make_filtering_bound_logger(0),
        logger_factory=structlog.ReturnLoggerFactory(),
        cache_logger_on_first_use=False,
    )
    try:
        yield
    finally:
        structlog.configure(**before)


def _take(trace: Trace, level: str, event: MutableMapping[str, Any]) -> None:
    name = str(event.pop("event"))
    error = event.pop("exc_info", None)
    trace.note(f"log {level} {name} {' '.join(f'{key}={event[key]}' for key in sorted(event))}")
    if name in _MARKED:
        trace.mark(name)
    if name in _WAITS:
        trace.mark(f"{name}_{event.get('code')}")
    elif level == "error":
        trace.wrong(f"{name}: {event.get('reason') or error or sorted(event.items())}")
