"""What institutions were told is done, written down outside the node: the ledger a soak is judged by."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Thing:
    """A run or a meeting as its institution last heard it was kept."""

    id: str
    institution: str
    said: str
    people: int = 0


@dataclass
class Ledger:
    """Every acknowledged command: things by their number or title, people by their address."""

    runs: dict[str, Thing] = field(default_factory=dict)
    meetings: dict[str, Thing] = field(default_factory=dict)
    people: dict[str, str] = field(default_factory=dict)
    commands: Counter[str] = field(default_factory=Counter)
    retries: Counter[str] = field(default_factory=Counter)
    surprises: list[str] = field(default_factory=list)
