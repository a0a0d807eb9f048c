"""What a service hears: which messages go to which handler; one by one, every one, or the newest of each thing."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contract.envelope import Message, service_of, type_of
from shared.contract.streams import StreamName, box
from shared.contract.words import Audience
from shared.kit.streams import Entry
from shared.kit.work import Work

Speaker = tuple[Audience, str]
Wanted = Callable[[AsyncConnection], Awaitable[bool]]
Each = Callable[[Any, Work[Any]], Awaitable[None]]
Newest = Callable[[list[Any], Work[Any]], Awaitable[None]]
E = TypeVar("E", bound=Each)
N = TypeVar("N", bound=Newest)


# Not frozen: one is made for every message, and that costs twice as much.
@dataclass(slots=True)
class Heard:
    """A message with the entry in which it came, for those who need its exact bytes and its place."""

    stream: str
    entry: Entry
    message: Message


Every = Callable[[Sequence[Heard], Work[Any]], Awaitable[None]]
V = TypeVar("V", bound=Every)


@dataclass(frozen=True)
class Route:
    """Where a message goes: `whole` handlers take a list with the newest message of each thing.

    With `every` the list has all messages in order, each as it was heard.
    """

    do: Callable[[Any, Work[Any]], Awaitable[None]]
    whole: bool
    every: bool = False

    async def give(self, heard: Sequence[Heard], work: Work[Any]) -> None:
        """Give messages to the handler in the form that it takes."""
        if self.every:
            await self.do(heard, work)
        elif self.whole:
            await self.do(list({one.message.key: one.message for one in heard}.values()), work)
        else:
            for one in heard:
                await self.do(one.message, work)


@dataclass
class Hears:
    """The table of contents of what a service hears."""

    routes: dict[str, Route] = field(default_factory=dict)
    speakers: set[Speaker] = field(default_factory=set)
    sometimes: dict[Speaker, Wanted] = field(default_factory=dict)

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

    def every(self, *messages: type[Message], while_: Wanted) -> Callable[[V], V]:
        """Give all messages to the handler as they were heard, many at once; streams are read once they are wanted.

        A stream that nobody wanted yet costs nothing: it has no reader until `while_` says yes for the first time.
        """

        def remember(do: V) -> V:
            speakers = set(self.speakers)
            self._add(messages, Route(do, whole=True, every=True))
            self.sometimes |= dict.fromkeys(self.speakers - speakers, while_)
            self.speakers = speakers
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
        return Hears(routes, self.speakers | other.speakers, self.sometimes | other.sometimes)

    async def wanted(self, connection: AsyncConnection) -> set[Speaker]:
        """Give the speakers to listen to at this moment."""
        return self.speakers | {speaker for speaker, ask in self.sometimes.items() if await ask(connection)}

    def streams(
        self,
        institutions: Iterable[str],
        office: str,
        hosts: Callable[[str], bool],
        speakers: Collection[Speaker] | None = None,
    ) -> set[str]:
        """Name the streams to read: public ones of everybody, own ones and boxes of the hosted institutions."""
        speakers = self.speakers if speakers is None else speakers
        institutions = list(institutions)
        open_ = [speaker for speaker in speakers if speaker[0] is not Audience.SEALED]
        names = {str(StreamName(audience, office, service)) for audience, service in open_}
        if len(open_) < len(speakers):
            hosted = [to for to in institutions if hosts(to)]
            names |= {str(box(to, sender)) for to in hosted for sender in institutions if sender != to}
        for institution in institutions:
            for audience, service in open_:
                if audience is Audience.NETWORK or hosts(institution):
                    names.add(str(StreamName(audience, institution, service)))
        return names

    def _add(self, messages: tuple[type[Message], ...], route: Route) -> None:
        for message in messages:
            self.routes[type_of(message)] = route
            self.speakers.add((message.audience, service_of(message)))


def _in_turn(first: Route, second: Route) -> Route:
    if first.every or second.every:

        async def in_turn(heard: Sequence[Heard], work: Work[Any]) -> None:
            await first.give(heard, work)
            await second.give(heard, work)

        return Route(in_turn, whole=True, every=True)
    if first.whole != second.whole:
        raise ValueError("two handlers of one message must both take it one by one, or both as the newest of many")

    async def do(messages: Any, work: Work[Any]) -> None:
        await first.do(messages, work)
        await second.do(messages, work)

    return Route(do, first.whole)
