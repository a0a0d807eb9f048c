import ast
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from string import Formatter

import pytest
from babel.messages.catalog import Message
from babel.messages.pofile import read_po
from hypothesis import given
from hypothesis import strategies as st

from shared.texts import (
    UnknownTextError,
    catalogue,
    cleaned,
    in_reading_order,
    isolated,
    languages,
    markup,
    missing,
    review_state,
    texts_for,
    written_for,
)

ROOT = Path(__file__).parents[3]
WHOLE = ["de", "en", "tr", "ar"]


@pytest.mark.parametrize("language", WHOLE)
def test_no_text_is_missing(language: str) -> None:
    """The four languages of the first release have every text."""
    assert missing(language) == []


def test_a_lacking_text_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A text left empty, one marked fuzzy and one not there at all are each listed, and English is shown for them."""
    source = (ROOT / "shared/texts/locales/tr/LC_MESSAGES/album.po").read_text(encoding="utf-8")
    broken = source.replace('msgstr "Merhaba,"', 'msgstr ""').replace(
        'msgid "Course"\nmsgstr "Kurs"', '#, fuzzy\nmsgid "Course"\nmsgstr "Kurs"'
    )
    broken = broken.replace('msgid "Where"\nmsgstr "Nerede"\n', "")
    with _locales(tmp_path, monkeypatch, {"tr": broken}):
        assert sorted(missing("tr")) == ["Course", "Hello,", "Where"]
        assert texts_for("tr").say("Hello,") == "Hello,"


def test_a_language_is_added_by_a_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ukrainian is there as soon as its .po file is, with its own three plurals and its own dates."""
    head = (
        'msgid ""\nmsgstr ""\n"Language: uk\\n"\n"Content-Type: text/plain; charset=utf-8\\n"\n'
        '"Plural-Forms: nplurals=3; plural=(n%10==1 && n%100!=11 ? 0 : '
        'n%10>=2 && n%10<=4 && (n%100<12 || n%100>14) ? 1 : 2);\\n"\n\n'
    )
    dates = (
        'msgid "and {n} more date"\nmsgid_plural "and {n} more dates"\n'
        'msgstr[0] "і ще {n} дата"\nmsgstr[1] "і ще {n} дати"\nmsgstr[2] "і ще {n} дат"\n'
    )
    with _locales(tmp_path, monkeypatch, {"uk": head + dates}):
        ukrainian = texts_for("uk")
        said = [_bare(ukrainian.count("and {n} more date", "and {n} more dates", n)) for n in (1, 3, 5, 21)]
        assert said == ["і ще 1 дата", "і ще 3 дати", "і ще 5 дат", "і ще 21 дата"]
        assert ukrainian.day(date(2026, 11, 23)) == "понеділок, 23 листопада 2026\u202fр."
        assert [texts.language for texts in in_reading_order("uk")] == ["uk", "de"]
        assert "Hello," in missing("uk")


