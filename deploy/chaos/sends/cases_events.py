"""The use cases of events: meetings, who asks to attend and confirms it, their places, pages of others' messages."""

from datetime import timedelta

from deploy.chaos.sends.asking import OTHER, Ask, at, delete, get, patch, post, press
from deploy.chaos.sends.cases import Case, Elsewhere


def meeting(capacity: int = 1, *, publish: bool = True, who: str = "vhs-nord") -> tuple[Ask, ...]:
    """Plan a meeting and publish it."""
    body = {"title": "Gartentreff", "starts": at(30, 17), "ends": at(30, 19), "capacity": capacity}
    planned = (post("meetings", body, who, meeting="meeting_id"),)
    return (*planned, post("meetings/{meeting}/publish", who=who)) if publish else planned


def _asked(name: str) -> Ask:
    body = {"name": name, "mail": f"{name}@example.org", "language": "tr"}
    return Ask("POST", "/meetings/{meeting}/registrations", body)


def asking(name: str, number: int) -> tuple[Ask, ...]:
    """Have somebody ask to attend; `number` tells how many did before, `<name>` is the registration."""
    found = get("meetings/{meeting}/registrations", **{name: f"items.{number}.registration_id"})
    return (_asked(name), found)


_AT_ONCE = {"offer_time": timedelta(0)}
# One seat, taken by ada; eva waits, and is offered it once ada withdraws.
_FULL = (*meeting(), *asking("ada", 0), press("confirm", "ada"), *asking("eva", 1), press("confirm", "eva"))
_OFFERED = (*_FULL, post("registrations/{ada}/withdraw"))


def _meeting(step: str, body: object = None, before: tuple[Ask, ...] = _FULL) -> Case:
    return Case("events", (post(f"meetings/{{meeting}}/{step}", body),), before)


def _place(step: str, who: str, before: tuple[Ask, ...]) -> Case:
    return Case("events", (post(f"registrations/{{{who}}}/{step}"),), before)


_LOOK_WHO = get("registrations/{ada}", person="participant_id")

EVENTS = {
    "add_series": Case("events", (post("series", {"title": "Forum", "kind": "diversity"}),)),
    "add_meeting": Case("events", meeting(publish=False)),
    "publish_meeting": _meeting("publish", None, meeting(publish=False)),
    "change_meeting": Case("events", (patch("meetings/{meeting}", {"title": "Gartenfest", "capacity": 2}),), _FULL),
    "postpone_meeting": _meeting("postpone", {"starts": at(40, 17), "reason": "Regen"}),
    "cancel_meeting": _meeting("cancel", {"reason": "Sturm"}),
    "ask_to_attend": Case("events", (_asked("ada"),), meeting()),
    "confirm_a_place": Case("events", (press("confirm", "ada"),), (*meeting(), *asking("ada", 0))),
    "confirm_a_turn": Case("events", (press("confirm", "ida"),), (*_FULL, *asking("ida", 2))),
    "withdraw_registration": _place("withdraw", "ada", _FULL),
    "accept_place": _place("accept", "eva", _OFFERED),
    "decline_place": _place("decline", "eva", _OFFERED),
    "cancel_by_link": Case("events", (press("cancel", "ada"),), _FULL),
    "expire_place": Case("events", (), _OFFERED, turns=("expire_offers", "relay"), settings=_AT_ONCE),
    "erase_registrant": Case("events", (delete("participants/{person}"),), (*_FULL, _LOOK_WHO)),
    "read_meetings": Case("events", (), (Elsewhere("events", meeting(who=OTHER), OTHER),), turns=("relay", "read")),
}
