"""Who may come to the hub: the members with the hashes of their passwords, who is invited, and the office."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.network.names import is_slug
from shared.network.roster import Roster, Status

OFFICE = "album.office"
"""The office's user; the dot keeps it apart from every institution's."""

_HASH = 32


@dataclass(frozen=True, slots=True)
class HubMember:
    """An institution's user; without a password it cannot come in."""

    slug: str
    status: Status
    password_sha256: bytes | None


@dataclass(frozen=True)
class Access:
    """All users of the hub; `invited` holds the SHA-256 of each open invitation's secret by slug."""

    members: tuple[HubMember, ...]
    office_sha256: bytes
    invited: Mapping[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse names and hashes that could say something else in the file of access rules."""
        for slug in (*(one.slug for one in self.members), *self.invited):
            if not is_slug(slug):
                raise ValueError(f"'{slug}' cannot be a user of the hub")
        hashes = [one.password_sha256 for one in self.members if one.password_sha256 is not None]
        if any(len(one) != _HASH for one in (*hashes, *self.invited.values(), self.office_sha256)):
            raise ValueError("a password is kept as its SHA-256")

    @property
    def coming_in(self) -> tuple[HubMember, ...]:
        """Give the institutions that may log in."""
        return tuple(one for one in self.members if one.status is Status.ACTIVE and one.password_sha256)

    @property
    def receiving(self) -> tuple[str, ...]:
        """Give the institutions to which boxes may be written: a suspended one reads them when it is back."""
        return tuple(one.slug for one in self.members if one.status is not Status.LEFT)


def access_of(
    roster: Roster, accounts: Mapping[str, bytes], invited: Mapping[str, bytes], office_sha256: bytes
) -> Access:
    """Put together who may come in, from the roster, the members' password hashes and the open invitations."""
    members = tuple(HubMember(one.slug, one.status, accounts.get(one.slug)) for one in roster.institutions)
    return Access(members, office_sha256, invited)
