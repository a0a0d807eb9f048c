"""The use cases of notifications: planning what people are told, mails, webhooks and what is pushed to them."""

from deploy.chaos.sends.asking import delete, patch, post
from deploy.chaos.sends.cases import Case, Elsewhere
from deploy.chaos.sends.cases_courses import run, seated

_SEATED = Elsewhere("courses", (*run(), *seated("ada")))
_CANCELLED = Elsewhere("courses", (post("runs/{run}/cancel", {"reason": "Die Lehrkraft ist krank"}),))
_READ = ("read", "queue_due")
_MAIL = (*_READ, "mail")
_HOOK = post("webhooks", {"url": "http://127.0.0.1:{push_port}/album"}, again=(409,), hook="webhook_id")
_HEAR = ("read",)

NOTIFICATIONS = {
    "plan_a_mail": Case("notifications", (), (_SEATED,), turns=_READ),
    "send_a_mail": Case("notifications", (), (_SEATED,), before_turns=_READ, turns=("mail",), judge="mails"),
    "send_a_mail_once_more": Case(
        "notifications",
        (),
        (_SEATED, _CANCELLED),
        before_turns=_READ,
        turns=("mail",),
        judge="mails",
    ),
    "make_a_webhook": Case("notifications", (_HOOK,), turns=_HEAR),
    "change_a_webhook": Case("notifications", (patch("webhooks/{hook}", {"state": "paused"}),), (_HOOK,), turns=_HEAR),
    "remove_a_webhook": Case("notifications", (delete("webhooks/{hook}"),), (_HOOK,), turns=_HEAR),
    "rotate_a_secret": Case(
        "notifications", (post("webhooks/{hook}/rotate", again=(409,)),), (_HOOK,), turns=_HEAR
    ),
    "hear_for_webhooks": Case("notifications", (), (_HOOK, _SEATED), turns=_HEAR),
    "push": Case(
        "notifications", (post("webhooks/{hook}/ping"),), (_HOOK, _SEATED), before_turns=_HEAR, turns=("push",),
        judge="pushes",
    ),
}  # fmt: skip
