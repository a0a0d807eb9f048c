"""One reader's language: sentences with isolated values, plurals, days and times."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cache
from typing import Literal, TypeVar

from babel import Locale
from babel.dates import format_date

from shared.contract.zone import BERLIN
from shared.texts.catalogue import SOURCE, LackingTextError, known, lacking, languages, translations
from shared.texts.direction import isolated

Written = TypeVar("Written")
Direction = Literal["ltr", "rtl"]

GERMAN = "de"

# Plain "en" is American to CLDR: "November 23" and a twelve-hour clock puzzle readers in Germany.
_PLACES = {"en": "en_GB"}
_LATIN_DIGITS = str.maketrans("٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹", "01234567890123456789")


@dataclass(frozen=True)
class Texts:
    """The texts of one language; times are those of Europe/Berlin, with the weekday, 24 hours and Latin digits."""

    language: str
    unmixed: bool = False
    """If set, a text the language lacks raises LackingTextError; else it is said in English."""

    @property
    def direction(self) -> Direction:
        """Return the direction of writing."""
        return "rtl" if _locale(self.language).text_direction == "rtl" else "ltr"

    @property
    def name(self) -> str:
        """Return the language's own name, as its readers write it."""
        return _locale(self.language).language_name or self.language

    def say(self, msgid: str, /, **variables: object) -> str:
        """Return a sentence with each variable isolated; raises UnknownTextError for an unlisted msgid."""
        return _filled(self._translated(msgid), variables)

    def count(self, singular: str, plural: str, n: int, /, **variables: object) -> str:
        """Return the sentence in the form that `n` needs; `{n}` is filled as well."""
        sentence = translations(self.language).ungettext(self._there(singular), plural, n)
        return _filled(sentence, {**variables, "n": n})

    def when(self, moment: datetime) -> str:
        """Return weekday, date and time in Berlin of an aware moment, such as "Montag, 23. November 2026, 09:00"."""
        pattern = _locale(self.language).datetime_formats["medium"]
        return str(pattern).replace("{1}", self.day(in_berlin(moment))).replace("{0}", _clock(moment))

    def day(self, day: date | datetime) -> str:
        """Return weekday and date; an aware moment is taken to Berlin first."""
        local = in_berlin(day) if isinstance(day, datetime) else day
        return format_date(local, "full", locale=_locale(self.language)).translate(_LATIN_DIGITS)

    def times(self, start: datetime, end: datetime | None) -> str:
        """Return from when to when; the day is said once if both lie on it."""
        if end is None:
            return self.when(start)
        if in_berlin(start).date() == in_berlin(end).date():
            # "from .. to" in words: a dash between two times turns around where one writes from right to left.
            pattern = self._translated("{day}, from {start} to {end}")
            return pattern.format(day=self.day(start), start=_clock(start), end=_clock(end))
        return self._translated("from {start} to {end}").format(start=self.when(start), end=self.when(end))

    def _translated(self, msgid: str) -> str:
        return translations(self.language).ugettext(self._there(msgid))

    def _there(self, msgid: str) -> str:
        if self.unmixed and known(msgid) in lacking(self.language):
            raise LackingTextError(msgid)
        return known(msgid)


def texts_for(language: str) -> Texts:
    """Return the texts of a language tag such as "ar" or "de-simple"; English if there is no catalogue for it."""
    return Texts(_nearest(language) or SOURCE)


def in_reading_order(language: str) -> tuple[Texts, ...]:
    """Return the texts of a bilingual letter: the reader's language, then German; English and German if unknown."""
    first = texts_for(language)
    return (first,) if first.language == GERMAN else (first, texts_for(GERMAN))


def written_for(language: str, write: Callable[[Texts], Written]) -> tuple[Written, ...]:
    """Return what is written in the reader's language and in German.

    If the language lacks one of the texts, the whole is in English and German: never a silent mix.
    """
    try:
        return tuple(write(replace(texts, unmixed=True)) for texts in in_reading_order(language))
    except LackingTextError:
        return tuple(write(texts) for texts in in_reading_order(SOURCE))


def in_berlin(moment: datetime) -> datetime:
    """Return the moment on the clock of Berlin; raises ValueError for a moment without time zone."""
    if moment.tzinfo is None:
        raise ValueError(f"a moment needs a time zone: {moment!r}")
    return moment.astimezone(BERLIN)


def _nearest(language: str) -> str | None:
    tag = language.strip().lower().replace("_", "-")
    return next((known_tag for known_tag in (tag, tag.split("-")[0]) if known_tag in languages()), None)


@cache
def _locale(language: str) -> Locale:
    return Locale.parse(_PLACES.get(language, language))


def _filled(sentence: str, variables: dict[str, object]) -> str:
    return sentence.format(**{name: isolated(value) for name, value in variables.items()})


def _clock(moment: datetime) -> str:
    return in_berlin(moment).strftime("%H:%M")
