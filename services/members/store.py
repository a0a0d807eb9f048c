"""What members keeps: its own institutions, projects and keys, and copies of what the whole network told."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.members.domain.institution import Institution
from services.members.domain.key import ApiKey
from services.members.domain.project import Project
from shared.contract.members import InstitutionMessage, InstitutionPicture, ProjectMessage, ProjectPicture
from shared.kit import matching
from shared.kit.database import JSON, UtcTime, insert, upsert
from shared.kit.errors import NotFound

metadata = sa.MetaData()

institution = sa.Table(
    "institution",
    metadata,
    sa.Column("slug", sa.Text, primary_key=True),
    sa.Column("picture", JSON, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
)

project = sa.Table(
    "project",
    metadata,
    sa.Column("project_id", sa.Text, primary_key=True),
    sa.Column("institution", sa.Text, nullable=False),
    sa.Column("picture", JSON, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Index("project_institution", "institution", "project_id"),
)

api_key = sa.Table(
    "api_key",
    metadata,
    sa.Column("key_id", sa.Text, primary_key=True),
    sa.Column("institution", sa.Text, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False, unique=True),
    sa.Column("scopes", JSON, nullable=False),
    sa.Column("issued_at", UtcTime, nullable=False),
    sa.Column("revoked_at", UtcTime),
    sa.Column("version", sa.BigInteger, nullable=False),
)

network_institution = sa.Table(
    "network_institution",
    metadata,
    sa.Column("slug", sa.Text, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("fields_of_action", sa.Text, nullable=False),
    sa.Column("district", sa.Text),
    sa.Column("picture", JSON, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
)

network_project = sa.Table(
    "network_project",
    metadata,
    sa.Column("project_id", sa.Text, primary_key=True),
    sa.Column("institution", sa.Text, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("field_of_action", sa.Text, nullable=False),
    sa.Column("starts_on", sa.Date),
    sa.Column("picture", JSON, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Index("network_project_institution", "institution", "project_id"),
    sa.Index("network_project_starts", "starts_on"),
)

COPIES = (network_institution, network_project)


class Store:
    """Loads and keeps what members knows, within one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def institution(self, slug: str) -> Institution:
        """Give an institution as it was last committed; raises NotFound where the office does not keep it here."""
        return await self._institution(sa.select(institution).where(institution.c.slug == slug), slug)

    async def locked_institution(self, slug: str) -> Institution:
        """Lock an institution and give it; raises NotFound where the office does not keep it here."""
        query = sa.select(institution).where(institution.c.slug == slug).with_for_update()
        return matching.matched(await self._institution(query, slug))

    async def _institution(self, query: sa.Select[Any], slug: str) -> Institution:
        row = await self._first(query)
        if row is None:
            raise NotFound(f"no institution '{slug}' is kept here; the office's node keeps all of them")
        return Institution(InstitutionPicture.model_validate(row.picture), row.version)

    async def institutions(self) -> list[Institution]:
        """Give all institutions that are kept here, by slug."""
        rows = await self._connection.execute(sa.select(institution).order_by(institution.c.slug))
        return [Institution(InstitutionPicture.model_validate(row.picture), row.version) for row in rows]

    async def add_institution(self, new: Institution) -> bool:
        """Keep a new institution; False where its slug is taken, even by another copy at this moment."""
        statement = insert(self._connection, institution).values(
            slug=new.picture.slug, picture=new.picture.model_dump(mode="json"), version=new.version
        )
        added = await self._connection.execute(statement.on_conflict_do_nothing().returning(institution.c.slug))
        return added.first() is not None

    async def keep_institution(self, one: Institution) -> None:
        """Keep an institution as it is now."""
        row = {
            "slug": one.picture.slug,
            "picture": one.picture.model_dump(mode="json"),
            "version": one.version,
        }
        await upsert(self._connection, institution, [row])

    async def is_known(self, slug: str) -> bool:
        """Tell whether an institution is kept here or was heard of."""
        for table in (institution, network_institution):
            if await self._first(sa.select(table.c.slug).where(table.c.slug == slug)) is not None:
                return True
        return False

    async def project(self, project_id: str, owner: str) -> Project:
        """Give a project as it was last committed; raises NotFound, also where it is another's."""
        return await self._project(_project_of(project_id, owner), project_id, owner)

    async def locked_project(self, project_id: str, owner: str) -> Project:
        """Lock a project of an institution and give it; raises NotFound, also where it is another's."""
        return matching.matched(
            await self._project(_project_of(project_id, owner).with_for_update(), project_id, owner)
        )

    async def _project(self, query: sa.Select[Any], project_id: str, owner: str) -> Project:
        row = await self._first(query)
        if row is None:
            raise NotFound(f"'{owner}' has no project {project_id}")
        return Project(row.institution, ProjectPicture.model_validate(row.picture), row.version)

    async def has_project(self, project_id: str) -> bool:
        """Tell whether a project is managed here, whoever's it is."""
        return await self._first(sa.select(project.c.project_id).where(project.c.project_id == project_id)) is not None

    async def network_versions(self, project_id: str) -> dict[str, int]:
        """Give the version in which each institution told of a project: one entry, unless one uses another's id."""
        table = network_project
        query = sa.select(table.c.institution, table.c.version).where(table.c.project_id == project_id)
        return {row.institution: row.version for row in await self._connection.execute(query)}

    async def keep_project(self, one: Project) -> None:
        """Keep a project as it is now."""
        row = {
            "project_id": one.picture.project_id,
            "institution": one.institution,
            "picture": one.picture.model_dump(mode="json"),
            "version": one.version,
        }
        await upsert(self._connection, project, [row])

    async def key(self, key_id: str) -> ApiKey:
        """Lock a key and give what is kept of it; raises NotFound."""
        row = await self._first(sa.select(api_key).where(api_key.c.key_id == key_id).with_for_update())
        if row is None:
            raise NotFound(f"there is no key {key_id}")
        return _key(row)

    async def keys(self) -> list[ApiKey]:
        """Give what is kept of all keys, oldest first."""
        rows = await self._connection.execute(sa.select(api_key).order_by(api_key.c.key_id))
        return [_key(row) for row in rows]

    async def keep_key(self, one: ApiKey) -> None:
        """Keep a key as it is now."""
        row = {**asdict(one), "scopes": list(one.scopes)}
        await upsert(self._connection, api_key, [row])

    async def keep_network_institutions(self, messages: Sequence[InstitutionMessage]) -> None:
        """Keep copies of institutions, newer ones only."""
        rows = [
            {
                "slug": m.picture.slug,
                "state": m.picture.state.value,
                "fields_of_action": _joined([field.value for field in m.picture.fields_of_action]),
                "district": m.picture.district,
                "picture": m.picture.model_dump(mode="json"),
                "version": m.version,
            }
            for m in messages
        ]
        await upsert(self._connection, network_institution, rows)

    async def keep_network_projects(self, messages: Sequence[ProjectMessage]) -> None:
        """Keep copies of projects, newer ones only."""
        rows = [
            {
                "project_id": m.picture.project_id,
                "institution": m.institution,
                "state": m.picture.state.value,
                "field_of_action": m.picture.field_of_action.value,
                "starts_on": m.picture.starts_on,
                "picture": m.picture.model_dump(mode="json"),
                "version": m.version,
            }
            for m in messages
        ]
        await upsert(self._connection, network_project, rows)

    async def network_institution(self, slug: str) -> InstitutionPicture:
        """Give the copy of an institution; raises NotFound."""
        row = await self._first(sa.select(network_institution).where(network_institution.c.slug == slug))
        if row is None:
            raise NotFound(f"nobody told of an institution '{slug}'")
        return InstitutionPicture.model_validate(row.picture)

    async def network_institutions(
        self, *, field: str | None, district: str | None, state: str | None, after: str, limit: int
    ) -> list[InstitutionPicture]:
        """Give copies of institutions by slug, those behind `after`."""
        table = network_institution
        query = sa.select(table.c.picture).where(table.c.slug > after).order_by(table.c.slug).limit(limit)
        if field is not None:
            query = query.where(table.c.fields_of_action.contains(_joined([field]), autoescape=True))
        rows = await self._connection.execute(_filtered(query, table, {"state": state, "district": district}))
        return [InstitutionPicture.model_validate(row.picture) for row in rows]

    async def network_project(self, project_id: str) -> tuple[str, ProjectPicture]:
        """Give the copy of a project with its institution; raises NotFound."""
        table = network_project
        query = sa.select(table).where(table.c.project_id == project_id).order_by(table.c.institution)
        row = await self._first(query)
        if row is None:
            raise NotFound(f"nobody told of a project '{project_id}'")
        return row.institution, ProjectPicture.model_validate(row.picture)

    async def network_projects(
        self,
        *,
        field: str | None,
        owner: str | None,
        state: str | None,
        starts: tuple[date | None, date | None],
        after: tuple[str, str],
        limit: int,
    ) -> list[tuple[str, ProjectPicture]]:
        """Give copies of projects with their institutions, oldest first, behind (project, institution).

        `starts` are the earliest and the latest first day.
        """
        table = network_project
        position = sa.tuple_(table.c.project_id, table.c.institution)
        query = sa.select(table).where(position > sa.tuple_(*after))
        if starts[0] is not None:
            query = query.where(table.c.starts_on >= starts[0])
        if starts[1] is not None:
            query = query.where(table.c.starts_on <= starts[1])
        query = query.order_by(table.c.project_id, table.c.institution).limit(limit)
        wanted = {"field_of_action": field, "institution": owner, "state": state}
        rows = await self._connection.execute(_filtered(query, table, wanted))
        return [(row.institution, ProjectPicture.model_validate(row.picture)) for row in rows]

    async def _first(self, query: sa.Select[Any]) -> sa.Row[Any] | None:
        row: sa.Row[Any] | None = (await self._connection.execute(query)).first()
        return row


def _project_of(project_id: str, owner: str) -> sa.Select[Any]:
    return sa.select(project).where(project.c.project_id == project_id, project.c.institution == owner)


def _key(row: sa.Row[Any]) -> ApiKey:
    return ApiKey(
        row.key_id, row.institution, row.sha256, tuple(row.scopes), row.issued_at, row.revoked_at, row.version
    )


def _joined(words: Sequence[str]) -> str:
    """Write words so that one of them is found by `contains` on both databases."""
    return "".join(f"|{word}|" for word in words)


def _filtered(query: sa.Select[Any], table: sa.Table, wanted: Mapping[str, str | None]) -> sa.Select[Any]:
    return query.where(*(table.c[name] == value for name, value in wanted.items() if value is not None))
