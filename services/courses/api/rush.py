"""A rush for seats: all who ask for a run while its lock is taken get their answers with the next commit."""

import asyncio
from collections.abc import Sequence
from contextvars import Context

from services.courses.handlers import asking
from services.courses.handlers.asking import Ask
from services.courses.store import Queued, Store
from shared.kit import matching
from shared.kit.applying import is_transient
from shared.kit.errors import Problem
from shared.kit.fairness import in_lane
from shared.kit.node import Node
from shared.kit.work import Works, joint

MOST = 50
Place = tuple[Ask, asyncio.Future[Queued]]


class Rush:
    """Serves those who ask at the same moment in one transaction, for each run; a single one is served at once."""

    def __init__(self, works: Works[Store]) -> None:
        self._works = works
        self._asking: dict[tuple[str, str], list[Place]] = {}
        self._serving: dict[tuple[str, str], asyncio.Task[None]] = {}

    @classmethod
    def of(cls, node: Node[Store]) -> "Rush":
        """Give the one of a running service."""
        if "rush" not in node.kept:
            node.kept["rush"] = cls(node.works)
        found: Rush = node.kept["rush"]
        return found

    async def ask(self, run_id: str, participant_id: str, institution: str) -> Queued:
        """Give a participant a seat or a turn in the queue, committed; raises Problem."""
        if joint.get() is not None or matching.is_wanted():
            # Such a request has a transaction of its own, in which its answer is kept or its ETag is compared.
            async with self._works() as work:
                return await asking.ask(run_id, participant_id, institution, work)
        run = (run_id, institution)
        place: Place = (Ask(participant_id), asyncio.get_running_loop().create_future())
        self._asking.setdefault(run, []).append(place)
        if run not in self._serving:
            # Nobody's request: whoever asked first may hang up while the others wait.
            self._serving[run] = asyncio.create_task(self._serve(run), context=Context())
        return await place[1]

    async def _serve(self, run: tuple[str, str]) -> None:
        try:
            with in_lane(run[1]):
                while places := [each for each in self._asking.pop(run, []) if not each[1].done()]:
                    self._asking.setdefault(run, []).extend(places[MOST:])
                    await self._serve_all(run, places[:MOST])
        finally:
            del self._serving[run]

    async def _serve_all(self, run: tuple[str, str], places: list[Place]) -> None:
        run_id, institution = run
        answers: Sequence[Queued | Exception]
        try:
            async with self._works() as work:
                answers = await asking.ask_all(run_id, institution, [ask for ask, _ in places], work)
        except Exception as error:
            if len(places) > 1 and not isinstance(error, Problem) and not is_transient(error):
                # One of them may be what fails: then each is served alone, and only that one hears of it.
                for each in places:
                    if not each[1].done():
                        await self._serve_all(run, [each])
                return
            answers = [error] * len(places)
        for (_, answer), said in zip(places, answers, strict=True):
            _give(answer, said)


def _give(answer: asyncio.Future[Queued], said: Queued | Exception) -> None:
    if answer.done():
        return
    if isinstance(said, Exception):
        answer.set_exception(said)
    else:
        answer.set_result(said)
