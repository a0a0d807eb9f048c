"""Kills every use case at all its calls: `python -m deploy.chaos.sends --database postgresql --json`."""

import argparse
import asyncio
import json
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deploy.chaos.sends.cases import Case
from deploy.chaos.sends.cases_courses import COURSES
from deploy.chaos.sends.cases_events import EVENTS
from deploy.chaos.sends.cases_members import MEMBERS
from deploy.chaos.sends.cases_notifications import NOTIFICATIONS
from deploy.chaos.sends.controls import CONTROLS
from deploy.chaos.sends.killing import AFTER, ANSWERED, CALLS, PLAIN, Lives, ended, forked
from deploy.chaos.sends.place import Place
from deploy.chaos.sends.preparing import Preparation
from deploy.chaos.sends.servers import Servers, servers
from deploy.chaos.sends.verdicts import VERDICTS, uncertain
from shared.kit import log as logs

CASES: dict[str, Case] = {**COURSES, **EVENTS, **MEMBERS, **NOTIFICATIONS}
MOST = 2000


def prepared(case: Case, folder: Path, around: Servers) -> Place:
    """Make what each life of a case begins with."""
    place = Place(case, folder, around)
    around.begin(folder)
    if ended(forked(lambda: asyncio.run(Preparation(place).run()))):
        raise SystemExit(f"{folder.name} could not be prepared")
    place.keep_first()
    return place


def every_call(name: str, place: Place, calls: str, numbers: Sequence[int]) -> dict[str, Any]:
    """Kill a case at each of its calls until it comes through; gives how often, and what was wrong after it."""
    lives, began, verdict = Lives(place), time.monotonic(), VERDICTS[place.case.judge]
    wanted = _unharmed(lives, place)
    died = answered = unknown = 0
    wrong = [{"at": 0, "found": words} for words in [verdict(_unharmed(lives, place), wanted)] if words]
    for number in numbers:
        if not lives.die_at(calls, number):
            break
        died, answered = died + 1, answered + lives.marks[ANSWERED]
        found = lives.after()
        unknown += uncertain(found)
        if words := verdict(found, wanted):
            wrong.append({"at": number, "found": words})
    return {
        "case": name,
        "calls": calls,
        "kills": died,
        "of_them_answered": answered,
        **({"mails_uncertain": unknown} if place.case.judge == "mails" else {}),
        "wrong": wrong,
        "seconds": round(time.monotonic() - began, 1),
    }


def _unharmed(lives: Lives, place: Place) -> dict[str, Any]:
    place.renew()
    return lives.after()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.chaos.sends", description=__doc__)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--most", type=int, default=MOST, help="kill no later than at this call")
    parser.add_argument("--first", type=int, default=1, help="kill at this call first")
    parser.add_argument("--step", type=int, default=1, help="kill at each n-th call only")
    parser.add_argument("--case", choices=sorted(CASES), action="append")
    parser.add_argument("--calls", choices=[*CALLS, *PLAIN], action="append", help="strace is asked for the first two")
    parser.add_argument("--control", choices=sorted(CONTROLS), help="an unsafe way: it has to be found wrong")
    parser.add_argument("--json", action="store_true", help="print one line of JSON at the end, and nothing before it")
    return parser.parse_args()


def _usual_calls(database: str) -> tuple[str, ...]:
    # What SQLite keeps it writes to a file; what PostgreSQL keeps is sent to it.
    return ("file", *PLAIN) if database == "sqlite" else ("sends", AFTER)


def main() -> int:
    """Kill every use case at all its calls; gives 0 if nothing was lost or doubled."""
    options = _options()
    logs.configure("sends", "CRITICAL")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started has to end, too
    if options.control:
        CONTROLS[options.control]()
    began, found, names = time.monotonic(), [], options.case or list(CASES)
    with tempfile.TemporaryDirectory() as folder, servers(Path(folder), options.database) as around:
        for name in names:
            place = prepared(CASES[name], Path(folder) / name, around)
            for calls in options.calls or _usual_calls(options.database):
                found.append(every_call(name, place, calls, range(options.first, options.most + 1, options.step)))
                if not options.json:
                    print(json.dumps(found[-1], ensure_ascii=False), flush=True)
    summary = _summary(options.database, names, found, time.monotonic() - began)
    print(json.dumps(summary, ensure_ascii=False))
    return int(bool(summary["wrong"]))


def _summary(database: str, names: list[str], found: list[dict[str, Any]], seconds: float) -> dict[str, Any]:
    kills = {name: sum(one["kills"] for one in found if one["case"] == name) for name in names}
    return {
        "database": database,
        "use_cases": len(names),
        "kills": sum(one["kills"] for one in found),
        "of_them_answered": sum(one["of_them_answered"] for one in found),
        "mails_uncertain": sum(one.get("mails_uncertain", 0) for one in found),
        "by_case": kills,
        "wrong": [one for one in found if one["wrong"]],
        "seconds": round(seconds, 1),
    }


if __name__ == "__main__":
    sys.exit(main())
