"""The office and a node that joins: invited, asking, admitted, with new keys, suspended, back, gone."""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from shared.kit.clock import Clock
from shared.kit.database import Database
from shared.kit.streams import START, Position
from shared.network import tables
from shared.network.names import pub_stream
from shared.network.office import joining
from shared.network.office.invitation import CodeRefused, Invitation
from shared.network.office.office import INVITED_FOR, Office, OfficeRefused
from shared.network.office.retiring import Retirement
from shared.network.office.store import Invited
from shared.network.refusal import Refused
from shared.network.roster import Roster, RosterKey, Status

COURSES = pub_stream("awo", "courses")


class Hub:
    """A hub in memory, as the office and as a joining node see it."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, bytes, bytes]] = []
        self.hashes: dict[str, dict[str, bytes]] = defaultdict(dict)
        self.ends: dict[str, Position] = {}
        self.accounts: dict[str, bytes] = {}
        self.away = False

    async def version(self) -> int:
        """Give the last roster's version."""
        return self.lines[-1][0] if self.lines else 0

    async def put_roster(self, version: int, document: bytes, signatures: bytes) -> None:
        """Append a roster."""
        if self.away:
            raise OSError("the hub is away")
        assert version > await self.version()
        self.lines.append((version, document, signatures))

    async def asked(self, slug: str) -> Mapping[str, bytes]:
        """Give what a node asks."""
        return dict(self.hashes[slug])

    async def answered(self, slug: str, field: str) -> None:
        """Take away what has been answered."""
        self.hashes[slug].pop(field, None)

    async def heads(self, streams: list[str]) -> list[Position]:
        """Give the ends of streams."""
        return [self.ends.get(stream, START) for stream in streams]

    async def load_accounts(self, roster: Roster, invited: Sequence[Invited], accounts: Mapping[str, bytes]) -> None:
        """Note who may come in."""
        active = {one.slug for one in roster.institutions if one.status is Status.ACTIVE}
        self.accounts = {slug: password for slug, password in accounts.items() if slug in active}
        self.accounts |= {f"join-{one.slug}": one.secret_sha256 for one in invited}

    async def ask(self, slug: str, field: str, document: bytes) -> None:
        """Write what a node asks."""
        self.hashes[slug][field] = document

    async def rosters(self, after_version: int) -> list[tuple[bytes, bytes]]:
        """Give rosters behind a version, three at once."""
        return [(document, said) for version, document, said in self.lines if version > after_version][:3]


@dataclass
class HandClock(Clock):
    """A clock that tests turn."""

    at: datetime = datetime(2027, 1, 4, 8, tzinfo=UTC)

    def now(self) -> datetime:
        """Give the moment."""
        return self.at

    async def sleep(self, seconds: float) -> None:
        """Turn the clock."""
        self.at += timedelta(seconds=seconds)


@dataclass
class Bureau:
    """The office, its hub, its clock."""

    office: Office
    hub: Hub
    clock: HandClock

    async def member(self, slug: str, folder: Path) -> joining.Joined:
        """Invite and admit an institution."""
        invitation = await self.office.invite(slug, "rediss://hub.example:6380")
        identity = joining.keys_for(invitation, folder)
        await joining.ask_to_join(invitation, identity, self.hub)
        await self.office.admit(slug)
        joined = await joining.look_for_admission(invitation, identity, self.hub)
        assert joined is not None
        return joined


@pytest.fixture
async def bureau(database_url: str) -> AsyncIterator[Bureau]:
    """Give an office on a fresh database, with a network that has begun."""
    database = Database(database_url)
    async with database.transaction() as connection:
        await connection.run_sync(tables.metadata.create_all)
    hub, clock = Hub(), HandClock()
    office = Office(database, hub, [Random(1).randbytes(32)], "office", clock)
    await office.begin()
    yield Bureau(office, hub, clock)
    await database.close()


async def test_two_commands_bring_an_institution_into_the_network(bureau: Bureau, tmp_path: Path) -> None:
    """The code works once; the keys never leave the node; the roster names what the node made."""
    invitation = Invitation.read((await bureau.office.invite("awo", "rediss://hub.example:6380", "PEM")).code)
    assert set(bureau.hub.accounts) == {"join-awo"}
    identity = joining.keys_for(invitation, tmp_path)
    await joining.ask_to_join(invitation, identity, bureau.hub)
    assert await joining.look_for_admission(invitation, identity, bureau.hub) is None
    assert [(one.slug, one.what) for one in await bureau.office.asking()] == [("awo", "join")]
    await bureau.office.admit("awo")
    joined = await joining.look_for_admission(invitation, identity, bureau.hub)
    assert joined is not None
    assert joined.held.version == await bureau.hub.version()
    assert bureau.hub.accounts == {"awo": identity.password_sha256}
    assert bureau.hub.hashes["awo"] == {}
    with pytest.raises(OfficeRefused, match="no open invitation"):
        await bureau.office.admit("awo")


