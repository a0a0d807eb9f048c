"""The file with an institution's keys: for its owner's eyes only, never lost by an accident."""

import json
import os
from pathlib import Path

import pytest

from shared.kit.streams import Position
from shared.network.boxes import box_payload, read_box
from shared.network.identity import Identity
from tests.unit.network.network_sample import AWO, VHS, event, identity


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    """Keys, password and older box keys come back; the file is for its owner only."""
    path = tmp_path / "keys" / "awo.json"
    made = identity(AWO).with_new_keys(os.urandom)
    made.save(path)
    assert Identity.load(path) == made
    assert Identity.load(path).kid == made.kid != identity(AWO).kid
    assert path.stat().st_mode & 0o777 == 0o600
    assert [found.name for found in path.parent.iterdir()] == ["awo.json"]


def test_keys_are_never_overwritten_by_saving(tmp_path: Path) -> None:
    """Joining a second time cannot destroy the keys of the first; `replace` can, for rotation."""
    path = tmp_path / "awo.json"
    identity(AWO).save(path)
    with pytest.raises(FileExistsError):
        identity(AWO, 1).save(path)
    assert Identity.load(path) == identity(AWO)
    identity(AWO, 1).replace(path)
    assert Identity.load(path) == identity(AWO, 1)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [found.name for found in tmp_path.iterdir()] == ["awo.json"]


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    """Keys that others have seen are not used silently."""
    path = tmp_path / "awo.json"
    identity(AWO).save(path)
    path.chmod(0o640)
    with pytest.raises(PermissionError, match="chmod 600"):
        Identity.load(path)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"older": []}', '{"older": {"x": "zz"}}'])
def test_a_damaged_file_says_so_and_shows_nothing(tmp_path: Path, text: str) -> None:
    """What is no key file is refused by one error."""
    path = tmp_path / "awo.json"
    path.write_text(text, "utf-8")
    path.chmod(0o600)
    with pytest.raises(ValueError, match="holds no keys"):
        Identity.load(path)


def test_secrets_are_not_shown_by_accident(tmp_path: Path) -> None:
    """Neither a log line of the identity nor the error of a broken file shows a secret."""
    made = identity(AWO)
    for secret in (made.password, made.ed25519_seed.hex(), repr(made.ed25519_seed), repr(made.x25519_private)):
        assert secret not in repr(made)
    path = tmp_path / "awo.json"
    made.save(path)
    kept = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**kept, "ed25519_seed": kept["ed25519_seed"][:10]}), "utf-8")
    with pytest.raises(ValueError, match="holds no keys") as refused:
        Identity.load(path)
    assert kept["ed25519_seed"][:10] not in str(refused.value)


def test_new_keys_keep_the_password_and_open_what_was_sealed_before() -> None:
    """After two rotations boxes for all three keys open."""
    at = Position(1, 1)
    plain = event(f"/{AWO}/courses", "ref_1", "x")
    owners = [identity(VHS)]
    for _ in range(2):
        owners.append(owners[-1].with_new_keys(os.urandom))
    assert len({one.kid for one in owners}) == 3
    assert len({one.password for one in owners}) == 1
    for one in owners:
        payload = box_payload(one.public.x25519, one.kid, VHS, AWO, at, "x", plain)
        assert read_box(owners[-1].box_keys, VHS, AWO, at, payload) == plain
    assert len(owners[0].password) >= 43


@pytest.mark.parametrize("slug", ["", "a", "AWO", "a b", "../x", "a" * 41, "{awo}", "awo\n"])
def test_only_a_short_name_gets_keys(slug: str) -> None:
    """What could be a path or a pattern of an access rule is no short name."""
    with pytest.raises(ValueError, match="short name"):
        Identity.make(slug, os.urandom)
