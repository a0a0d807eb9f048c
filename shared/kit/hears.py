"""What a service hears: which messages go to which handler, one by one or the newest of each thing at once."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from shared.contract.envelope import Message, service_of, type_of
from shared.contract.streams import StreamName
from shared.contract.words import Audience
from shared.kit.work import Work

Each = Callable[[Any, Work[Any]], Awaitable[None]]
Newest = Callable[[list[Any], Work[Any]], Awaitable[None]]
E = TypeVar("E", bound=Each)
N = TypeVar("N", bound=Newest)


@dataclass(frozen=True)
class Route:
    """Where a message goes: `whole` handlers take a list with the newest message of each thing."""

    do: Callable[[Any, Work[Any]], Awaitable[None]]
    whole: bool


@dataclass
class Hears:
    """The table of contents of what a service hears."""

    routes: dict[str, Route] = field(default_factory=dict)
    speakers: set[tuple[Audience, str]] = field(default_factory=set)

    def each(self, *messages: type[Message]) -> Callable[[E], E]:
        """Give every message to the handler, in order."""

        def remember(do: E) -> E:
            self._add(messages, Route(do, whole=False))
            return do

        return remember

    def newest(self, *messages: type[Message]) -> Callable[[N], N]:
        """Give the newest message of each thing to the handler, as a list; for messages that hold the whole state."""

        def remember(do: N) -> N:
            self._add(messages, Route(do, whole=True))
            return do

        return remember

    def and_also(self, other: "Hears") -> "Hears":
        """Give a table with the routes of both; what both hear goes to this one's handler, then the other's."""
        routes = {**self.routes, **other.routes}
        # One route for each pair: neighbours in a batch belong together only where their route is the same object.
        pairs: dict[tuple[Route, Route], Route] = {}
        for word in self.routes.keys() & other.routes.keys():
            pair = (self.routes[word], other.routes[word])
            routes[word] = pairs.setdefault(pair, _in_turn(*pair))
        return Hears(routes, self.speakers | other.speakers)

    def streams(self, institutions: Iterable[str], office: str, hosts: Callable[[str], bool]) -> set[str]:
        """Name the streams to read: public ones of everybody, own ones of the institutions that the node hosts."""
        names = {str(StreamName(audience, office, service)) for audience, service in self.speakers}
        for institution in institutions:
            for audience, service in self.speakers:
                if audience is Audience.NETWORK or hosts(institution):
                    names.add(str(StreamName(audience, institution, service)))
        return names

    def _add(self, messages: tuple[type[Message], ...], route: Route) -> None:
        for message in messages:
            self.routes[type_of(message)] = route
            self.speakers.add((message.audience, service_of(message)))


def _in_turn(first: Route, second: Route) -> Route:
    if first.whole != second.whole:
        raise ValueError("two handlers of one message must both take it one by one, or both as the newest of many")

    async def do(messages: Any, work: Work[Any]) -> None:
        await first.do(messages, work)
        await second.do(messages, work)

    return Route(do, first.whole)
