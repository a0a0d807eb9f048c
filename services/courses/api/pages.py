"""The small pages behind the links in mails about runs."""

from typing import get_args

from services.courses.domain.enrolment import LinkPurpose
from services.courses.handlers import pages as handlers
from shared.pages.serving import SmallPages

router = SmallPages("courses", get_args(LinkPurpose), handlers.look, handlers.act).router()
