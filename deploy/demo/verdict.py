"""What the main job must have come to."""

from collections.abc import Mapping
from typing import Any

EXPECTED = {
    "seats_taken": 18,
    "oversold": 0,
    "waiting": 3,
    "offers_made": 4,
    "offers_expired": 1,
    "offers_declined": 1,
    "mails_sent": 40,
    "mails_doubled": 0,
    "parked": 0,
}
APART = ("missed_in_the_cut", "caught_up_seconds", "nodes_equal", "hub_entries", "hub_checks", "hub_faults")
ORDER = ("courses_imported", "runs_seen_elsewhere", *EXPECTED, "seconds")


def faults(figures: Mapping[str, Any]) -> list[str]:
    """Say what is not as expected; nothing said means that all is well."""
    found = [
        f"{name} is {figures[name]}, expected {wanted}" for name, wanted in EXPECTED.items() if figures[name] != wanted
    ]
    if not figures["courses_imported"]:
        found.append("no course was imported")
    if figures["runs_seen_elsewhere"] != figures["courses_imported"]:
        found.append("not every imported run is seen elsewhere")
    if "nodes_equal" in figures and not (figures["nodes_equal"] and figures["missed_in_the_cut"]):
        found.append("the cut line was not felt, or its node did not catch up")
    if figures.get("hub_faults"):
        found.append("the hub holds entries that do not verify")
    return found
