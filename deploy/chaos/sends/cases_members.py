"""The use cases of members: institutions, keys, profiles, projects; and the link up to the hub and down from it."""

from deploy.chaos.sends.asking import OFFICE, OTHER, Ask, days, patch, post
from deploy.chaos.sends.cases import Case, Elsewhere

_BODY = {"slug": "neue-welt", "name": "Neue Welt", "languages": ["de", "tr"]}
_APPLY = Ask("POST", "/institutions", _BODY, who=OFFICE)
_PROJECT = {"title": "Wir leben in Hannover", "field_of_action": "Dialog und Begegnung", "starts_on": days(10)}
_PLAN = post("projects", _PROJECT, project="project_id")


def _office(step: str, *before: str) -> Case:
    asks = tuple(Ask("POST", f"/institutions/neue-welt/{one}", who=OFFICE) for one in (*before, step))
    return Case("members", asks[-1:], (_APPLY, *asks[:-1]), hosted=OFFICE)


_KEY = Ask("POST", "/institutions/neue-welt/keys", {"scopes": ["read", "write"]}, who=OFFICE, again=(409,))
_ALIVE = (_APPLY, Ask("POST", "/institutions/neue-welt/admit", who=OFFICE))
_TOLD_THERE = Elsewhere(
    "members", (post("projects", _PROJECT, OTHER), post("projects", {**_PROJECT, "title": "Zwei"}, OTHER)), OTHER,
    turns=("relay", "up"),
)  # fmt: skip

MEMBERS = {
    "apply": Case("members", (_APPLY,), hosted=OFFICE),
    "admit": _office("admit"),
    "activate": _office("activate", "admit"),
    "suspend": _office("suspend", "admit", "activate"),
    "leave_network": _office("leave", "admit", "activate"),
    "issue_key": Case("members", (_KEY,), _ALIVE, hosted=f"{OFFICE},neue-welt"),
    "plan_project": Case("members", (_PLAN,)),
    "change_project": Case("members", (patch("projects/{project}", {"title": "Wir wohnen hier"}),), (_PLAN,)),
    "start_project": Case("members", (post("projects/{project}/start"),), (_PLAN,)),
    "read_projects": Case(
        "members", (), (Elsewhere("members", (post("projects", _PROJECT, OTHER),), OTHER),), turns=("relay", "read")
    ),
    "link_up": Case("members", (_PLAN,), before_turns=("relay", "up"), turns=("relay", "up"), hub=True),
    "link_down": Case("members", (), (_TOLD_THERE,), before_turns=("relay", "up"), turns=("down", "read"), hub=True),
}
