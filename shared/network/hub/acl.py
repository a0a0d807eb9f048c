"""The hub's file of access rules, generated; it is loaded with ACL LOAD and never saved by the server.

Redis 7.0 and later, and Valkey. What is not named is refused. Never XREADGROUP: it needs only the right to read and
takes entries away from another's group. Selectors do not add up within one command, so whatever one command may
touch together stands in one of them.
"""

from shared.network.hub.access import OFFICE, Access, HubMember
from shared.network.names import ROSTER, box_stream, join_hash, join_user

_STREAM = "+xread +xrange +xrevrange +xlen +xinfo|stream"
_READ = f"{_STREAM} +hget +hscan +hlen"
# `+@connection` would bring CLIENT KILL; `client|setinfo` keeps a 7.0 from starting.
_CONNECTION = (
    "+auth +hello +ping +reset +quit +client|setname +client|id +client|getname +acl|whoami +command"
    " +multi +exec +discard +unwatch"
)
_NOTHING = "resetkeys resetchannels -@all"
# Nobody can be this user: it is off and has no password. But a Redis 7.0 that starts reads its own file as this user,
# and what it may not do of a MULTI ... EXEC written there is lost, with no more than a line in the log.
_DEFAULT = "user default off resetpass resetkeys ~album:1:* resetchannels -@all +@write +multi +exec +select"


def acl_file(access: Access) -> str:
    """Write the rules of all users, one a line; the user `default` is closed."""
    coming_in = access.coming_in
    lines = [_DEFAULT, _office(access)]
    lines += [_member(access, one) for one in coming_in]
    lines += [f"user {one.slug} off resetpass {_NOTHING}" for one in access.members if one not in coming_in]
    lines += [_invited(slug, secret) for slug, secret in sorted(access.invited.items())]
    return "\n".join(lines) + "\n"


def _member(access: Access, member: HubMember) -> str:
    slug = member.slug
    own = f"%RW~album:1:pub:{{{slug}}}:*"
    others = f"%R~album:1:pub:* %R~{ROSTER} %R~album:1:box:{{{slug}}}:*"
    boxes = " ".join(f"%RW~{box_stream(to, slug)}" for to in access.receiving if to != slug)
    selectors = [
        f"({own} {_READ} +xadd +xtrim +hset +hdel +watch)",
        f"({others} {_READ})",
        f"({boxes} {_STREAM} +xadd +xtrim +xdel +watch)" if boxes else "",
        f"(%RW~{join_hash(slug)} +hset +hget +hdel)",
    ]
    return _user(slug, member.password_sha256 or b"", _CONNECTION, *selectors)


def _invited(slug: str, secret_sha256: bytes) -> str:
    request = f"(%RW~{join_hash(slug)} +hset +hget)"
    return _user(join_user(slug), secret_sha256, _CONNECTION, request, f"(%R~{ROSTER} {_STREAM})")


def _office(access: Access) -> str:
    selectors = [
        f"(%RW~{ROSTER} {_STREAM} +xadd +watch)",
        "(%RW~album:1:net:join:* +hget +hscan +hlen +hdel)",
        "(%R~album:1:pub:* %R~album:1:box:* +xinfo|stream +xlen +hget +hscan +hlen)",
    ]
    return _user(OFFICE, access.office_sha256, f"{_CONNECTION} +acl|load +acl|dryrun +acl|getuser +info", *selectors)


def _user(name: str, password_sha256: bytes, commands: str, *selectors: str) -> str:
    parts = [f"user {name} on #{password_sha256.hex()} {_NOTHING} {commands}", *selectors]
    return " ".join(part for part in parts if part)
