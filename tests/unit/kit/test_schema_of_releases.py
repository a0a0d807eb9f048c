"""Which databases a release works on: its own schema, and that of a later release, which only adds."""

import pytest

from shared.kit.schema import covers

WANTED = {"courses_0003", "kit_0003"}


@pytest.mark.parametrize("found", [WANTED, {"courses_0004", "kit_0003"}, WANTED | {"network_0001"}])
def test_a_release_starts_on_its_own_schema_and_on_a_later_one(found: set[str]) -> None:
    """A copy of the older release that is started anew behind the migration works on."""
    assert covers(found, WANTED)


@pytest.mark.parametrize("found", [set(), {"courses_0003"}, {"courses_0002", "kit_0003"}, {"courses_0003", "kit_0002"}])
def test_a_release_does_not_start_on_an_older_schema(found: set[str]) -> None:
    """The control: what a step of its own has not made yet is missing."""
    assert not covers(found, WANTED)
