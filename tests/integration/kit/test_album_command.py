"""The operator's command, on a migrated database of each kind and a real Redis."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from rich.console import Console
from typer.testing import CliRunner, Result

from shared.kit import command, migrate, parking, tables
from shared.kit.clock import SystemClock
from shared.kit.database import Database
from shared.kit.redis_streams import RedisStreams, connect
from shared.kit.sentences import Unable
from shared.kit.showing import show
from shared.kit.streams import START, Entry, Position
from tests.integration.kit.sample import OWN, PUB, SERVICE, heard, metadata

CONTACT = b'{"mail": "amira@example.org"}'
Run = Callable[..., Result]


def _on(url: str, do: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
    async def run() -> Any:
        database = Database(url)
        try:
            async with database.transaction() as connection:
                return await do(connection)
        finally:
            await database.close()

    return asyncio.run(run())


async def _fill(connection: Any) -> None:
    await connection.run_sync(metadata.create_all)
    await connection.execute(sa.insert(heard).values(key="awo", version=1))
    for stream, seq in ((PUB, 7), (OWN, 3)):
        await connection.execute(sa.insert(tables.cursor).values(stream=stream, epoch=1, seq=seq))
    for seq, stream, state in ((1, OWN, "parked"), (2, OWN, "behind"), (3, PUB, "parked")):
        payload = CONTACT if stream == OWN else b'{"name": "AWO"}'
        code = "ValueError" if state == "parked" else "behind_parked"
        await parking.park(
            connection, stream, Entry(Position(1, seq), payload, b""), key="key_00000001", type_word="x.y.z.v1",
            refusal=parking.Refusal(code, "no"), now=SystemClock().now(), state=state,
        )  # fmt: skip


@pytest.fixture
def album(database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Give the command, with the sample as the one installed service."""
    monkeypatch.setenv("ALBUM_DATABASE", database_url)
    monkeypatch.setenv("ALBUM_REDIS", redis_url)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(command, "services", lambda: {"sample": SERVICE})
    migrate.upgrade_now(SERVICE, database_url)
    _on(database_url, _fill)

    def run(*words: str) -> Result:
        return CliRunner().invoke(command.app, words)

    return run


def _states(url: str) -> list[str]:
    async def look(connection: Any) -> list[str]:
        found = await connection.execute(sa.select(tables.parked.c.state).order_by(tables.parked.c.seq))
        return list(found.scalars())

    states: list[str] = _on(url, look)
    return states


def test_parked_list_groups_by_cause(album: Run) -> None:
    """One line for each cause and stream, with how many things wait."""
    rows = json.loads(album("parked", "list", "--json").stdout)
    assert [(row["code"], row["stream"], row["messages"]) for row in rows] == [
        ("ValueError", OWN, 1),
        ("ValueError", PUB, 1),
        ("behind_parked", OWN, 1),
    ]
    assert "ValueError" in album("parked", "list").stdout


def test_parked_show_keeps_contacts_to_itself(album: Run) -> None:
    """Bodies of public streams are shown, those of own streams only by their size."""
    shown = album("parked", "show", "sample", "--json").stdout
    assert "amira" not in shown
    assert [row["body"] for row in json.loads(shown)] == [f"({len(CONTACT)} bytes, own stream)"] * 2 + [
        '{"name": "AWO"}'
    ]
    assert len(json.loads(album("parked", "show", "sample", "--code", "behind_parked", "--json").stdout)) == 1


def test_parked_retry_asks_for_what_is_first_of_its_thing(album: Run, database_url: str) -> None:
    """What waits behind is not asked for itself; it follows."""
    assert album("parked", "retry", "sample", "--code", "ValueError").stdout.startswith("2 to be tried again")
    assert _states(database_url) == ["retry", "behind", "retry"]


def test_parked_discard_wants_a_reason(album: Run, database_url: str) -> None:
    """Without one nothing happens; with one the next of the same thing is asked for."""
    assert album("parked", "discard", "sample", "1", "--why", " ").exit_code != 0
    assert _states(database_url) == ["parked", "behind", "parked"]
    assert album("parked", "discard", "sample", "1", "--why", "sent twice").exit_code == 0
    assert _states(database_url) == ["discarded", "retry", "parked"]
    assert album("parked", "discard", "sample", "1", "--why", "again").exit_code != 0


def test_streams_shows_heads_and_lags(album: Run, redis_url: str) -> None:
    """Where each stream ends, and how far its reader is behind."""

    async def publish() -> None:
        client = connect(redis_url)
        entries = [Entry(Position(1, seq), b"{}", b"x" * 32) for seq in range(1, 11)]
        await RedisStreams(client).append(PUB, START, entries, {})
        await client.aclose()

    asyncio.run(publish())
    rows = json.loads(album("streams", "--json").stdout)
    assert rows == [{"reader": "sample", "stream": PUB, "head": "1-10", "at": "1-7", "lag": 3}]


