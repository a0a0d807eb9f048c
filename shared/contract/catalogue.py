"""Every message that any release of the network speaks, found by its type."""

from collections.abc import Iterator
from types import ModuleType

from shared.contract import courses, events, members, referrals
from shared.contract.envelope import Message, type_of


def _spoken_in(module: ModuleType) -> Iterator[type[Message]]:
    for value in vars(module).values():
        # A class without a default `type` is the common part of several messages and never travels itself.
        if isinstance(value, type) and issubclass(value, Message) and not value.model_fields["type"].is_required():
            yield value


CATALOGUE: dict[str, type[Message]] = {
    type_of(message): message for module in (members, courses, events, referrals) for message in _spoken_in(module)
}


def find(type_word: str) -> type[Message] | None:
    """Give the class of a message by its type, or None where this release does not know it."""
    return CATALOGUE.get(type_word)
