"""Kinds, levels and lengths out of German course titles."""

from datetime import UTC, datetime

import pytest

from services.courses.domain.catalogue import CatalogueSession
from services.courses.domain.guessing import guess_kind, guess_levels, units


@pytest.mark.parametrize(
    ("title", "area", "kind"),
    [
        ("Basisberufssprachkurs B1 > B2", None, "deufoev_basis"),
        ("DeuFöV B2 > C1", None, "deufoev_basis"),
        ("Deutsch B2/C1", "Berufssprachkurse (DeuFöV)", "deufoev_basis"),
        ("DeuFoeV Basismodul", None, "deufoev_basis"),
        ("DeuFo\u0308V B1 > B2", None, "deufoev_basis"),
        ("Spezialberufssprachkurs A2 > B1", None, "deufoev_special"),
        ("BSK A2 > B1", None, "deufoev_special"),
        ("Berufssprachkurs Fachsprache Medizin", None, "deufoev_special"),
        ("DeuFöV Anerkennung Heilberufe C1", None, "deufoev_special"),
        ("Job-BSK Pflege", None, "deufoev_job_bsk"),
        ("Job-Berufssprachkurs Lager", None, "deufoev_job_bsk"),
        ("Deutsch 360 Grad", None, "deutsch_360"),
        ("Deutsch-360° am Band", None, "deutsch_360"),
        ("DeuFöV", None, "other"),
        ("Berufssprachkurs Infoabend", None, "other"),
        ("Deutsch B1 > B2", "Sprachförderung Deutsch", "other"),
        ("Alphabetisierungskurs Spezial 2", "Integrationskurs Alphabetisierung", "other"),
        ("Alphabetisierungskurs Basis 1", "Integrationskurs allgemein", "other"),
        ("Jobsuche im Internet", None, "other"),
        ("Deutsch für den Beruf 3", "Sprachförderung Deutsch", "other"),
    ],
)
def test_the_kind_is_guessed_only_where_the_title_says_it(title: str, area: str | None, kind: str) -> None:
    """A vocational course names itself; in doubt it is another course."""
    assert guess_kind(title, area) == kind


@pytest.mark.parametrize(
    ("title", "levels"),
    [
        ("Deutsch B2 > C1", ("B2", "C1")),
        ("Deutsch B1>B2", ("B1", "B2")),
        ("von B1 bis B2", ("B1", "B2")),
        ("Deutsch A2/B1", ("A2", "B1")),
        ("Deutsch B1-B2", ("B1", "B2")),
        ("Deutsch B1+", ("B1", None)),
        ("Konversation ab B2", ("B2", None)),
        ("C1 Prüfungsvorbereitung", (None, "C1")),
        ("Allgemeiner Integrationskurs B.1.2", (None, "B1")),
        ("Allgemeiner Integrationskurs A1.2", (None, "A1")),
        ("Deutsch A1.1 - A1.2", (None, "A1")),
        ("Deutsch C1 > B1", (None, None)),
        ("Deutsch A1, A2 und B1", (None, None)),
        ("Führerschein Klasse B1", (None, None)),
        ("Vitamin B2 und B12", (None, None)),
        ("Treffen in Raum A1", (None, None)),
        ("Kurs B12, Gruppe XA1", (None, None)),
        ("Sprachcafé", (None, None)),
    ],
)
def test_levels_are_guessed_only_where_the_title_says_them(title: str, levels: tuple[str | None, str | None]) -> None:
    """From and to, one alone is where the course leads, and what is no level is left alone."""
    assert guess_levels(title) == levels


@pytest.mark.parametrize(("minutes", "expected"), [(0, 0), (22, 0), (23, 1), (45, 1), (225, 5), (240, 5)])
def test_the_length_is_counted_in_units_of_45_minutes(minutes: int, expected: int) -> None:
    """Minutes of all sessions, rounded to the nearest unit."""
    ends = datetime(2027, 4, 5, 7 + minutes // 60, minutes % 60, tzinfo=UTC)
    assert units([CatalogueSession(datetime(2027, 4, 5, 7, 0, tzinfo=UTC), ends)]) == expected