async def test_an_interrupted_join_goes_on_with_the_same_keys(bureau: Bureau, tmp_path: Path) -> None:
    """Whoever runs the command again is admitted with what is on the disk."""
    invitation = await bureau.office.invite("awo", "rediss://hub.example:6380")
    first = joining.keys_for(invitation, tmp_path)
    await joining.ask_to_join(invitation, first, bureau.hub)
    await bureau.office.admit("awo")
    again = joining.keys_for(Invitation.read(invitation.code), tmp_path)
    assert await joining.look_for_admission(invitation, again, bureau.hub) is not None


async def test_keys_of_somebody_without_the_code_are_not_admitted(bureau: Bureau, tmp_path: Path) -> None:
    """A request that is not proven with the secret stays outside; the control is the same one with it."""
    invitation = await bureau.office.invite("awo", "rediss://hub.example:6380")
    thief = joining.keys_for(replace(invitation, slug="awo"), tmp_path / "thief")
    await joining.ask_to_join(replace(invitation, secret="guessed"), thief, bureau.hub)
    assert await bureau.office.asking() == []
    with pytest.raises(CodeRefused, match="does not prove"):
        await bureau.office.admit("awo")
    await joining.ask_to_join(invitation, thief, bureau.hub)
    assert [one.kid for one in await bureau.office.asking()] == [thief.kid]


async def test_an_invitation_ends(bureau: Bureau, tmp_path: Path) -> None:
    """After seven days neither the account nor the admission works."""
    invitation = await bureau.office.invite("awo", "rediss://hub.example:6380")
    await joining.ask_to_join(invitation, joining.keys_for(invitation, tmp_path), bureau.hub)
    bureau.clock.at += INVITED_FOR
    await bureau.office.publish()
    assert bureau.hub.accounts == {}
    with pytest.raises(OfficeRefused, match="has ended"):
        await bureau.office.admit("awo")


async def test_a_hub_of_another_office_is_not_believed(bureau: Bureau, tmp_path: Path) -> None:
    """The invitation names the roots; a roster signed by others is refused, however valid it is."""
    invitation = await bureau.office.invite("awo", "rediss://hub.example:6380")
    other = replace(invitation, roots="0" * 64)
    with pytest.raises(CodeRefused, match="not signed by the office"):
        await joining.look_for_admission(other, joining.keys_for(other, tmp_path), bureau.hub)


async def test_new_keys_speak_behind_what_was_said(bureau: Bureau, tmp_path: Path) -> None:
    """After a rotation old entries stay valid, new ones may use the new keys; a revoked key says nothing new."""
    joined = await bureau.member("awo", tmp_path)
    bureau.hub.ends[COURSES] = Position(1, 40)
    await joining.ask_for_new_keys(joined.identity, tmp_path, bureau.hub)
    await bureau.office.keep_fresh()
    new = joining.take_new_keys(tmp_path, "awo")
    roster = await bureau.office.roster()
    assert roster is not None
    assert _speaks(roster, joined.identity.kid, 40)
    assert _speaks(roster, new.kid, 41)
    assert not _speaks(roster, new.kid, 40)
    bureau.hub.ends[COURSES] = Position(1, 45)
    revoked = await bureau.office.revoke("awo", joined.identity.kid)
    assert _speaks(revoked, joined.identity.kid, 45)
    assert not _speaks(revoked, joined.identity.kid, 46)
    assert new.box_keys.keys() == {joined.identity.kid, new.kid}


def _speaks(roster: Roster, kid: str, seq: int) -> bool:
    return isinstance(roster.key_for("awo", kid, COURSES, Position(1, seq)), RosterKey)


