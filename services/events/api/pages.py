"""The small pages behind the links in mails about meetings."""

from typing import get_args

from services.events.domain.registration import LinkPurpose
from services.events.handlers import pages as handlers
from shared.pages.serving import SmallPages

router = SmallPages("events", get_args(LinkPurpose), handlers.look, handlers.act).router()