def test_a_lacking_text_never_mixes_languages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What needs a text the language lacks is English and German as a whole; what does not stays in the language."""
    source = (ROOT / "shared/texts/locales/tr/LC_MESSAGES/album.po").read_text(encoding="utf-8")
    with _locales(tmp_path, monkeypatch, {"tr": source.replace('msgstr "Merhaba,"', 'msgstr ""')}):
        assert written_for("tr", lambda texts: (texts.say("Course"), texts.say("Hello,"))) == (
            ("Course", "Hello,"),
            ("Kurs", "Guten Tag,"),
        )
        assert written_for("tr", lambda texts: texts.say("Where")) == ("Nerede", "Wo")
        assert (texts_for("tr").say("Course"), texts_for("tr").say("Hello,")) == ("Kurs", "Hello,")


def test_an_unlisted_text_is_an_error() -> None:
    """A sentence that no catalogue lists is a mistake in the code and never goes out untranslated."""
    with pytest.raises(UnknownTextError):
        texts_for("ar").say("A sentence nobody has listed.")


@pytest.mark.parametrize("language", WHOLE)
def test_translations_keep_their_variables(language: str) -> None:
    """Each translation names the variables of its source; only a plural may leave its number to the word."""
    for message in _messages(language):
        wanted = _variables(_forms(message.id)[-1])
        for form in _forms(message.string):
            assert _variables(form) | ({"n"} if message.pluralizable else set()) == wanted, message.id
            assert not re.search("[\u2066-\u2069]", form)


def test_arabic_has_all_six_forms() -> None:
    """None, one, two, few, many and hundreds are said differently in Arabic."""
    arabic = texts_for("ar")
    said = [_bare(arabic.count("and {n} more date", "and {n} more dates", n)) for n in (0, 1, 2, 3, 11, 100)]
    assert said == [
        "ولا مواعيد أخرى",
        "وموعد واحد آخر",
        "وموعدان آخران",
        "و3 مواعيد أخرى",
        "و11 موعدًا آخر",
        "و100 موعد آخر",
    ]


@pytest.mark.parametrize(("n", "said"), [(1, "und 1 weiterer Termin"), (2, "und 2 weitere Termine")])
def test_german_counts(n: int, said: str) -> None:
    """One and many differ in German."""
    assert _bare(texts_for("de").count("and {n} more date", "and {n} more dates", n)) == said


def test_every_text_says_who_answers_for_it() -> None:
    """Each entry carries its state in the file itself; none is called reviewed by leaving the state out."""
    for language in languages():
        states = review_state(language)
        assert set(states.values()) <= {"machine", "reviewed"}
        source = (ROOT / f"shared/texts/locales/{language}/LC_MESSAGES/album.po").read_text(encoding="utf-8")
        assert len(re.findall(r"^# state: (?:machine|reviewed)$", source, re.MULTILINE)) == len(states)


def test_a_reviewed_text_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One word in the file moves a text from machine to reviewed."""
    source = (ROOT / "shared/texts/locales/de/LC_MESSAGES/album.po").read_text(encoding="utf-8")
    reviewed = source.replace("# state: machine", "# state: reviewed", 1)
    with _locales(tmp_path, monkeypatch, {"de": reviewed}):
        assert list(review_state("de").values()).count("reviewed") == 1


def test_no_listed_text_is_dead() -> None:
    """Every text of the source catalogue is said somewhere in the code."""
    said = {text for folder in ("shared", "services") for text in _literals(ROOT / folder)}
    assert [msgid for msgid in review_state("en") if msgid not in said] == []


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("de", "Montag, 23. November 2026, 09:00"),
        ("en", "Monday, 23 November 2026, 09:00"),
        ("tr", "23 Kasım 2026 Pazartesi 09:00"),
        ("ar", "الاثنين، 23 نوفمبر 2026، 09:00"),
    ],
)
def test_a_moment_in_each_language(language: str, said: str) -> None:
    """Weekday, Gregorian date and 24 hours are said in Latin digits everywhere."""
    assert texts_for(language).when(datetime(2026, 11, 23, 8, tzinfo=UTC)) == said


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        (datetime(2027, 3, 28, 0, 59, tzinfo=UTC), "01:59"),
        (datetime(2027, 3, 28, 1, 0, tzinfo=UTC), "03:00"),
        (datetime(2026, 10, 25, 0, 30, tzinfo=UTC), "02:30"),
        (datetime(2026, 10, 25, 1, 30, tzinfo=UTC), "02:30"),
        (datetime(2026, 10, 25, 2, 0, tzinfo=UTC), "03:00"),
    ],
)
def test_both_changes_of_the_clock(moment: datetime, said: str) -> None:
    """In spring an hour is left out, in autumn one is lived twice."""
    assert texts_for("de").when(moment).endswith(said)


def test_a_day_is_that_of_berlin() -> None:
    """Late evening in UTC is already the next day in Berlin."""
    assert texts_for("de").day(datetime(2026, 7, 1, 22, 30, tzinfo=UTC)) == "Donnerstag, 2. Juli 2026"


def test_a_moment_without_time_zone_is_refused() -> None:
    """A naive moment would be read as the server's time."""
    with pytest.raises(ValueError, match="time zone"):
        texts_for("de").when(datetime(2026, 11, 23, 8))  # noqa: DTZ001 - the naive moment is what is tested


def test_from_when_to_when() -> None:
    """The day is said once where both ends lie on it, and twice where they do not."""
    start, end = datetime(2026, 11, 23, 8, tzinfo=UTC), datetime(2026, 11, 23, 11, 15, tzinfo=UTC)
    assert texts_for("de").times(start, end) == "Montag, 23. November 2026, 09:00 bis 12:15 Uhr"
    assert texts_for("ar").times(start, end) == "الاثنين، 23 نوفمبر 2026، من 09:00 إلى 12:15"
    assert texts_for("de").times(start, None) == "Montag, 23. November 2026, 09:00"
    late = datetime(2026, 11, 23, 23, 30, tzinfo=UTC)
    assert texts_for("en").times(start, late) == (
        "from Monday, 23 November 2026, 09:00 to Tuesday, 24 November 2026, 00:30"
    )


