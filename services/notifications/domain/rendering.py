"""Turns a letter into what is read and into the finished bytes that are sent."""

import re
from dataclasses import replace
from email import policy
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from hashlib import sha256

from services.notifications.domain.calendar import calendar, method_of, parameter
from services.notifications.domain.layout import as_html, as_text
from services.notifications.domain.letter import Letter, lacks
from services.notifications.domain.lint import Rendered, lint
from services.notifications.domain.wording import Block, block
from shared.texts import cleaned, isolated, written_for

__all__ = ["Rendered", "lint", "render"]

# 8-bit parts are re-encoded by relays on the way, and that breaks the DKIM signature.
_POLICY = policy.SMTP.clone(cte_type="7bit", refold_source="none")

_LONGEST_TITLE = 80
_LONGEST_NAME = 60
# Quoted parts and letters outside ASCII before the @ are legal and fail at too many servers.
_ADDRESS = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*"
)
_URL = re.compile(r"https?://[!-~]+")


def render(letter: Letter) -> Rendered:
    """Return the finished letter; raises ValueError with what is wrong if it may not leave."""
    _stop_if([*lacks(letter), *_bad_links(letter)])
    blocks = written_for(letter.language, lambda texts: block(texts, letter))
    subject = _subject(letter, blocks)
    read = Rendered(
        subject=subject,
        text=as_text(blocks),
        html=as_html(blocks, subject),
        calendar=calendar(letter),
        mime=b"",
        languages=tuple(each.texts.language for each in blocks),
    )
    finished = replace(read, mime=_mime(letter, read))
    _stop_if(lint(finished))
    return finished


def _stop_if(findings: list[str]) -> None:
    if findings:
        raise ValueError("; ".join(findings))


def _bad_links(letter: Letter) -> list[str]:
    return [f"the link to {purpose} is no URL" for purpose, url in letter.links.items() if not _URL.fullmatch(url)]


def _subject(letter: Letter, blocks: tuple[Block, ...]) -> str:
    said = " / ".join(each.headline for each in blocks)
    return f"{said}: {isolated(_shortened(cleaned(letter.occasion.title), _LONGEST_TITLE))}"


def _shortened(value: str, longest: int) -> str:
    return value if len(value) <= longest else f"{value[: longest - 1].rstrip()}…"


def _mime(letter: Letter, read: Rendered) -> bytes:
    message = EmailMessage(policy=_POLICY)
    _head(message, letter, read.subject)
    message.set_content(read.text, cte="base64")
    message.add_alternative(read.html, subtype="html", cte="base64")
    method = method_of(letter)
    if read.calendar is not None and method is not None:
        params = {"method": method, "charset": "utf-8"}
        message.add_alternative(read.calendar, maintype="text", subtype="calendar", cte="base64", params=params)
    # Only now: `set_content` throws away every header that begins with "Content-".
    message["Content-Language"] = ", ".join(read.languages)
    # Chosen by us, not by chance: the same letter is the same bytes, and "=_" occurs in no base64 body.
    message.set_boundary(f"=_{sha256(letter.delivery_id.encode(errors='replace')).hexdigest()[:32]}")
    return message.as_bytes()


def _head(message: EmailMessage, letter: Letter, subject: str) -> None:
    occasion = letter.occasion
    _say_mailbox(message, "From", letter.sender_name, letter.sender_address)
    _say_mailbox(message, "To", letter.name, letter.address)
    if occasion.reply_to:
        _say_mailbox(message, "Reply-To", occasion.institution_name, occasion.reply_to)
    message.set_raw("Subject", _encoded("Subject", subject))
    message["Date"] = letter.written_at
    message["Message-ID"] = message_id(letter.delivery_id, letter.sender_address)
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"


def _say_mailbox(message: EmailMessage, header: str, name: str, address: str) -> None:
    mailbox = _mailbox(name, address)
    if mailbox.display_name.isascii():
        message[header] = mailbox
    else:
        message.set_raw(header, f"{_encoded(header, mailbox.display_name)}\n <{mailbox.addr_spec}>")


def _encoded(header: str, words: str) -> str:
    # Python 3.11 loses or doubles spaces where it folds between plain and encoded words: all of it is encoded.
    return Header(words, "utf-8", header_name=header).encode()


def message_id(delivery_id: str, sender_address: str) -> str:
    """Return the Message-ID of a delivery: the same one at every attempt."""
    plain = re.fullmatch(r"[A-Za-z0-9._-]{1,64}", delivery_id)
    name = delivery_id if plain else sha256(delivery_id.encode(errors="replace")).hexdigest()[:40]
    return f"<{name}@{_mailbox('', sender_address).domain}>"


def _mailbox(name: str, address: str) -> Address:
    local, _, domain = address.rpartition("@")
    try:
        plain = f"{local}@{domain.encode('idna').decode('ascii')}"
    except UnicodeError as error:
        raise ValueError("the domain of a mail address cannot be written") from error
    if not _ADDRESS.fullmatch(plain):
        raise ValueError("this is no mail address that every server can reach")
    return Address(_shortened(parameter(name), _LONGEST_NAME), addr_spec=plain)
