"""What people read, in their languages: sentences, plurals, dates, and the direction of every part."""

from shared.texts.catalogue import LackingTextError, UnknownTextError, languages, missing, review_state
from shared.texts.direction import cleaned, isolated, markup, without_isolates
from shared.texts.texts import Texts, in_reading_order, texts_for, written_for

__all__ = [
    "LackingTextError",
    "Texts",
    "UnknownTextError",
    "cleaned",
    "in_reading_order",
    "isolated",
    "languages",
    "markup",
    "missing",
    "review_state",
    "texts_for",
    "without_isolates",
    "written_for",
]
