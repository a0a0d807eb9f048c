"""The hub's certificate ends some day: it is said before, and renewed without anybody else having to do anything."""

import json
import shutil
import ssl
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

import pytest
from cryptography import x509
from typer.testing import CliRunner

from shared.network.hub.certificate import CertificateRefused, ends_of, renew
from shared.network.hub.commands import hub as hub_app
from shared.network.hub.hub import HubFolder, make_hub
from shared.network.hub.tls import Certificates, make_certificates
from tests.unit.network.handshake import shake_hands
from tests.unit.network.network_sample import NOW

HOSTS = ["hub.example", "127.0.0.1"]
YEAR = timedelta(days=365)


def _hub(path: Path, made: datetime, life: timedelta = 10 * YEAR) -> HubFolder:
    """Make a hub whose certificate was made at a moment; its authority holds twice as long."""
    folder = HubFolder(path / "hub")
    make_hub(folder, random=Random(7).randbytes, certificates=make_certificates(HOSTS, made, life))
    return folder


def _ended(path: Path) -> HubFolder:
    """Make a hub whose certificate ended half a year ago; its authority has nearly ten years left."""
    return _hub(path, NOW - 11 * YEAR, life=10 * YEAR + timedelta(days=180))


def _kept(folder: HubFolder) -> Certificates:
    key = (folder.server / "tls" / "server.key").read_bytes()
    return Certificates(folder.ca.read_bytes(), folder.certificate.read_bytes(), key)


def _files(folder: HubFolder) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder.path)): (path.read_bytes(), path.stat().st_mode & 0o777)
        for path in folder.path.rglob("*")
        if path.is_file()
    }


def test_one_that_has_ended_is_refused_before_and_taken_after_with_the_same_authority(tmp_path: Path) -> None:
    """A node that joined years ago closes its line, and opens it again by what it was given then."""
    folder = _ended(tmp_path)
    joined_with = folder.ca.read_bytes()
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        shake_hands(_kept(folder), joined_with, "hub.example", tmp_path)
    renew(folder, NOW, life=9 * YEAR)
    assert folder.ca.read_bytes() == joined_with
    for name in HOSTS:
        assert shake_hands(_kept(folder), joined_with, name, tmp_path) == "TLSv1.3"
    with pytest.raises(ssl.SSLCertVerificationError, match=r"[Hh]ostname"):
        shake_hands(_kept(folder), joined_with, "other.example", tmp_path)


