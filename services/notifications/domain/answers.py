"""What a mail server answered at an attempt, or that it did not."""

import re
from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """How far an attempt came; `end` begins with the first octet of the mail and lasts until the answer to it."""

    connect = "connect"
    login = "login"
    mail = "mail"
    rcpt = "rcpt"
    data = "data"
    end = "end"


@dataclass(frozen=True)
class Answer:
    """The last thing a server said in an attempt; without `code` the line was lost or stayed silent."""

    phase: Phase
    code: int | None
    text: str

    @property
    def accepted(self) -> bool:
        """Tell whether the server took the mail."""
        return self.phase is Phase.end and self.code is not None and 200 <= self.code < 300

    @property
    def uncertain(self) -> bool:
        """Tell whether the mail may have arrived although nobody said so."""
        return self.phase is Phase.end and self.code is None

    @property
    def permanent(self) -> bool:
        """Tell whether the server will say the same again."""
        return self.code is not None and self.code >= 500

    @property
    def enhanced(self) -> str | None:
        """Give the enhanced status code (RFC 3463), such as "5.1.1"."""
        found = re.match(r"\s*([245]\.\d{1,3}\.\d{1,3})\b", self.text)
        return found[1] if found else None
