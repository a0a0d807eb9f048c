"""Errors say what failed, and never with the values that failed."""

import io
import json
import sys
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
import structlog
from pydantic import BaseModel, ValidationError

from shared.kit import log as logs
from shared.kit.errors import words_of

ADDRESS = "amira@example.org"


class _Contact(BaseModel):
    mail: int


def _invalid() -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        _Contact.model_validate({"mail": ADDRESS})
    return caught.value


def test_a_validation_error_names_the_field_and_not_its_value() -> None:
    """The control: pydantic's own text quotes what was sent."""
    assert ADDRESS in str(_invalid())
    assert words_of(_invalid()) == "mail: int_parsing"


def test_a_database_error_names_its_kind_and_not_the_row() -> None:
    """PostgreSQL's details quote the row that failed."""
    cause = RuntimeError(f"Key (mail)=({ADDRESS}) already exists.")
    error = sa.exc.IntegrityError("INSERT", {"mail": ADDRESS}, cause)
    assert words_of(error) == "RuntimeError"


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Give what the log writes."""
    place = io.StringIO()
    monkeypatch.setattr(sys, "stderr", place)
    structlog.reset_defaults()
    logs.configure("sample")
    yield place
    structlog.reset_defaults()


def test_a_logged_crash_has_its_frames_and_causes_but_no_values(written: io.StringIO) -> None:
    """Whoever reads the log finds the place of the fault, and nobody's address."""
    quoting = RuntimeError(f"Key (mail)=({ADDRESS}) already exists.")
    try:
        try:
            raise _invalid()
        except ValidationError as error:
            raise sa.exc.IntegrityError("INSERT", {}, quoting) from error
    except sa.exc.IntegrityError as error:
        structlog.get_logger().error("request_fault", exc_info=error)
    line = json.loads(written.getvalue())
    assert line["service"] == "sample"
    assert "test_words_of_errors.py" in line["exception"]
    assert "because of" in line["exception"]
    assert ADDRESS not in written.getvalue()