def test_only_the_certificate_changes_and_its_file_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Key, rules, settings and root keys stay; a renewal that is killed leaves the old certificate whole."""
    folder = _hub(tmp_path, NOW)
    before = _files(folder)

    def killed(*_: object) -> None:
        raise OSError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(OSError, match="killed"):
            renew(folder, NOW + YEAR)
    assert _files(folder).items() >= before.items()
    renew(folder, NOW + YEAR)
    after = _files(folder)
    changed = [name for name, content in after.items() if before.get(name) != content]
    assert (changed, set(after)) == (["server/tls/server.crt"], set(before))
    assert after["server/tls/server.crt"][1] == 0o644
    assert ends_of(folder).server == NOW + YEAR + timedelta(days=3650)


def test_an_authority_that_would_end_before_is_renewed_with_its_key(tmp_path: Path) -> None:
    """Who has the old one goes on until it ends, who gets the new one goes on after it: both trust the new server."""
    folder = _ended(tmp_path)
    old, was = folder.ca.read_bytes(), ends_of(folder)
    now = renew(folder, NOW)
    assert was.authority < now.server <= now.authority
    assert folder.ca.read_bytes() != old
    for trusted in (old, folder.ca.read_bytes()):
        assert shake_hands(_kept(folder), trusted, "hub.example", tmp_path) == "TLSv1.3"
    old_key, new_key = (x509.load_pem_x509_certificate(one).public_key() for one in (old, folder.ca.read_bytes()))
    assert old_key == new_key


def test_another_authority_of_the_same_name_is_not_trusted(tmp_path: Path) -> None:
    """The control: it is the key that nodes trust, not what the authority is called."""
    folder, other = _hub(tmp_path, NOW), make_certificates(HOSTS, NOW)
    renew(folder, NOW)
    with pytest.raises(ssl.SSLCertVerificationError, match="verify failed"):
        shake_hands(_kept(folder), other.ca, "hub.example", tmp_path)


def test_a_new_hub_outlives_its_first_renewal_without_a_word_to_the_nodes(tmp_path: Path) -> None:
    """Its authority holds twice as long as the certificate: renewed in its last month, that fits in."""
    folder = _hub(tmp_path, NOW)
    first = ends_of(folder)
    assert (first.server - NOW, first.authority - NOW) == (10 * YEAR, 20 * YEAR)
    again = renew(folder, first.server - timedelta(days=20))
    assert again.authority == first.authority
    assert again.server > first.server + 9 * YEAR


def _brought(folder: Path) -> list[str]:
    """Make the files of a certificate from elsewhere, as options of `album hub init`."""
    made = make_certificates(HOSTS, NOW)
    folder.mkdir()
    words: list[str] = []
    for name, content in (("certificate", made.certificate), ("key", made.key), ("ca", made.ca)):
        (folder / name).write_bytes(content)
        words += [f"--{name}", str(folder / name)]
    return words


def test_a_certificate_that_was_brought_is_shown_and_never_replaced(tmp_path: Path) -> None:
    """Its authority's key is elsewhere, and so is who can make a new one: that is said, and nothing is written."""
    run, folder = CliRunner(), HubFolder(tmp_path / "hub")
    where = ["--dir", str(folder.path)]
    made = run.invoke(hub_app, ["init", *where, "--tls", *_brought(tmp_path / "brought")])
    assert made.exit_code == 0, made.output
    before = _files(folder)
    assert "brought with --certificate" in run.invoke(hub_app, ["certificate", *where]).output
    refused = run.invoke(hub_app, ["certificate", *where, "--renew"])
    assert (refused.exit_code, "was not made here" in refused.output, _files(folder)) == (1, True, before)
    shutil.copy(tmp_path / "brought" / "key", folder.ca_key)  # some key, but not the authority's
    with pytest.raises(CertificateRefused, match="was not made here"):
        renew(folder, NOW)


def test_the_command_says_until_when_and_what_is_to_be_done(tmp_path: Path) -> None:
    """Days for people, JSON for programs; behind a renewal what to restart, and who needs the new authority."""
    run, where = CliRunner(), ["--dir", str(_ended(tmp_path).path)]
    shown = run.invoke(hub_app, ["certificate", *where])
    assert (shown.exit_code, "hub.example, 127.0.0.1" in shown.output) == (0, True)
    assert "album hub certificate --renew" in shown.output
    renewed = run.invoke(hub_app, ["certificate", *where, "--renew"])
    assert (renewed.exit_code, "docker compose restart hub" in renewed.output) == (0, True)
    assert "ALBUM_HUB_CA" in renewed.output
    told = json.loads(run.invoke(hub_app, ["certificate", *where, "--json"]).output)
    assert (told["names"], told["ours"], told["renewed"]) == (HOSTS, True, False)
    assert datetime.fromisoformat(told["server"]) < datetime.fromisoformat(told["authority"])
    assert "--renew" not in run.invoke(hub_app, ["certificate", *where]).output


@pytest.mark.parametrize(
    ("made", "said"), [(None, "there is no hub"), (False, "without --tls"), (True, "cannot be read")]
)
def test_where_there_is_no_certificate_that_is_said_in_one_line(tmp_path: Path, made: bool | None, said: str) -> None:
    """A folder that is no hub, a hub without TLS, and one whose certificate somebody broke."""
    folder = HubFolder(tmp_path / "hub")
    if made is not None:
        make_hub(folder, random=Random(7).randbytes, certificates=make_certificates(HOSTS, NOW) if made else None)
    if made:
        folder.certificate.write_text("nothing", "utf-8")
    for words in ([], ["--renew"]):
        answer = CliRunner().invoke(hub_app, ["certificate", "--dir", str(folder.path), *words])
        assert (answer.exit_code, said in answer.output, len(answer.output.splitlines())) == (1, True, 1)
