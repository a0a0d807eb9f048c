"""API keys: issued by an operator, shown once, known by their SHA-256 at every service, revoked everywhere."""

import json
from hashlib import sha256
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.members.app import service
from services.members.handlers import keys
from shared.contract.members import InstitutionActivated, InstitutionPicture, KeyIssued, KeyRevoked
from shared.contract.words import InstitutionState
from shared.kit import command, migrate
from shared.kit.directory import find_key
from shared.kit.errors import Conflict, Invalid, NotFound
from shared.kit.sentences import Unable
from tests.integration.members.members_house import House


async def test_a_key_is_told_by_its_hash_on_the_institutions_own_stream(house: House) -> None:
    """Whoever hears it can check a key and nobody can show it."""
    await house.apply("vhs-nord")
    async with house.works() as work:
        key, secret = await keys.issue("vhs-nord", ["write", "read"], "x" * 43, work)
    assert secret == f"album_{key.key_id}_{'x' * 43}"
    message = (await house.told())[-1]
    assert isinstance(message, KeyIssued)
    assert (message.institution, message.scopes) == ("vhs-nord", ("read", "write"))
    assert message.sha256 == sha256(secret.encode()).hexdigest()
    assert secret not in message.model_dump_json()


async def test_a_key_opens_what_it_is_for_until_it_is_revoked(house: House) -> None:
    """The directory that every service keeps knows the key once it was told, and forgets it when it is revoked."""
    await house.apply("vhs-nord")
    async with house.works() as work:
        key, secret = await keys.issue("vhs-nord", ["read"], "x" * 43, work)
    await house.hear()
    async with house.works.database.reading() as connection:
        found = await find_key(connection, secret)
    assert found is not None
    assert (found.institution, found.scopes, found.state) == ("vhs-nord", ("read",), "applied")
    async with house.works() as work:
        await keys.revoke(key.key_id, work)
    assert isinstance((await house.told())[-1], KeyRevoked)
    await house.hear()
    async with house.works.database.reading() as connection:
        assert await find_key(connection, secret) is None
    with pytest.raises(Conflict, match="revoked already"):
        async with house.works() as work:
            await keys.revoke(key.key_id, work)


async def test_what_nobody_may_have_is_not_issued(house: House) -> None:
    """Unknown institutions, ones hosted elsewhere, the office's scope for others, no scope at all."""
    await house.apply("vhs-nord")
    told = len(await house.told())
    with pytest.raises(NotFound, match="album institutions add nobody"):
        async with house.works() as work:
            await keys.issue("nobody", ["read"], "x", work)
    with pytest.raises(Invalid, match="for 'office' only"):
        async with house.works() as work:
            await keys.issue("vhs-nord", ["office"], "x", work)
    with pytest.raises(Invalid, match="needs a scope"):
        async with house.works() as work:
            await keys.issue("vhs-nord", [], "x", work)
    house.works.settings.hosted = "office"
    with pytest.raises(Conflict, match="does not host"):
        async with house.works() as work:
            await keys.issue("vhs-nord", ["read"], "x", work)
    assert len(await house.told()) == told


async def test_a_node_without_the_office_issues_keys_to_institutions_it_heard_of(house: House) -> None:
    """The office's node keeps the institution, this one hosts it: the copy is enough, and without it nothing is."""
    picture = InstitutionPicture(slug="fern", name="Fern", state=InstitutionState.ACTIVE)
    with pytest.raises(NotFound):
        async with house.works() as work:
            await keys.issue("fern", ["read"], "x", work)
    async with house.works() as work:
        work.tell(InstitutionActivated(institution="office", version=3, picture=picture))
    await house.hear()
    async with house.works() as work:
        key, _ = await keys.issue("fern", ["read"], "x", work)
    assert key.institution == "fern"


@pytest.fixture
def album(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """Give the command of an operator on a fresh database of members, in wide lines."""
    url = f"sqlite+aiosqlite:///{tmp_path}/members.db"
    monkeypatch.setenv("ALBUM_DATABASE", url)
    monkeypatch.setattr(command, "services", lambda: {"members": service})
    monkeypatch.setattr("services.members.commands.services", lambda: {"members": service})
    migrate.upgrade_now(service, url)
    return CliRunner(env={"COLUMNS": "200"})


def test_an_operator_adds_institutions_and_issues_lists_and_revokes_keys(album: CliRunner) -> None:
    """The key is printed once and is 43 random characters behind its id; the list never shows it."""
    app = service.commands
    added = album.invoke(
        app, ["institutions", "add", "kargah", "--name", "kargah e.V.", "--active", "--quarter", "Zoo"]
    )
    assert added.exit_code == 0, added.output
    listed = json.loads(album.invoke(app, ["institutions", "list", "--json"]).output)
    assert [(each["slug"], each["state"], each["district"]) for each in listed] == [("kargah", "active", "Mitte")]
    issuing = ["keys", "issue", "--institution", "kargah", "--scope", "write", "--scope", "read"]
    secret = album.invoke(app, issuing).output.strip()
    other = json.loads(album.invoke(app, [*issuing, "--json"]).output)
    key_id, random_part = secret.removeprefix("album_")[:30], secret.removeprefix("album_")[31:]
    assert len(random_part) == 43
    assert other["key"].startswith(f"album_{other['key_id']}_")
    assert other["scopes"] == ["read", "write"]
    shown = album.invoke(app, ["keys", "list", "--json"]).output
    assert [each["key_id"] for each in json.loads(shown)] == [key_id, other["key_id"]]
    assert random_part not in shown
    assert album.invoke(app, ["keys", "revoke", key_id]).exit_code == 0
    assert album.invoke(app, ["keys", "revoke", key_id]).exit_code == 1


def test_an_operator_reads_why_something_is_refused(album: CliRunner) -> None:
    """A sentence and the exit status 1, never a traceback."""
    refused = [
        ["keys", "issue", "--institution", "nobody", "--scope", "read"],
        ["keys", "revoke", "key_00000000"],
        ["institutions", "add", "kargah", "--name", "k", "--quarter", "Atlantis"],
        ["institutions", "add", "Großes Haus", "--name", "k"],
    ]
    for words in refused:
        result = album.invoke(service.commands, words)
        assert result.exit_code == 1, words
        assert "Traceback" not in result.output
        assert result.output.strip()
    assert album.invoke(service.commands, ["keys", "issue", "--institution", "x", "--scope", "all"]).exit_code == 2


@pytest.mark.parametrize("slug", ["default", "join-foo"])
def test_names_of_other_users_on_the_hub_are_refused(album: CliRunner, slug: str) -> None:
    """An institution of this name could never join the network."""
    result = album.invoke(service.commands, ["institutions", "add", slug, "--name", "x"])
    assert isinstance(result.exception, Unable)
    assert "other users" in str(result.exception)
    assert json.loads(album.invoke(service.commands, ["institutions", "list", "--json"]).output) == []
    assert album.invoke(service.commands, ["institutions", "add", "joined", "--name", "x"]).exit_code == 0


def test_the_office_has_its_key_before_the_service_ever_ran(album: CliRunner) -> None:
    """Its row is made as at the first start, and told once."""
    for scope in ("office", "write"):
        result = album.invoke(service.commands, ["keys", "issue", "--institution", "office", "--scope", scope])
        assert result.exit_code == 0, result.output
    listed = json.loads(album.invoke(service.commands, ["institutions", "list", "--json"]).output)
    assert [(each["slug"], each["state"]) for each in listed] == [("office", "active")]
