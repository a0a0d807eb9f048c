"""What a scripted SMTP catcher may answer, and what it is asked."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Phase = Literal["connect", "helo", "mail", "rcpt", "data", "end"]
"""The moments of a delivery; "end" is the answer after the final dot."""


@dataclass(frozen=True)
class Moment:
    """One question to the script: the phase, which connection (from 1), and the envelope as far as it is known.

    In phase "rcpt" the last recipient is the one asked for; `content` is filled in phase "end" only.
    """

    phase: Phase
    connection: int
    sender: str = ""
    recipients: tuple[str, ...] = ()
    content: bytes = b""


@dataclass(frozen=True)
class Reply:
    """Answer with a code and a text; 421 also closes the connection, as RFC 5321 wants it.

    In phase "end", `taken` says whether the mail counts as arrived; by default it does with a code below 300.
    """

    code: int
    text: str = ""
    taken: bool | None = None

    def __str__(self) -> str:
        return f"{self.code} {self.text or ('OK' if self.code < 400 else 'no')}"


@dataclass(frozen=True)
class Drop:
    """Cut the connection without an answer; with `taken` in phase "end" the mail has arrived all the same."""

    taken: bool = False


@dataclass(frozen=True)
class Hang:
    """Never answer; with `taken` in phase "end" the mail has arrived all the same."""

    taken: bool = False


Answer = Reply | Drop | Hang
Script = Callable[[Moment], Answer | None]
"""Asked at each moment; None means the usual answer."""


def always_yes(moment: Moment) -> None:
    """The script of a catcher that takes every mail."""
    del moment


def taken(answer: Answer | None) -> bool:
    """Say whether a mail counts as arrived after this answer to its final dot."""
    if answer is None:
        return True
    if isinstance(answer, Reply) and answer.taken is None:
        return answer.code < 300
    return bool(answer.taken)