@pytest.mark.parametrize(
    ("language", "order"),
    [
        ("ar", ["ar", "de"]),
        ("de", ["de"]),
        ("de-simple", ["de"]),
        ("EN_gb", ["en", "de"]),
        ("fa", ["en", "de"]),
        ("", ["en", "de"]),
        ("../../etc", ["en", "de"]),
    ],
)
def test_the_languages_of_a_reader(language: str, order: list[str]) -> None:
    """The reader's language comes first, German below; an unknown language becomes English and German."""
    assert [texts.language for texts in in_reading_order(language)] == order


def test_direction_and_own_name() -> None:
    """Arabic runs from right to left, and each language calls itself by its own name."""
    assert [(texts_for(each).direction, texts_for(each).name) for each in WHOLE] == [
        ("ltr", "Deutsch"),
        ("ltr", "English"),
        ("ltr", "Türkçe"),
        ("rtl", "العربية"),
    ]


def test_a_variable_is_isolated_and_cannot_leave() -> None:
    """Control of direction, line ends and lone surrogates in a value do not reach the sentence."""
    said = texts_for("de").say("Hello {name},", name="Eve\r\nBcc: x\u202e\u2069\u2068\ud800 \u0000{name}")
    assert said == "Guten Tag \u2068Eve Bcc: x {name}\u2069,"


def test_a_url_at_the_end_stays_whole() -> None:
    """A mail program takes everything up to the next space for the address, so a space stands before the isolate."""
    assert isolated("Raum: https://meet.example/a") == "\u2068Raum: https://meet.example/a \u2069"
    assert isolated("Raum 3") == "\u2068Raum 3\u2069"


def test_markup_escapes_and_isolates() -> None:
    """A value cannot bring elements of its own; the isolate becomes `<bdi>`."""
    assert markup(texts_for("en").say("Hello {name},", name="<b>&\"'")) == (
        "Hello <bdi>&lt;b&gt;&amp;&#34;&#39;</bdi>,"
    )


@given(st.text())
def test_markup_is_always_balanced(value: str) -> None:
    """Whatever a value holds, there is one opened and one closed isolate, and no element but `<bdi>`."""
    html = str(markup(isolated(value)))
    assert re.findall("<[^>]*>", html) == ["<bdi>", "</bdi>"]
    assert cleaned(cleaned(value)) == cleaned(value)
    cleaned(value).encode()


class _locales:  # noqa: N801 - read as a phrase: with _locales(...)
    """Sets a changed copy of the catalogues in place of the real ones, and empties what is remembered."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, str]) -> None:
        self._patch = monkeypatch
        self._folder = folder
        originals = {
            path.parent.parent.name: path.read_text(encoding="utf-8")
            for path in (ROOT / "shared/texts/locales").glob("*/LC_MESSAGES/album.po")
        }
        for language, text in {**originals, **changed}.items():
            target = folder / language / "LC_MESSAGES" / "album.po"
            target.parent.mkdir(parents=True)
            target.write_text(text, encoding="utf-8")

    def __enter__(self) -> None:
        self._patch.setattr(catalogue, "_LOCALES", self._folder)
        self._forget()

    def __exit__(self, *_: object) -> None:
        self._patch.undo()
        self._forget()

    def _forget(self) -> None:
        for remembered in (
            catalogue.languages,
            catalogue.catalogue,
            catalogue.translations,
            catalogue._source_texts,
            catalogue.lacking,
        ):
            remembered.cache_clear()


def _bare(text: str) -> str:
    return re.sub("[\u2068\u2069]", "", text)


def _messages(language: str) -> Iterator[Message]:
    path = ROOT / f"shared/texts/locales/{language}/LC_MESSAGES/album.po"
    with path.open("rb") as file:
        yield from (message for message in read_po(file, locale=language, abort_invalid=True) if message.id)


def _forms(text: object) -> list[str]:
    return [text] if isinstance(text, str) else list(text)  # type: ignore[call-overload]  # Babel: str or a sequence


def _variables(form: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(form) if name is not None}


def _literals(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
