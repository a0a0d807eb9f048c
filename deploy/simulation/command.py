"""`album simulate`: worlds full of faults, each from a seed, and the figures of what they came to."""

import json
import sys
import time
from typing import Annotated

import typer

app = typer.Typer()

Seeds = Annotated[int, typer.Option("--seeds", min=1, help="How many worlds.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="The first one; with --seeds 1 the only one.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Control = Annotated[str | None, typer.Option("--control", help="Without this protection, until it goes wrong.")]
Trace = Annotated[bool, typer.Option("--trace", help="Show the whole trace of each world that goes wrong.")]
SHOWN = 40
# So many worlds pass every branch that protects; fewer may by chance leave out a rare one.
ENOUGH = 500


@app.command("simulate")
def simulate(
    seeds: Seeds = 100, seed: Seed = 0, as_json: AsJson = False, control: Control = None, trace: Trace = False
) -> None:
    """Run the real relay, readers, link and handlers among faults, heal, and judge; a seed always replays."""
    # What is simulated is imported when it is asked for: `album` itself must start quickly.
    from deploy.simulation.runs import run_all  # noqa: PLC0415
    from deploy.simulation.world import Outcome  # noqa: PLC0415

    def show(outcome: Outcome) -> None:
        if outcome.violations:
            _show(outcome.tail if trace else outcome.tail[-SHOWN:], outcome.violations, f"--seed {outcome.seed}")

    if control is not None:
        _control(control, range(seed, seed + seeds), as_json)
    begin = time.monotonic()
    report = run_all(range(seed, seed + seeds), show)
    found = {
        "seeds": report.seeds,
        "faults": dict(sorted(report.faults.items())),
        "marks": dict(sorted(report.marks.items())),
        "violations": report.violations,
        "missing_marks": report.missing_marks,
        "failed_seeds": sorted(outcome.seed for outcome in report.failed),
        "trace_hash": report.trace_hash,
        "seconds": round(time.monotonic() - begin, 1),
    }
    if as_json:
        typer.echo(json.dumps(found))
    else:
        typer.echo(_words(found))
    if report.violations or (report.seeds >= ENOUGH and report.missing_marks):
        sys.exit(1)


def _show(lines: list[str], violations: list[str], options: str) -> None:
    again = f"again with: album simulate --seeds 1 {options} --trace"
    typer.echo("\n".join([*lines, *violations[:20], again]), err=True)


def _words(found: dict[str, object]) -> str:
    return "\n".join(f"{name:13} {value}" for name, value in found.items())


def _control(name: str, seeds: range, as_json: bool) -> None:
    from deploy.simulation.controls import CONTROLS  # noqa: PLC0415 - as above
    from deploy.simulation.runs import run_control  # noqa: PLC0415

    if name not in CONTROLS:
        raise typer.BadParameter(f"the controls are {', '.join(CONTROLS)}")
    tried, wrong, protected = run_control(name, seeds)
    found = {
        "control": name,
        "seeds": tried,
        "found_at": None if wrong is None else wrong.seed,
        "violations": [] if wrong is None else wrong.violations[:20],
        "with_protection": protected,
    }
    if wrong is not None:
        _show(wrong.tail[-SHOWN:], [], f"--seed {wrong.seed} --control {name}")
    typer.echo(json.dumps(found) if as_json else _words(found))
    raise typer.Exit(1 if wrong else 0)
