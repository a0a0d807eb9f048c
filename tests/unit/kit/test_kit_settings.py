"""What an operator sets: addresses with places to fill in, secrets as files, institutions that are hosted."""

import os
from pathlib import Path

import pytest

from shared.kit.settings import Settings, secrets_from_files


def test_a_database_address_names_the_service_and_gets_its_driver() -> None:
    """`{service}` is filled in, and the bare schemes mean the asynchronous drivers."""
    assert Settings(database="postgresql://u@h/album_{service}").database_of("courses") == (
        "postgresql+asyncpg://u@h/album_courses"
    )
    assert Settings(database="sqlite:///var/{service}.db").database_of("events") == "sqlite+aiosqlite:///var/events.db"


def test_a_password_may_hold_braces() -> None:
    """Only `{service}` is a place to fill in; other braces belong to the password."""
    url = Settings(database="postgresql://u:a{b}c@h/{service}").database_of("members")
    assert url == "postgresql+asyncpg://u:a{b}c@h/members"


def test_other_services_are_found_by_name_or_by_port() -> None:
    """Containers have names, a laptop has ports."""
    assert Settings(services="http://{service}:8000").internal_url("events") == "http://events:8000"
    assert Settings().internal_url("events") == "http://127.0.0.1:8103"
    assert Settings(public_url="https://album.example/{service}").link_url("courses") == "https://album.example/courses"
    assert Settings(port=9000).port_of("courses") == 9000


def test_a_secret_comes_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`ALBUM_SECRET_FILE` names a file; its content is the secret, without the line's end, and never shown."""
    place = tmp_path / "secret"
    place.write_text("from a file, long enough\n", "utf-8")
    monkeypatch.setattr(os, "environ", {"ALBUM_SECRET_FILE": str(place)})
    secrets_from_files()
    settings = Settings()
    assert settings.secret.get_secret_value() == "from a file, long enough"
    assert "file, long" not in repr(settings)


def test_what_is_set_itself_wins_over_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator who sets both means the value."""
    place = tmp_path / "secret"
    place.write_text("of the file", "utf-8")
    monkeypatch.setattr(os, "environ", {"ALBUM_SECRET_FILE": str(place), "ALBUM_SECRET": "of the variable"})
    secrets_from_files()
    assert Settings().secret.get_secret_value() == "of the variable"


def test_hosted_names_institutions_or_all() -> None:
    """A star hosts whoever is heard of; a list hosts exactly those."""
    assert Settings().hosts("awo")
    some = Settings(hosted="awo,amfn")
    assert (some.hosts("amfn"), some.hosts("am"), some.hosts("office")) == (True, False, False)
