"""A restored backup of members: a revoked key stays revoked, institutions and projects are what was told."""

from services.members.handlers import recovering
from shared.contract.envelope import Message
from shared.contract.members import InstitutionSuspended, KeyIssued, KeyRevoked, ProjectStarted
from shared.contract.samples import sample
from tests.integration.members.members_house import House


def _said(kind: type[Message], version: int) -> Message:
    return kind.model_validate({**sample(kind), "version": version})


async def test_what_was_told_counts_and_an_older_word_moves_nothing(house: House) -> None:
    """A key whose revocation the backup does not know opens nothing again."""
    newest = [_said(kind, 9) for kind in (InstitutionSuspended, ProjectStarted, KeyRevoked)]
    async with house.works() as work:
        await recovering.take_back([_said(KeyIssued, 1)], work)
        assert [key.revoked_at for key in await work.store.keys()] == [None], "the control: it was in use"
        await recovering.take_back(newest, work)
        await recovering.take_back([_said(KeyIssued, 1)], work)
    async with house.works.looking() as store:
        assert [key.revoked_at is None for key in await store.keys()] == [False]
        assert [one.version for one in await store.institutions()] == [9]
        assert await store.has_project(newest[1].key)