async def test_a_key_that_its_owner_has_done_with_is_revoked_behind_all_that_was_signed(
    bureau: Bureau, tmp_path: Path
) -> None:
    """By what its owner says and by what the hub has, whichever is farther; a forged request changes nothing."""
    joined = await bureau.member("awo", tmp_path)
    new = await joining.ask_for_new_keys(joined.identity, tmp_path, bureau.hub, Random(2).randbytes)
    await bureau.office.keep_fresh()
    old, members = joined.identity.kid, pub_stream("awo", "members")
    forged = Retirement.of(joined.identity, old, {COURSES: Position(1, 1)})
    await bureau.hub.ask("awo", "retire", forged.document)
    await bureau.office.keep_fresh()
    assert _key(await bureau.office.roster(), old).revoked_from is None
    bureau.hub.ends[members] = Position(1, 9)
    asked = Retirement.of(new, old, {COURSES: Position(1, 4), members: Position(1, 3)})
    await bureau.hub.ask("awo", "retire", asked.document)
    await bureau.office.keep_fresh()
    await bureau.office.keep_fresh()
    roster = await bureau.office.roster()
    assert _key(roster, old).revoked_from == {COURSES: Position(1, 5), members: Position(1, 10)}
    assert _key(roster, new.kid).revoked_from is None
    assert await bureau.hub.asked("awo") == {}


def _key(roster: Roster | None, kid: str) -> RosterKey:
    member = roster.member("awo") if roster else None
    key = member.key(kid) if member else None
    assert key is not None
    return key


async def test_new_keys_that_the_old_did_not_sign_are_not_named(bureau: Bureau, tmp_path: Path) -> None:
    """Who can write to the hash but does not hold the old key changes nothing."""
    joined = await bureau.member("awo", tmp_path)
    stranger = joining.keys_for(await bureau.office.invite("kargah", "rediss://hub"), tmp_path)
    await joining.ask_for_new_keys(replace(stranger, slug="awo"), tmp_path / "x", bureau.hub)
    before = await bureau.office.roster()
    await bureau.office.keep_fresh()
    assert await bureau.office.roster() == before
    assert before is not None
    assert [key.kid for key in before.institutions[0].keys] == [joined.identity.kid]


async def test_suspension_cuts_at_the_head_and_reinstating_goes_on(bureau: Bureau, tmp_path: Path) -> None:
    """What came before stays; the account on the hub is closed meanwhile."""
    joined = await bureau.member("awo", tmp_path)
    bureau.hub.ends[COURSES] = Position(1, 7)
    suspended = await bureau.office.suspend("awo")
    assert suspended.cut_of("awo", COURSES) == Position(1, 8)
    assert "awo" not in bureau.hub.accounts
    back = await bureau.office.reinstate("awo")
    assert back.cut_of("awo", COURSES) is None
    assert bureau.hub.accounts == {"awo": joined.identity.password_sha256}
    gone = await bureau.office.leave("awo")
    member = gone.member("awo")
    assert member is not None
    assert member.status is Status.LEFT


async def test_a_decision_reaches_a_hub_that_was_away_or_wiped(bureau: Bureau, tmp_path: Path) -> None:
    """What is decided is kept; the hub gets every version it lacks, in order."""
    await bureau.member("awo", tmp_path)
    bureau.hub.away = True
    with pytest.raises(OSError, match="away"):
        await bureau.office.suspend("awo")
    bureau.hub.away = False
    roster = await bureau.office.roster()
    assert roster is not None
    assert roster.version > await bureau.hub.version()
    bureau.hub.lines.clear()
    await bureau.office.keep_fresh()
    assert [version for version, _, _ in bureau.hub.lines] == list(range(1, roster.version + 1))


async def test_the_roster_is_signed_anew_each_day_and_by_enough_roots(bureau: Bureau) -> None:
    """A roster lives two weeks; one key too few signs nothing."""
    before = await bureau.office.roster()
    await bureau.office.keep_fresh()
    assert await bureau.office.roster() == before
    bureau.clock.at += timedelta(days=1)
    await bureau.office.keep_fresh()
    after = await bureau.office.roster()
    assert before is not None
    assert after is not None
    assert after.expires - before.expires == timedelta(days=1)
    keyless = Office(bureau.office._database, bureau.hub, [], "office", bureau.clock)
    with pytest.raises(OfficeRefused, match="root keys must sign"):
        await keyless.suspend("awo") if after.member("awo") else await keyless._change(lambda now: now, "x")


@pytest.mark.parametrize("code", ["", "album1.", "album1.e30", "album2.abc", "album1.!!!!"])
def test_a_damaged_code_says_so(code: str) -> None:
    """Whoever pasted half of it reads what to do."""
    with pytest.raises(Refused, match="copied whole"):
        Invitation.read(code)
