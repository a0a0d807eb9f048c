"""The office's hub as files: secrets apart from what the server sees, nothing overwritten, TLS that can be checked."""

import ssl
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest

from shared.network import changes
from shared.network.hub.access import OFFICE, Access, HubMember, access_of
from shared.network.hub.acl import acl_file
from shared.network.hub.hub import HubFolder, address_of, authority, make_hub, write_acl
from shared.network.hub.keeping import thirteen
from shared.network.hub.policy import may
from shared.network.hub.tls import make_certificates
from shared.network.roster import Status
from tests.unit.network.handshake import shake_hands
from tests.unit.network.network_sample import AWO, KARGAH, NOW, VHS, network

HASH = sha256(b"password").digest()
RANDOM = Random(7).randbytes


def test_secrets_lie_apart_from_what_the_server_sees(tmp_path: Path) -> None:
    """The folder that a container mounts holds no root key and no password; secrets are for their owner only."""
    folder = HubFolder(tmp_path / "hub")
    make_hub(folder, random=RANDOM, certificates=make_certificates(["hub"], NOW), roots=3)
    modes = {
        str(path.relative_to(folder.path)): path.stat().st_mode & 0o777
        for path in folder.path.rglob("*")
        if path.is_file()
    }
    assert modes == {
        "server/redis.conf": 0o644,
        "server/users.acl": 0o644,
        "server/tls/ca.crt": 0o644,
        "server/tls/server.crt": 0o644,
        "server/tls/server.key": 0o600,
        "office/account.json": 0o600,
        "office/ca.key": 0o600,
        "office/root-1.key": 0o600,
        "office/root-2.key": 0o600,
        "office/root-3.key": 0o600,
    }
    assert folder.office.stat().st_mode & 0o777 == 0o700
    assert len(set(folder.root_seeds())) == 3
    seen = b"".join(path.read_bytes() for path in folder.server.rglob("*") if path.is_file())
    assert folder.password().encode() not in seen
    assert folder.password_sha256().hex().encode() in seen
    assert not any(seed.hex().encode() in seen for seed in folder.root_seeds())


def test_a_hub_is_never_overwritten(tmp_path: Path) -> None:
    """A second `init` would lose the keys on which the whole network stands."""
    folder = HubFolder(tmp_path / "hub")
    make_hub(folder, random=RANDOM)
    before = folder.root_seeds()
    with pytest.raises(FileExistsError, match="never overwritten"):
        make_hub(folder, random=RANDOM)
    assert folder.root_seeds() == before


def test_a_hub_may_be_made_in_empty_folders_that_are_mounted(tmp_path: Path) -> None:
    """Volumes are there before anything is in them; the office's part is closed to others in any case."""
    folder = HubFolder(tmp_path / "hub")
    for path in (folder.server / "data", folder.office):
        path.mkdir(parents=True, mode=0o755)
    make_hub(folder, random=RANDOM)
    assert folder.office.stat().st_mode & 0o777 == 0o700
    assert folder.is_made


def test_who_signed_the_hubs_certificate_is_a_file_or_pem_or_lies_in_the_folder(tmp_path: Path) -> None:
    """Whatever the operator gives is handed on as PEM; a file that is not there is said, not passed over."""
    folder, made = HubFolder(tmp_path / "hub"), make_certificates(["hub"], NOW)
    assert authority(folder) is None
    make_hub(folder, random=RANDOM, certificates=made)
    other = tmp_path / "other.pem"
    other.write_text("another one", "utf-8")
    assert authority(folder) == made.ca.decode()
    assert authority(folder, str(other)) == "another one"
    assert authority(folder, made.ca.decode()) == made.ca.decode()
    with pytest.raises(FileNotFoundError):
        authority(folder, str(tmp_path / "missing.pem"))


def test_the_settings_keep_what_the_network_stands_on(tmp_path: Path) -> None:
    """Written down each second, nothing forgotten when full, no large values, users from the file."""
    folder = HubFolder(tmp_path / "hub")
    make_hub(folder, random=RANDOM, bind="127.0.0.1", port=7001)
    conf = dict(line.split(" ", 1) for line in folder.conf.read_text("utf-8").splitlines() if not line.startswith("#"))
    wanted = {
        "port": "7001",
        "bind": "127.0.0.1",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "proto-max-bulk-len": "1mb",
        "aclfile": str(folder.acl),
    }
    assert wanted.items() <= conf.items()
    assert address_of(folder) == "redis://localhost:7001"


def test_with_tls_there_is_no_other_port_and_a_container_sees_its_own_paths(tmp_path: Path) -> None:
    """Nobody can fall back to a connection that others can read."""
    folder = HubFolder(tmp_path / "hub")
    make_hub(folder, random=RANDOM, certificates=make_certificates(["hub"], NOW), at="/hub", port=7002)
    lines = folder.conf.read_text("utf-8").splitlines()
    assert {"port 0", "tls-port 7002", "aclfile /hub/users.acl", "tls-key-file /hub/tls/server.key"} <= set(lines)
    assert str(tmp_path) not in folder.conf.read_text("utf-8")
    assert address_of(folder) == "rediss://localhost:7002"


def test_members_can_check_the_certificate_of_the_hub(tmp_path: Path) -> None:
    """Its names and addresses are accepted by whoever trusts its authority; another name or authority is refused."""
    made = make_certificates(["hub.example", "127.0.0.1"], NOW)
    assert shake_hands(made, made.ca, "hub.example", tmp_path) == "TLSv1.3"
    assert shake_hands(made, made.ca, "127.0.0.1", tmp_path) == "TLSv1.3"
    with pytest.raises(ssl.SSLCertVerificationError, match=r"[Hh]ostname"):
        shake_hands(made, made.ca, "other.example", tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError, match="verify failed"):
        shake_hands(make_certificates(["hub.example"], NOW), made.ca, "hub.example", tmp_path)


