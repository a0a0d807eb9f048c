"""`album bench`: how fast the backbone is on this machine, beside floors that are measured in the same run."""

import json
from collections.abc import Callable, Coroutine
from enum import StrEnum
from typing import Annotated, Any

import typer

app = typer.Typer(no_args_is_help=True, help=__doc__)
bench = typer.Typer()
bench.add_typer(app, name="bench")


class Databases(StrEnum):
    """On what to measure."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"
    BOTH = "both"


Measure = Callable[[Any], Coroutine[Any, Any, dict[str, Any]]]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON array with an object for each database.")]
On = Annotated[Databases, typer.Option("--database", help="On what to measure.")]
Share = Annotated[
    float, typer.Option("--share", min=0.001, help="Which share of the usual load; small ones say nothing.")
]
Rounds = Annotated[int | None, typer.Option("--rounds", min=1, help="How often, floors and ours in turn.")]
Sessions = Annotated[int, typer.Option("--sessions", min=0, max=80, help="Dates that each run has at most.")]
Peers = Annotated[bool, typer.Option("--peers", help="Measure NATS JetStream beside the reader.")]

# What is measured is imported when it is asked for: `album` itself must start quickly, and needs no server.


@app.command()
def propagate(
    as_json: AsJson = False, database: On = Databases.BOTH, share: Share = 1.0, rounds: Rounds = None,
    sessions: Sessions = 5, peers: Peers = False,
) -> None:  # fmt: skip
    """Committed outbox rows here to committed rows at another institution."""
    from deploy.bench import propagate as measured  # noqa: PLC0415

    full = measured.Load()
    load = measured.Load(_of(full.messages, share), _of(full.naive, share), rounds or full.rounds, sessions, peers)
    _run("propagate", database, as_json, lambda ground: measured.measure(ground, load))


@app.command()
def latency(
    as_json: AsJson = False, database: On = Databases.BOTH, share: Share = 1.0, rounds: Rounds = None,
    sessions: Sessions = 5,
) -> None:  # fmt: skip
    """One change at a time, a hundred in a second: commit here to commit there."""
    from deploy.bench import latency as measured  # noqa: PLC0415

    full = measured.Load()
    load = measured.Load(_of(full.changes, share), full.rate, rounds or full.rounds, sessions)
    _run("latency", database, as_json, lambda ground: measured.measure(ground, load))


@app.command()
def join(
    as_json: AsJson = False, database: On = Databases.BOTH, share: Share = 1.0, rounds: Rounds = None,
    sessions: Sessions = 5,
) -> None:  # fmt: skip
    """A newcomer takes over 100,000 runs."""
    from deploy.bench import join as measured  # noqa: PLC0415

    full = measured.Load()
    load = measured.Load(_of(full.runs, share), rounds or full.rounds, sessions)
    _run("join", database, as_json, lambda ground: measured.measure(ground, load))


@app.command()
def seats(as_json: AsJson = False, database: On = Databases.BOTH, share: Share = 1.0, rounds: Rounds = None) -> None:
    """Two hundred people ask for twenty seats in four processes."""
    from deploy.bench import seats as measured  # noqa: PLC0415

    full = measured.Load()
    load = measured.Load(_of(full.people, share), _of(full.seats, share), full.processes, rounds or full.rounds)
    _run("seats", database, as_json, lambda ground: measured.measure(ground, load))


@app.command()
def growth(
    as_json: AsJson = False, database: On = Databases.BOTH, share: Share = 1.0, rounds: Rounds = None,
    sessions: Sessions = 5,
) -> None:  # fmt: skip
    """The time of a message by the number of institutions, and by the number of runs."""
    from deploy.bench import growth as measured  # noqa: PLC0415

    full = measured.Load()
    load = measured.Load(
        full.institutions if share > 0.05 else full.institutions[:2], tuple(_of(runs, share) for runs in full.runs),
        _of(full.messages, share), _of(full.changed, share), rounds or full.rounds, sessions,
    )  # fmt: skip
    _run("growth", database, as_json, lambda ground: measured.measure(ground, load))


def _of(number: int, share: float) -> int:
    return max(2, round(number * share))


def _run(name: str, database: Databases, as_json: bool, measure: Measure) -> None:
    from deploy.bench import ground, loop, report  # noqa: PLC0415

    kinds = ground.KINDS if database is Databases.BOTH else (database.value,)
    with ground.standing(kinds) as (grounds, origins):
        rows = [loop.run(measure(each)) for each in grounds]
    report.keep(name, rows, origins.values())
    if as_json:
        typer.echo(json.dumps(rows))
    else:
        report.show(name, rows, origins.values())
