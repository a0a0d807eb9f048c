"""The use cases of courses: runs, seats, people, entitlements, a catalogue, referrals, pages of others' messages."""

from dataclasses import replace
from datetime import timedelta

from deploy.chaos.sends.asking import HOUSE, OTHER, Ask, at, days, delete, get, patch, post, press
from deploy.chaos.sends.cases import Case, Elsewhere, Settle

_SKILLS = {name: {"level": "B1", "on": days(-7)} for name in ("listening", "reading", "speaking", "writing")}
_PERSON = {
    "language": "tr",
    "name": "Ada Beispiel",
    "contact_consent": True,
    "mail": "ada@example.org",
    "skills": _SKILLS,
}
_CATALOGUE = "\n".join(
    ["Kursnummer;Titel;Beginn;Ende;Plätze", *(f"27-{n};Deutsch {n};{days(30)};{days(90)};12" for n in range(3))]
).encode()


def run(capacity: int = 2, who: str = HOUSE, *, publish: bool = True, name: str = "run") -> tuple[Ask, ...]:
    """Plan a run and publish it."""
    offer = post("offers", {"title": "Berufssprachkurs B2", "kind": "deufoev_basis"}, who, offer="offer_id")
    sessions = [{"starts": at(30), "ends": at(30, 11)}]
    body = {"offer_id": "{offer}", "number": f"27-{name}", "capacity": capacity, "minimum": 1, "sessions": sessions}
    planned = (offer, replace(post("runs", body, who), keep={name: "run_id"}))
    return (*planned, post(f"runs/{{{name}}}/publish", who=who)) if publish else planned


def people(*names: str, who: str = HOUSE) -> tuple[Ask, ...]:
    """Begin a file for each."""
    return tuple(
        replace(post("participants", {**_PERSON, "name": name}, who), keep={name: "participant_id"}) for name in names
    )


def seated(*names: str) -> tuple[Ask, ...]:
    """Have people ask for seats in the run; `<name>_seat` is the enrolment."""
    asks = (
        replace(post("runs/{run}/enrolments", {"participant_id": f"{{{name}}}"}), keep={f"{name}_seat": "enrolment_id"})
        for name in names
    )
    return (*people(*names), *asks)


_AT_ONCE = {"offer_time": timedelta(0)}
# One seat, taken by ada; eva waits, and is offered it once ada withdraws.
_FULL = (*run(1), *seated("ada", "eva"))
_OFFERED = (*_FULL, post("enrolments/{ada_seat}/withdraw"))
_CONSENT = {
    "sender": HOUSE,
    "receiver": OTHER,
    "fields": ["name", "mail"],
    "purpose": "Platz im Berufssprachkurs",
    "given_on": days(0),
    "expires_on": days(60),
    "text": "Ich bin einverstanden.",
    "version": "1",
}
_BOTH = f"{HOUSE},{OTHER}"
_MEET = ("relay", "read")
_REFER = post(
    "referrals",
    {"participant_id": "{ada}", "to": OTHER, "run_id": "{run}", "consent": _CONSENT},
    referral="referral_id",
)
_REFERRABLE = (*run(1, OTHER), *people("ada"))
_SEAT_OF_OTHERS = get("runs/{run}/enrolments", OTHER, seat="items.0.enrolment_id")


def _life(step: str, *before: str) -> Case:
    done = tuple(post(f"runs/{{run}}/{one}") for one in before)
    return Case("courses", (post(f"runs/{{run}}/{step}"),), (*run(publish=False), *done))


def _seat(step: str, before: tuple[Ask, ...], seat: str = "ada_seat") -> Case:
    return Case("courses", (post(f"enrolments/{{{seat}}}/{step}"),), before)


def _referral(act: tuple[Ask, ...], *before: Ask) -> Case:
    return Case("courses", act, (*_REFERRABLE, Settle(), *before), before_turns=_MEET, turns=_MEET, hosted=_BOTH)


COURSES = {
    "add_offer": Case("courses", (post("offers", {"title": "Deutsch", "kind": "deufoev_basis"}),)),
    "add_run": Case("courses", run(publish=False)),
    "publish_run": _life("publish"),
    "confirm_run": _life("confirm", "publish"),
    "start_run": _life("start", "publish", "confirm"),
    "complete_run": _life("complete", "publish", "confirm", "start"),
    "change_run": Case("courses", (patch("runs/{run}", {"title": "Deutsch am Abend", "capacity": 3}),), _FULL),
    "cancel_run": Case("courses", (post("runs/{run}/cancel", {"reason": "Die Lehrkraft ist krank"}),), _FULL),
    "enrol": Case(
        "courses",
        (post("runs/{run}/enrolments", {"participant_id": "{ada}"}),),
        (*run(), *people("ada")),
    ),
    "wait": Case(
        "courses",
        (post("runs/{run}/enrolments", {"participant_id": "{ida}"}),),
        (*_FULL, *people("ida")),
    ),
    "withdraw": _seat("withdraw", _FULL),
    "accept_offer": _seat("accept", _OFFERED, "eva_seat"),
    "decline_offer": _seat("decline", _OFFERED, "eva_seat"),
    "accept_by_link": Case("courses", (press("accept", "eva_seat"),), _OFFERED),
    "decline_by_link": Case("courses", (press("decline", "eva_seat"),), _OFFERED),
    "expire_offer": Case("courses", (), _OFFERED, turns=("expire_offers", "relay"), settings=_AT_ONCE),
    "reject": _seat("reject", _FULL, "eva_seat"),
    "drop": _seat("drop", _FULL),
    "add_participant": Case("courses", people("ada")),
    "change_participant": Case("courses", (patch("participants/{ada}", {"mail": "neu@example.org"}),), people("ada")),
    "erase_participant": Case("courses", (delete("participants/{ada}"),), _FULL),
    "add_entitlement": Case(
        "courses",
        (
            post(
                "participants/{ada}/entitlements",
                {"issuing_office": "Jobcenter", "obliged": True, "valid_until": days(200)},
                entitlement="entitlement_id",
            ),
            post("entitlements/{entitlement}/revoke"),
        ),
        people("ada"),
    ),
    "import_catalogue": Case("courses", (Ask("POST", f"/institutions/{HOUSE}/imports?format=csv", file=_CATALOGUE),)),
    "refer": _referral((_REFER,)),
    "accept_referral": _referral((_SEAT_OF_OTHERS, post("enrolments/{seat}/accept", who=OTHER)), _REFER),
    "decline_referral": _referral((_SEAT_OF_OTHERS, post("enrolments/{seat}/decline", who=OTHER)), _REFER),
    "recall_referral": _referral((post("referrals/{referral}/recall"),), _REFER),
    "read_runs": Case(
        "courses", (), (Elsewhere("courses", (*run(who=OTHER), *run(who=OTHER, name="second")), OTHER),), turns=_MEET
    ),
}
