"""What each user of the hub may do with each key, as docs/protocol.md says it; written apart from the access rules.

The rules are generated from patterns; here a key is taken apart and judged. Where the two differ, one is wrong.
"""

import re
from collections.abc import Iterator

from shared.network.hub.access import OFFICE, Access
from shared.network.names import ROSTER, box_stream, join_hash, join_user, pub_stream
from shared.network.roster import Status

KEY = "<key>"
STREAM = frozenset({"XREAD", "XRANGE", "XREVRANGE", "XLEN", "XINFO STREAM"})
HASH = frozenset({"HGET", "HSCAN", "HLEN"})
NONE: frozenset[str] = frozenset()
CONNECTION = frozenset(
    {"AUTH", "HELLO", "PING", "RESET", "QUIT", "MULTI", "EXEC", "DISCARD", "UNWATCH", "COMMAND", "ACL WHOAMI"}
    | {"CLIENT SETNAME", "CLIENT ID", "CLIENT GETNAME"}
)
BEFORE_LOGIN = frozenset({"AUTH", "HELLO", "QUIT", "RESET"})
"""What a server lets everybody call, also who is closed out."""

GRANTED = STREAM | HASH | {"XADD", "XADD with MAXLEN 0", "XTRIM", "XDEL", "HSET", "HDEL", "WATCH"}
"""What some user may call on some key; everything else is refused to all."""

_OF_OFFICE = frozenset({"ACL LOAD", "ACL DRYRUN", "ACL GETUSER", "INFO"})
_PLACE = re.compile(r"album:1:(pub|box|net:join):\{([a-z0-9-]{2,40})\}(?::(.*))?")

# Each command as it is called, `<key>` where its key stands; the words before the first other one are its name.
ON_A_KEY: dict[str, tuple[str, ...]] = {
    "XADD": ("XADD", KEY, "5-1", "p", "x"),
    "XREAD": ("XREAD", "COUNT", "1", "STREAMS", KEY, "0"),
    "XRANGE": ("XRANGE", KEY, "-", "+"),
    "XREVRANGE": ("XREVRANGE", KEY, "+", "-"),
    "XLEN": ("XLEN", KEY),
    "XINFO STREAM": ("XINFO", "STREAM", KEY),
    "XTRIM": ("XTRIM", KEY, "MINID", "1-1"),
    "XDEL": ("XDEL", KEY, "1-1"),
    "HGET": ("HGET", KEY, "p"),
    "HSCAN": ("HSCAN", KEY, "0"),
    "HLEN": ("HLEN", KEY),
    "HSET": ("HSET", KEY, "p", "x"),
    "HDEL": ("HDEL", KEY, "p"),
    "WATCH": ("WATCH", KEY),
    "XADD with MAXLEN 0": ("XADD", KEY, "MAXLEN", "0", "5-1", "p", "x"),
    "XREADGROUP": ("XREADGROUP", "GROUP", "g", "c", "STREAMS", KEY, ">"),
    "XGROUP CREATE": ("XGROUP", "CREATE", KEY, "g", "0"),
    "XGROUP SETID": ("XGROUP", "SETID", KEY, "g", "0"),
    "XACK": ("XACK", KEY, "g", "1-1"),
    "XCLAIM": ("XCLAIM", KEY, "g", "c", "0", "1-1"),
    "XAUTOCLAIM": ("XAUTOCLAIM", KEY, "g", "c", "0", "0"),
    "XPENDING": ("XPENDING", KEY, "g"),
    "XSETID": ("XSETID", KEY, "9-9"),
    "XINFO GROUPS": ("XINFO", "GROUPS", KEY),
    "DEL": ("DEL", KEY),
    "UNLINK": ("UNLINK", KEY),
    "EXPIRE": ("EXPIRE", KEY, "1"),
    "COPY": ("COPY", KEY, KEY),
    "RENAME": ("RENAME", KEY, KEY),
    "MOVE": ("MOVE", KEY, "1"),
    "DUMP": ("DUMP", KEY),
    "RESTORE": ("RESTORE", KEY, "0", "x"),
    "TYPE": ("TYPE", KEY),
    "EXISTS": ("EXISTS", KEY),
    "OBJECT ENCODING": ("OBJECT", "ENCODING", KEY),
    "GET": ("GET", KEY),
    "SET": ("SET", KEY, "x"),
    "APPEND": ("APPEND", KEY, "x"),
    "HGETALL": ("HGETALL", KEY),
    "HINCRBY": ("HINCRBY", KEY, "p", "1"),
    "SORT": ("SORT", KEY),
    "LPUSH": ("LPUSH", KEY, "x"),
    "SADD": ("SADD", KEY, "x"),
    "EVAL": ("EVAL", "return 1", "1", KEY),
    "EVAL_RO": ("EVAL_RO", "return 1", "1", KEY),
    "SPUBLISH": ("SPUBLISH", KEY, "x"),
}

