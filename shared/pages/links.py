"""Signed links that need no account: one purpose each, and an end."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Literal, get_args

from itsdangerous import BadData, URLSafeSerializer

Purpose = Literal["accept", "decline", "cancel", "confirm", "again"]

PURPOSES: tuple[Purpose, ...] = get_args(Purpose)

# Part of every signature: a token signed for anything else with the same secret is no link.
_SALT = "album.pages.link.v1"
_SHORTEST_SECRET = 16


@dataclass(frozen=True)
class Link:
    """What a link says: the purpose, the subject's id, the reader's language, and the aware moment it ends."""

    purpose: Purpose
    subject: str
    language: str
    until: datetime


class LinkInvalid(Exception):  # noqa: N818 - named by what the link is, as the pages speak of it
    """The token was not signed here, or not for a link."""


class LinkExpired(Exception):  # noqa: N818 - named by what the link is, as the pages speak of it
    """The link was good and has ended; `link` tells the language to say it in."""

    def __init__(self, link: Link) -> None:
        super().__init__(f"the link to {link.purpose} has ended")
        self.link = link


class Links:
    """Writes and reads links; the secret has at least 16 characters, the base URL is where the pages are served."""

    def __init__(self, secret: str, base_url: str) -> None:
        if len(secret) < _SHORTEST_SECRET:
            raise ValueError(f"the secret of the links has fewer than {_SHORTEST_SECRET} characters")
        self._serializer = URLSafeSerializer(secret, salt=_SALT, signer_kwargs={"digest_method": _digest()})
        self._base_url = base_url.rstrip("/")

    def url(self, purpose: Purpose, subject: str, language: str, until: datetime) -> str:
        """Return the address of a page for one purpose; `until` is aware and kept to the second."""
        if purpose not in PURPOSES:
            raise ValueError(f"no such purpose: {purpose}")
        if until.tzinfo is None:
            raise ValueError("the end of a link needs a time zone")
        token = self._serializer.dumps([purpose, subject, language, int(until.timestamp())])
        return f"{self._base_url}/l/{token!s}"

    def read(self, token: str, now: datetime) -> Link:
        """Return what the token says; raises LinkInvalid, or LinkExpired from the moment `until` on."""
        try:
            link = _link(self._serializer.loads(token))
        except BadData as error:
            raise LinkInvalid("the signature is not ours") from error
        if now >= link.until:
            raise LinkExpired(link)
        return link


def _link(payload: object) -> Link:
    match payload:
        case [str(purpose), str(subject), str(language), int(until)] if purpose in PURPOSES:
            return Link(purpose, subject, language, datetime.fromtimestamp(until, UTC))
        case _:
            raise LinkInvalid("the content is not that of a link")


def _digest() -> Callable[..., object]:
    return sha256
