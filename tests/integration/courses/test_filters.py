"""What the network's runs are found by, on both databases; and that an upgrade fills in what they are found by."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from services.courses.app import service
from services.courses.store.tables import network_run
from shared.contract.courses import RunMessage, RunPublished
from shared.contract.samples import sample
from shared.kit import migrate
from shared.kit.database import Database
from tests.integration.courses.courses_house import OWNER, START, House

LANGUAGE, CULTURE = "Beratungs- und Deutschförderung", "Kulturelle Bildung"


def _told(number: int, **said: Any) -> RunPublished:
    plain = RunPublished.model_validate(sample(RunPublished))
    values: dict[str, Any] = {
        "run_id": f"run_{number:08d}",
        "kind": "other",
        "field_of_action": None,
        "place": {},
        "sessions": [],
    }
    values |= {"starts_on": None, "ends_on": None, "from_level": None, "to_level": None}
    values |= {"availability": {"free": 0, "waiting": "0", "as_of": START}}
    picture = plain.picture.model_validate(plain.picture.model_dump() | values | said)
    return plain.model_copy(update={"institution": OWNER, "version": 1, "picture": picture})


TOLD: list[RunMessage] = [
    _told(1, kind="deufoev_basis", starts_on="2027-03-01", from_level="B1", to_level="B2"),
    _told(2, field_of_action=CULTURE, starts_on="2027-04-01", place={"quarter": "Linden-Nord"}),
    _told(3, sessions=[{"starts": "2027-04-30T22:30:00Z", "ends": "2027-05-01T01:00:00Z"}], from_level="B2"),
    _told(4, place={"quarter": "Limmer"}, availability={"free": 3, "waiting": "0", "as_of": START}),
]


@pytest.fixture
async def full(house: House) -> House:
    """Give a house that heard of four runs."""
    async with house.works() as work:
        await work.store.keep_seen(TOLD, START)
    return house


FOUND = [
    ({}, [1, 2, 3, 4]),
    ({"field_of_action": LANGUAGE}, [1]),
    ({"field_of_action": CULTURE}, [2]),
    ({"level": "B2"}, [1, 3]),
    ({"kind": "deufoev_basis"}, [1]),
    ({"quarter": "Limmer"}, [4]),
    ({"district": "Linden-Limmer"}, [2, 4]),
    ({"district": "Mitte"}, []),
    ({"from": "2027-04-01"}, [2, 3]),
    ({"to": "2027-04-01"}, [1, 2]),
    ({"from": "2027-05-01", "to": "2027-05-01"}, [3]),
    ({"free": "true"}, [4]),
    ({"district": "Linden-Limmer", "from": "2027-01-01", "field_of_action": CULTURE}, [2]),
]


async def test_runs_are_found_by_what_people_ask_for(full: House) -> None:
    """Field of action, level, kind, place, first day in Hannover, and free seats; also together, and page by page."""
    for query, numbers in FOUND:
        found = []
        after = ""
        while True:
            page = (await full.api.get("/runs", params={**query, "limit": "1", "after": after})).json()
            found += [int(each["run"]["run_id"].removeprefix("run_")) for each in page["items"]]
            if page["next"] is None:
                break
            after = page["next"]
        assert found == numbers, query


async def test_a_field_of_action_is_said_of_a_run_or_follows_from_its_kind(house: House) -> None:
    """A course of another kind says its own; a language course need not."""
    language = await house.run()
    culture = await house.run(kind="other", field_of_action=CULTURE)
    assert (await house.get(f"runs/{language}"))["field_of_action"] == LANGUAGE
    assert (await house.get(f"runs/{culture}"))["field_of_action"] == CULTURE


async def test_an_upgrade_fills_in_what_runs_are_found_by(database_url: str, tmp_path: Path) -> None:
    """The copies of an earlier release are found too, without being told again."""
    for name in ("0001_courses.py", "0002_referrals.py"):
        shutil.copy(service.migrations / name, tmp_path)
    database = Database(database_url)
    await migrate.upgrade(replace(service, migrations=tmp_path), database)
    old = [each for each in network_run.c if each.name not in ("field_of_action", "starts_on")]
    table = sa.table("network_run", *(sa.column(each.name, each.type) for each in old))
    async with database.transaction() as connection:
        for each in TOLD:
            values = {
                "run_id": each.picture.run_id,
                "institution": OWNER,
                "version": 1,
                "kind": each.picture.kind.value,
            }
            values |= {"state": "published", "free": 0, "picture": each.picture.model_dump(mode="json")}
            await connection.execute(sa.insert(table).values(**values, seen_at=START))
    await migrate.upgrade(service, database)
    columns = (network_run.c.field_of_action, network_run.c.starts_on)
    async with database.reading() as connection:
        rows = (await connection.execute(sa.select(*columns).order_by(network_run.c.run_id))).all()
    await database.close()
    days = [str(row.starts_on) if row.starts_on else None for row in rows]
    assert days == ["2027-03-01", "2027-04-01", "2027-05-01", None]
    assert [row.field_of_action for row in rows] == [LANGUAGE, CULTURE, None, None]
