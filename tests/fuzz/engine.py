"""Tries a service with schemathesis: every check, every phase, and says what was tried and what was found."""

from collections import Counter
from dataclasses import dataclass, field
from math import ceil
from typing import Any

import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import from_schema
from schemathesis.engine.events import EngineFinished, FatalError, NonFatalError, ScenarioFinished
from schemathesis.engine.statistic import Statistic
from schemathesis.openapi.checks import RejectedPositiveData
from schemathesis.python.asgi import shutdown_lifespans

from tests.fuzz.ground import OTHER, Ground
from tests.fuzz.seeds import HOUSE

SEED = 20261123
UNLOCKED = 0.8
"""How often a real id stands where one is asked for; else schemathesis makes one up."""

REFUSALS = ("2xx", "3xx", "401", "403", "404", "409", "412", "429")
"""How what fits may be answered: not with 5xx, which schemathesis lets pass here, but with 412 to a made-up ETag."""
ACROSS = {
    "company_not_asked_for": "only meetings of one kind ask for a company",
    "consent_missing": "a contact needs consent beside it",
    "cursor_unreadable": "a cursor is what an answer gave before",
    "end_without_start": "an end needs a start beside it",
    "ends_before_start": "two dates against each other",
    "entitlement_ends_before_it_starts": "two dates against each other",
    "idempotency_key_reused": "the key came with another body before",
    "limit_beyond_capacity": "two numbers against each other",
    "meeting_ends_before_it_starts": "two moments against each other",
    "no_catalogue": "what stands in a file",
    "not_taken": "notifications takes no message from outside",
    "quarter_elsewhere": "a quarter lies in one district",
    "run_ends_before_it_starts": "two dates against each other",
    "scope_not_theirs": "a scope of one institution only",
    "session_ends_before_it_starts": "two moments against each other",
    "too_far": "a day or a moment before 1900 or behind 2199, or a number that released schemas do not bound",
    "unknown_type": "nobody here knows a message of this type",
    "url_not_allowed": "the address is not of the public Internet",
    "wrong_key": "the subject names the thing in the data",
}
"""Rules between values or things, which JSON Schema cannot say: a 422 with such a code, and no other, is right."""


@dataclass
class Verdict:
    """How many cases each phase ran, and the faults that were found, in words."""

    cases: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Give how many cases ran."""
        return self.cases.total()


def try_out(ground: Ground, cases: int, *, thorough: bool = True, seed: int = SEED) -> Verdict:
    """Try a service with about so many cases or more; `thorough` also walks every bound of every schema."""
    verdict, statistic = Verdict(), Statistic()
    try:
        for config in (_with_real_ids(ground, cases, thorough, seed), _with_own_ids(ground, cases, seed)):
            _run(ground, config, verdict, statistic)
    finally:
        shutdown_lifespans()
    verdict.faults += _words(statistic)
    return verdict


def _run(ground: Ground, config: SchemathesisConfig, verdict: Verdict, statistic: Statistic) -> None:
    api = schemathesis.openapi.from_asgi("/openapi.json", ground.app, config=config)
    api.hook(filter_failure)
    for event in from_schema(api).execute():
        if isinstance(event, ScenarioFinished):
            verdict.cases[event.phase.value] += len(event.recorder.cases)
            statistic.on_scenario_finished(event.recorder)
        elif isinstance(event, NonFatalError):
            verdict.faults.append(f"{event.label}: {event.info.format()}")
        elif isinstance(event, FatalError):
            raise event.exception
        elif isinstance(event, EngineFinished):
            verdict.faults += [str(failure) for failure in event.failures]


def filter_failure(_: schemathesis.HookContext, failure: Any, __: Any, response: Any) -> bool:
    """Tell whether a failure is one; schemathesis knows this hook by its name."""
    if not isinstance(failure, RejectedPositiveData) or response.status_code != 422:
        return True
    return response.json()["code"] not in ACROSS


def _words(statistic: Statistic) -> list[str]:
    found = []
    for label, groups in statistic.failures.items():
        for group in groups.values():
            said = "; ".join(f"{failure.title}: {failure.message}" for failure in group.failures)
            answer = f"{group.response.status_code} {group.response.text[:300]}" if group.response else ""
            found.append(f"{label}\n  {said}\n  {group.code_sample}\n  {answer}")
    return found


def _with_real_ids(ground: Ground, cases: int, thorough: bool, seed: int) -> SchemathesisConfig:
    """Try each operation for itself, mostly with ids of real things."""
    phases = {"coverage": {"enabled": thorough}, "stateful": {"enabled": False}}
    return _config(ground, seed, ground.known, _share(ground, cases), phases)


def _with_own_ids(ground: Ground, cases: int, seed: int) -> SchemathesisConfig:
    """Try operations alone and one after the other, with the ids that the ones before have answered.

    Only so it is known whose a thing is: ids that are given would stand in the place of these.
    """
    known = {"institution": ground.known["institution"]}
    ways = ceil(cases / 6)  # of several requests each
    phases = {"coverage": {"enabled": False}, "stateful": {"generation": {"max-examples": ways}}}
    return _config(ground, seed, known, _share(ground, cases), phases)


def _share(ground: Ground, cases: int) -> int:
    operations = sum(len(each) for each in ground.app.openapi()["paths"].values())
    return max(2, ceil(cases * 0.3 / operations))


def _config(
    ground: Ground, seed: int, known: dict[str, list[str]], each: int, phases: dict[str, Any]
) -> SchemathesisConfig:
    document: dict[str, Any] = {
        "seed": seed,
        "suppress-health-check": ["all"],
        "dictionaries": {name: {"values": values} for name, values in known.items()},
        "parameters": {f"path.{name}": {"dictionary": name, "probability": UNLOCKED} for name in known},
        # All is asked as one institution; what it made and reads is then asked for as the other one.
        "auth": {"wfc": {"path": str(ground.identities), "user": HOUSE, "peers": [HOUSE, OTHER]}},
        "generation": {"deterministic": True, "database": "none", "max-examples": each},
        "checks": {"positive_data_acceptance": {"expected-statuses": list(REFUSALS)}},
        "phases": phases,
    }
    return SchemathesisConfig.from_dict(document)
