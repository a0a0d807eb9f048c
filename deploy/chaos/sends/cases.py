"""What a use case is: a service, what was before, what is asked for, which turns of the service carry it on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deploy.chaos.sends.asking import HOUSE, Ask


@dataclass(frozen=True)
class Elsewhere:
    """Something that another service, or another institution's, did and told before; `turns` carry it on."""

    service: str
    asks: tuple[Ask, ...]
    hosted: str = HOUSE
    turns: tuple[str, ...] = ("relay",)


@dataclass(frozen=True)
class Settle:
    """A pause in which the service's own turns carry on what was asked for so far."""


@dataclass(frozen=True)
class Case:
    """A use case: its effects must be whole wherever its process is killed."""

    service: str
    act: tuple[Ask, ...] = ()
    before: tuple[Ask | Elsewhere | Settle, ...] = ()
    before_turns: tuple[str, ...] = ("relay",)
    turns: tuple[str, ...] = ("relay",)
    hosted: str = HOUSE
    settings: Mapping[str, Any] = field(default_factory=dict)
    judge: str = "equal"
    hub: bool = False