def test_rules_are_written_at_once_and_only_when_they_change(tmp_path: Path) -> None:
    """A server that reads in this moment reads the old rules or the new ones."""
    folder = HubFolder(tmp_path / "hub")
    make_hub(folder, random=RANDOM)
    access = Access((HubMember(AWO, Status.ACTIVE, HASH),), folder.password_sha256())
    assert write_acl(folder, access)
    assert not write_acl(folder, access)
    assert folder.acl.read_text("utf-8") == acl_file(access)
    assert sorted(path.name for path in folder.server.iterdir()) == ["data", "redis.conf", "users.acl"]


def test_who_comes_in_follows_from_the_roster() -> None:
    """Active with a password: in; suspended, left, or without a password: closed; boxes to all but those who left."""
    roster = changes.suspend(changes.leave(network(AWO, VHS, KARGAH, "amfn"), KARGAH, {}), VHS, {})
    access = access_of(roster, {AWO: HASH, VHS: HASH, KARGAH: HASH}, {"vnb": HASH}, HASH)
    assert [one.slug for one in access.coming_in] == [AWO]
    assert access.receiving == (AWO, VHS, "amfn")
    lines = {line.split()[1]: line for line in acl_file(access).splitlines()}
    assert list(lines) == ["default", OFFICE, AWO, VHS, KARGAH, "amfn", "join-vnb"]
    assert lines["default"].startswith("user default off resetpass ")
    for closed in (VHS, KARGAH, "amfn"):
        assert lines[closed] == f"user {closed} off resetpass resetkeys resetchannels -@all"
    for written in ("%RW~album:1:box:{vhs-hannover}:awo", "%RW~album:1:box:{amfn}:awo"):
        assert written in lines[AWO]
    assert "{kargah}" not in lines[AWO]


@pytest.mark.parametrize(
    "slug", ["default", "join-awo", "a b", "awo on nopass", "AWO", OFFICE, "awo\nuser x on nopass"]
)
def test_a_name_cannot_say_more_than_a_name(slug: str) -> None:
    """Neither an institution nor somebody invited can be another kind of user, or write a rule of its own."""
    with pytest.raises(ValueError, match="cannot be a user"):
        Access((HubMember(slug, Status.ACTIVE, HASH),), HASH)
    with pytest.raises(ValueError, match="cannot be a user"):
        Access((), HASH, {slug: HASH})


def test_a_password_is_only_ever_its_hash() -> None:
    """What is no SHA-256 never reaches the file."""
    good = Access((HubMember(AWO, Status.ACTIVE, HASH),), HASH)
    attempts: tuple[Callable[[], Access], ...] = (
        lambda: replace(good, office_sha256=b"password"),
        lambda: replace(good, members=(HubMember(AWO, Status.ACTIVE, b"password"),)),
        lambda: replace(good, invited={AWO: b""}),
    )
    for bad in attempts:
        with pytest.raises(ValueError, match="SHA-256"):
            bad()


def test_the_policy_says_what_the_protocol_says() -> None:
    """Some lines of docs/protocol.md by hand, so that rules and policy cannot agree on the same mistake."""
    access = thirteen()
    lines: list[tuple[str, str, str, bool]] = [
        ("awo", "XADD", "album:1:pub:{awo}:courses", True),
        ("awo", "HSET", "album:1:pub:{awo}:courses:state", True),
        ("awo", "HDEL", "album:1:pub:{awo}:courses:heartbeat", True),
        ("awo", "XTRIM", "album:1:pub:{awo}:events", True),
        ("awo", "DEL", "album:1:pub:{awo}:courses", False),
        ("awo", "XADD", "album:1:pub:{kargah}:courses", False),
        ("awo", "XREAD", "album:1:pub:{kargah}:courses", True),
        ("awo", "HSCAN", "album:1:pub:{kargah}:courses:state", True),
        ("awo", "HSET", "album:1:pub:{kargah}:courses:state", False),
        ("awo", "XREAD", "album:1:box:{awo}:kargah", True),
        ("awo", "XADD", "album:1:box:{awo}:kargah", False),
        ("awo", "XDEL", "album:1:box:{awo}:kargah", False),
        ("awo", "XADD", "album:1:box:{kargah}:awo", True),
        ("awo", "XRANGE", "album:1:box:{kargah}:awo", True),
        ("awo", "XDEL", "album:1:box:{kargah}:awo", True),
        ("awo", "XADD", "album:1:box:{kargah}:vnb", False),
        ("awo", "XRANGE", "album:1:box:{kargah}:vnb", False),
        ("awo", "XREAD", "album:1:net:roster", True),
        ("awo", "XADD", "album:1:net:roster", False),
        ("awo", "HSET", "album:1:net:join:{awo}", True),
        ("awo", "HGET", "album:1:net:join:{kargah}", False),
        ("join-invited", "HSET", "album:1:net:join:{invited}", True),
        ("join-invited", "HSET", "album:1:net:join:{awo}", False),
        ("join-invited", "XREAD", "album:1:net:roster", True),
        ("join-invited", "XREAD", "album:1:pub:{awo}:courses", False),
        ("away", "XREAD", "album:1:net:roster", False),
        ("gone", "PING", "", False),
        (OFFICE, "XADD", "album:1:net:roster", True),
        (OFFICE, "XADD", "album:1:pub:{awo}:courses", False),
        (OFFICE, "XREAD", "album:1:box:{awo}:kargah", False),
    ]
    for user, command, key, expected in lines:
        assert may(access, user, command, key or None) is expected, (user, command, key)
    assert len(access.coming_in) == 13
