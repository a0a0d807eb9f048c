"""Why something from outside is not taken: a stable word for programs, a sentence for people."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """What is wrong with something that somebody else sent; the sentence never holds what the message says."""

    code: str
    reason: str


class Refused(ValueError):  # noqa: N818 - a refusal with a reason, told to who can act
    """Something from outside that cannot be taken; `code` is stable, the text is for the person who can act."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code

    @property
    def refusal(self) -> Refusal:
        """Give code and sentence as a value."""
        return Refusal(self.code, str(self))
