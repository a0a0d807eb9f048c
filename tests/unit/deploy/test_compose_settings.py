"""What docker-compose hands on: every setting of every service, each explained to the operator."""

import re
from importlib.metadata import entry_points
from pathlib import Path

ROOT = Path(__file__).parents[3]
COMPOSE = (ROOT / "docker-compose.yml").read_text("utf-8")
EXAMPLE = (ROOT / "deploy" / "env.example").read_text("utf-8")

NOT_HANDED_ON = {
    "ALBUM_HOLDER",  # each container has a name of its own
    "ALBUM_WEBHOOK_PRIVATE",  # for tests and closed networks only
}
SET_THERE = {
    "ALBUM_DATABASE",  # put together from the passwords
    "ALBUM_REDIS",
    "ALBUM_SERVICES",  # the names of the containers
    "ALBUM_PORTS",
    "ALBUM_HOST",
    "ALBUM_PORT",
    "ALBUM_IDENTITIES",  # on a volume
}


def _settings() -> set[str]:
    services = [point.load() for point in entry_points(group="album.services")]
    return {f"ALBUM_{name.upper()}" for service in services for name in service.settings.model_fields}


def test_every_setting_reaches_the_containers() -> None:
    """A setting that compose does not hand on does nothing, and nobody is told."""
    handed_on = set(re.findall(r"^  (ALBUM_\w+):", COMPOSE, re.MULTILINE))
    assert len(_settings()) > 30
    assert _settings() - handed_on == NOT_HANDED_ON
    assert handed_on <= _settings()


def test_every_variable_is_explained_and_used() -> None:
    """What stands in env.example is used, and what compose asks for stands there, with words above it."""
    used = set(re.findall(r"\$\{(\w+)", COMPOSE))
    named = set(re.findall(r"^#?([A-Z][A-Z_]+)=", EXAMPLE, re.MULTILINE))
    assert used - named == set()
    assert named - used == {"COMPOSE_PROFILES"}
    assert SET_THERE - used == SET_THERE
    assert (_settings() - NOT_HANDED_ON - SET_THERE) - named == set()
