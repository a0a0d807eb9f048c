"""What people do at institutions: they plan runs, ask for seats, take them and give them back, as the seed says."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any, cast

import sqlalchemy as sa

from deploy.simulation.moments import BEGIN
from deploy.simulation.process import Process
from deploy.simulation.trace import Trace
from services.courses.domain.enrolment import Enrolment
from services.courses.domain.participant import Participant
from services.courses.domain.run import Offer, Run
from services.courses.handlers import asking, participants, runs, seats
from services.courses.store import Queued, Store, tables
from shared.contract.words import EnrolmentState, RunKind, Session
from shared.kit.errors import Problem, Transient
from shared.kit.work import Work

HURRIES, HURRY = 600, 0.05
Do = Callable[[Work[Store]], Awaitable[Any]]


class Desk:
    """The people of one institution, and what was promised to them: a promise holds once it was answered."""

    def __init__(self, institution: str, random: Random, trace: Trace) -> None:
        self.institution = institution
        self.promised: dict[str, int] = {}
        self._random = random
        self._trace = trace
        self._runs: list[str] = []
        self._capacities: dict[str, int] = {}
        self._participants: list[str] = []
        self._enrolments: list[str] = []
        self._numbers = 0

    async def act(self, process: Process) -> None:
        """Do one thing at a running copy of the service; it may be refused, and the process may die."""
        await self._tried(process, self._drawn()(process))

    def _drawn(self) -> Callable[[Process], Awaitable[None]]:
        if not self._runs:
            return self._plan
        choices = {
            self._plan: 1,
            self._ask: 9,
            self._accept: 5,
            self._decline: 2,
            self._leave: 4,
            self._ask_again: 2,
            self._change: 2,
            self._cancel: 0.5,
        }
        return self._random.choices(list(choices), list(choices.values()))[0]

    async def _done(self, process: Process, do: Do) -> Any:
        async with process.works() as work:
            result = await do(cast("Work[Store]", work))
        # The answer has gone out: from here on a crash may not undo it.
        if isinstance(result, Queued):
            self._promise(result.enrolment)
        return result

    def _promise(self, enrolment: Enrolment) -> None:
        self.promised[enrolment.id] = max(enrolment.version, self.promised.get(enrolment.id, 0))
        if enrolment.id not in self._enrolments:
            self._enrolments.append(enrolment.id)
        self._trace.mark(f"seat_{enrolment.state.value}")

    async def _tried(self, process: Process, doing: Awaitable[None]) -> None:
        try:
            await doing
        except Problem as problem:
            self._trace.note(f"{process.name} refuses {self.institution}: {problem.code}")

    async def _plan(self, process: Process) -> None:
        run = self.new_run(process)
        offer = Offer(run.offer_id, self.institution, run.title, run.kind)

        async def do(work: Work[Store]) -> None:
            await runs.add_offer(offer, work)
            await runs.add_run(run, work)
            await runs.publish(run.id, self.institution, work)

        await self._done(process, do)
        self._runs.append(run.id)

    def new_run(self, process: Process) -> Run:
        """Think of a run."""
        self._numbers += 1
        soon = self._random.random() < 0.3
        starts = BEGIN + timedelta(seconds=self._random.uniform(10, 60)) if soon else BEGIN + timedelta(days=30)
        return Run(
            id=process.works.ids.new("run"),
            institution=self.institution,
            offer_id=process.works.ids.new("offer"),
            number=f"{self._numbers}",
            title=f"Deutsch {self._numbers}",
            kind=RunKind.OTHER,
            capacity=self._random.randint(1, 3),
            minimum=self._random.randint(0, 2),
            sessions=(Session(starts=starts, ends=starts + timedelta(seconds=30)),),
        )

    async def _ask(self, process: Process) -> None:
        if len(self._participants) < 3 or self._random.random() < 0.4:
            await self._register(process)
        run, participant = self._random.choice(self._runs), self._random.choice(self._participants)
        await self._done(process, lambda work: asking.ask(run, participant, self.institution, work))

    async def _register(self, process: Process) -> None:
        blank = Participant(process.works.ids.new("participant"), self.institution, "de")
        name = {"name": f"Person {len(self._participants)}"}
        await self._done(process, lambda work: participants.add_participant(blank, name, work))
        self._participants.append(blank.id)

    async def _accept(self, process: Process) -> None:
        offered = await self._offered(process)
        if offered is not None:
            await self._done(process, lambda work: seats.accept(offered, self.institution, work))

    async def _decline(self, process: Process) -> None:
        offered = await self._offered(process)
        if offered is not None:
            await self._done(process, lambda work: seats.decline(offered, self.institution, work))

    async def _offered(self, process: Process) -> str | None:
        t = tables.enrolment
        query = sa.select(t.c.id).where(t.c.state == EnrolmentState.OFFERED.value, t.c.institution == self.institution)
        async with process.works.looking() as store:
            found = list((await store.connection.execute(query.order_by(t.c.id))).scalars())
        if not found:
            return None
        self._trace.mark("seat_offered")
        chosen: str = self._random.choice(found)
        return chosen

    async def _leave(self, process: Process) -> None:
        if self._enrolments:
            who = self._random.choice(self._enrolments)
            await self._done(process, lambda work: seats.leave(who, self.institution, "withdraw", work))

    async def _ask_again(self, process: Process) -> None:
        if self._enrolments:
            who = self._random.choice(self._enrolments)
            await self._done(process, lambda work: asking.ask_again(who, self.institution, work))

    async def _change(self, process: Process) -> None:
        values: dict[str, Any] = {"description": f"As of {process.clock.now().isoformat()}"}
        capacity = self._random.randint(4, 6) if self._random.random() < 0.4 else None
        run = self._random.choice(self._runs)
        if capacity is not None:
            # Never fewer than before: who has a seat keeps it, and more people than seats would be no fault.
            self._capacities[run] = max(capacity, self._capacities.get(run, 0))
            values = {"capacity": self._capacities[run]}
        await self._change_to(process, run, values)

    async def _change_to(self, process: Process, run: str, values: dict[str, Any]) -> None:
        await self._done(process, lambda work: runs.change_run(run, self.institution, values, work))

    async def _cancel(self, process: Process) -> None:
        run = self._random.choice(self._runs)
        await self._done(process, lambda work: runs.cancel(run, self.institution, "zu wenige", work))

    async def hurry(self, process: Process) -> None:
        """Change every run as soon as a service is back, however often it asks to come again."""
        for run in list(self._runs):
            await self._tried(process, self._insist(process, run))

    async def _insist(self, process: Process, run: str) -> None:
        for _ in range(HURRIES):
            try:
                await self._change_to(process, run, {"description": "at once"})
            except Transient:
                await process.clock.sleep(HURRY)
            else:
                self._trace.mark("restored_and_changed")
                return

    async def flood(self, process: Process, messages: int) -> None:
        """Change one run again and again."""
        if not self._runs:
            await self._plan(process)
        run = self._random.choice(self._runs)
        for number in range(messages):
            await self._tried(process, self._change_to(process, run, {"description": f"{number} of {messages}"}))

    async def stumble(self, process: Process, run: Run, title: str) -> None:
        """Publish a run under a title that some release cannot bear, and change it afterwards."""
        offer = Offer(run.offer_id, self.institution, run.title, run.kind)

        async def do(work: Work[Store]) -> None:
            await runs.add_offer(offer, work)
            await runs.add_run(replace(run, title=title), work)
            await runs.publish(run.id, self.institution, work)

        await self._done(process, do)
        await process.clock.sleep(self._random.uniform(0, 5))
        await self._tried(process, self._change_to(process, run.id, {"description": "behind"}))