def test_rebuild_throws_copies_and_public_cursors_away(album: Run, database_url: str) -> None:
    """Own streams are not read again, and what is parked of public ones does not hold the newest state back."""
    assert "1 streams" in album("rebuild", "sample").stdout

    async def look(connection: Any) -> tuple[list[str], list[str], int]:
        cursors = (await connection.execute(sa.select(tables.cursor.c.stream))).scalars().all()
        waiting = (await connection.execute(sa.select(tables.parked.c.stream).distinct())).scalars().all()
        copies = (await connection.execute(sa.select(sa.func.count()).select_from(heard))).scalar()
        return list(cursors), list(waiting), copies or 0

    assert _on(database_url, look) == ([OWN], [OWN], 0)


def test_a_service_that_is_not_here_is_named(album: Run) -> None:
    """The sentence says which services there are."""
    answer = album("parked", "show", "courses")
    assert answer.exit_code == 2
    assert "sample" in answer.output


def _with_a_foreign_table(url: str) -> None:
    async def make() -> None:
        database = Database(url)
        async with database.transaction() as connection:
            await connection.execute(sa.text("CREATE TABLE something_else (id INTEGER)"))
        await database.close()

    asyncio.run(make())


@pytest.mark.parametrize("words", [("parked", "list"), ("streams",), ("parked", "show", "sample")], ids=" ".join)
def test_a_database_that_is_not_there_is_named_and_not_made(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong path would look like a node where nothing ever happened; only `album migrate` makes a database."""
    path = tmp_path / "elsewhere" / "x.db"
    monkeypatch.setenv("ALBUM_DATABASE", f"sqlite+aiosqlite:///{path}")
    monkeypatch.setattr(command, "services", lambda: {"sample": SERVICE})
    answer = CliRunner().invoke(command.app, words)
    assert isinstance(answer.exception, Unable)
    assert str(path) in str(answer.exception)
    assert not path.parent.exists()
    assert CliRunner().invoke(command.app, ["migrate"]).exit_code == 0
    assert CliRunner().invoke(command.app, words).exit_code == 0


@pytest.mark.parametrize("words", [("parked", "list"), ("streams",)], ids=" ".join)
def test_an_old_schema_is_told(words: tuple[str, ...], database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator is told to migrate first, on a database that holds something else."""
    _with_a_foreign_table(database_url)
    monkeypatch.setenv("ALBUM_DATABASE", database_url)
    monkeypatch.setattr(command, "services", lambda: {"sample": SERVICE})
    answer = CliRunner().invoke(command.app, words)
    assert isinstance(answer.exception, Unable)
    assert "album migrate" in str(answer.exception)


def _refused_at(url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("ALBUM_DATABASE", url)
    monkeypatch.setattr(command, "services", lambda: {"sample": SERVICE})
    answer = CliRunner().invoke(command.app, ["parked", "list"])
    assert isinstance(answer.exception, Unable)
    return str(answer.exception)


def test_what_cannot_be_opened_as_a_database_is_said(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that answers without such a database, and a file that is none."""
    assert "InvalidCatalogNameError" in _refused_at(f"{postgres_url}_nowhere", monkeypatch)
    (tmp_path / "x.db").write_text("this is no database" * 100)
    assert "SQLITE_NOTADB" in _refused_at(f"sqlite:///{tmp_path}/x.db", monkeypatch)


def test_what_is_parked_nowhere_is_refused_before_anything_is_done(album: Run, database_url: str) -> None:
    """A mistyped id or cause is named; nothing is asked for, and no reason either."""
    for words in (
        ("retry", "sample", "1", "999"),
        ("retry", "sample", "--code", "999"),
        ("discard", "sample", "999"),
    ):
        answer = album("parked", *words)
        assert isinstance(answer.exception, Unable)
        assert "999" in str(answer.exception)
        assert answer.output == ""
    assert _states(database_url) == ["parked", "behind", "parked"]


def test_a_pipe_gets_whole_names_and_a_narrow_terminal_folded_ones(album: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """No stream name is cut: in a pipe it stands in one line, in a terminal each field has lines of its own."""
    monkeypatch.setenv("COLUMNS", "40")
    assert OWN in album("parked", "list").stdout
    rows = [{"stream": OWN * 2, **dict.fromkeys("abcdef", "[/x]")}]
    for shown in (rows, [{"stream": OWN * 2}]):
        with (terminal := Console(force_terminal=True, width=40, color_system=None)).capture() as said:
            show(shown, "", console=terminal)
        lines = "".join(letter for letter in said.get() if letter not in "│┃ \n")
        assert OWN * 2 in lines.removeprefix("stream")
        assert all(len(line) <= 40 for line in said.get().splitlines())
        assert "…" not in said.get()