_ALSO = """
    ACL DRYRUN default PING|ACL GETUSER default|ACL LIST|ACL LOAD|ACL LOG|ACL SAVE|ACL SETUSER x on|ACL USERS
    BGREWRITEAOF|BGSAVE|CLIENT KILL TYPE normal|CLIENT LIST|CLIENT NO-EVICT on|CLIENT PAUSE 9|CONFIG GET *
    CONFIG REWRITE|CONFIG SET dir /tmp|DBSIZE|DEBUG SLEEP 0|EVAL return 0|FAILOVER ABORT|FLUSHALL|FLUSHDB|FUNCTION FLUSH
    INFO|KEYS *|LASTSAVE|LATENCY RESET|MIGRATE 127.0.0.1 1 x 0 1|MODULE LIST|MONITOR|PSUBSCRIBE *|PUBLISH x y|RANDOMKEY
    REPLICAOF NO ONE|ROLE|SAVE|SCAN 0|SCRIPT FLUSH|SELECT 1|SHUTDOWN|SLOWLOG GET|SSUBSCRIBE x|SUBSCRIBE x|SWAPDB 0 1
    SYNC|TIME|WAIT 0 0
"""
_ARGUMENTS = {"AUTH": ("x",), "CLIENT SETNAME": ("x",)}
WITHOUT_A_KEY: dict[str, tuple[str, ...]] = {
    **{name: (*name.split(), *_ARGUMENTS.get(name, ())) for name in sorted(CONNECTION)},
    **{line: tuple(line.split()) for line in _ALSO.strip().replace("\n", "|").replace("|    ", "|").split("|")},
}


def users_of(access: Access) -> list[str]:
    """Give every user that the rules name, and that somebody could be."""
    members = (one.slug for one in access.members)
    return [OFFICE, *members, *(join_user(slug) for slug in sorted(access.invited))]


def closed_users(access: Access) -> list[str]:
    """Give the users that nobody can be."""
    return ["default", *(one.slug for one in access.members if one not in access.coming_in)]


def keys_of(access: Access) -> Iterator[str]:
    """Give every kind of key of every institution, and some that nobody has."""
    slugs = sorted({*(one.slug for one in access.members), *access.invited})
    for slug in slugs:
        stream = pub_stream(slug, "courses")
        yield from (stream, f"{stream}:state", f"{stream}:heartbeat", pub_stream(slug, "members"), join_hash(slug))
        yield from (box_stream(slug, sender) for sender in slugs)
    yield from (ROSTER, f"{ROSTER}:state", "album:1:net:other", "album:1:pub:", "album:1", "x")
    yield from (
        f"album:1:own:{{{slugs[0]}}}:courses",
        f"album:1:in:{{{slugs[0]}}}",
        f"xalbum:1:pub:{{{slugs[0]}}}:courses",
    )
    yield from (f"album:1:pub:{{{slugs[0]}x}}:courses", f"album:1:box:{{{slugs[0]}}}x:{slugs[-1]}")


def may(access: Access, user: str, command: str, key: str | None) -> bool:
    """Tell whether a user may call a command with a key, or one without."""
    if key is None and command in BEFORE_LOGIN:
        return True
    active = {one.slug for one in access.coming_in}
    known = active | {OFFICE} | {join_user(slug) for slug in access.invited}
    if user not in known:
        return False
    if key is None:
        name = command.removesuffix(" default PING").removesuffix(" default")
        return name in CONNECTION or (user == OFFICE and name in _OF_OFFICE)
    name = command.removesuffix(" with MAXLEN 0")
    if user == OFFICE:
        return name in _office(key)
    return name in (_member(access, user, key) if user in active else _invited(user, key))


def _member(access: Access, user: str, key: str) -> frozenset[str]:
    if key == ROSTER:
        return STREAM | HASH
    found = _PLACE.fullmatch(key)
    if found is None:
        return STREAM | HASH if key.startswith("album:1:pub:") else NONE
    kind, owner, rest = found.groups()
    if kind == "net:join":
        return frozenset({"HSET", "HGET", "HDEL"}) if (owner, rest) == (user, None) else NONE
    if rest is None:
        return STREAM | HASH if kind == "pub" else NONE
    if kind == "pub":
        return STREAM | HASH | (frozenset({"XADD", "XTRIM", "HSET", "HDEL", "WATCH"}) if owner == user else NONE)
    return _box(access, user, owner, rest)


def _box(access: Access, user: str, to: str, sender: str) -> frozenset[str]:
    if to == user:
        return STREAM | HASH
    left = {one.slug for one in access.members if one.status is Status.LEFT}
    known = to in {one.slug for one in access.members} - left
    return STREAM | {"XADD", "XTRIM", "XDEL", "WATCH"} if sender == user and known else NONE


def _invited(user: str, key: str) -> frozenset[str]:
    if key == join_hash(user.removeprefix("join-")):
        return frozenset({"HSET", "HGET"})
    return STREAM if key == ROSTER else NONE


def _office(key: str) -> frozenset[str]:
    if key == ROSTER:
        return STREAM | {"XADD", "WATCH"}
    if key.startswith("album:1:net:join:"):
        return frozenset({"HGET", "HSCAN", "HLEN", "HDEL"})
    return frozenset({"XINFO STREAM", "XLEN"}) | HASH if key.startswith(("album:1:pub:", "album:1:box:")) else NONE
