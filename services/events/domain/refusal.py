"""What the rules of this service do not allow, said without knowing how it is told."""


class Refused(Exception):  # noqa: N818 - a refusal of a rule, told as an answer and not as a fault
    """A rule does not allow this; `code` is stable, `sentence` is for the person who asked."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


class Misfit(Refused):
    """What was sent cannot be kept in this form."""
