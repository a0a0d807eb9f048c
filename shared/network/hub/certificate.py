"""The hub's certificate as it lies in the office's folder: until when it holds, and a new one in time."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509

from shared.network.hub.hub import HubFolder, write_at_once
from shared.network.hub.tls import LIFE, Certificates, authority_of, names_of, renewed, signer_of
from shared.network.refusal import Refused

SOON = timedelta(days=30)


class CertificateRefused(Refused):
    """There is no certificate, or none that the office can make anew."""


@dataclass(frozen=True, slots=True)
class Ends:
    """For which names the hub's certificate holds and until when, and until when its authority does."""

    names: list[str]
    server: datetime
    authority: datetime
    ours: bool


def ends_of(folder: HubFolder) -> Ends:
    """Read until when the hub's certificate holds; raises CertificateRefused where there is none."""
    return _ends(_kept(folder))


def renew(folder: HubFolder, now: datetime, life: timedelta = LIFE) -> Ends:
    """Write a new certificate for the same names; the server takes it when it starts again.

    The server's key stays: one file changes at once, and a server that starts in this moment finds what fits. Raises
    CertificateRefused where the office brought its certificate from elsewhere.
    """
    old = _kept(folder)
    if not _ends(old).ours:
        raise CertificateRefused(
            "not_ours",
            "this certificate was not made here, but brought with --certificate. Get a new one where it came from, "
            f"write it to {folder.certificate} (and its key to server.key beside it), then restart the hub",
        )
    new = renewed(old, now, life)
    # The authority goes first: the old certificate fits to it as well.
    if new.ca != old.ca:
        write_at_once(folder.ca, new.ca)
    write_at_once(folder.certificate, new.certificate)
    return _ends(new)


def _kept(folder: HubFolder) -> Certificates:
    if not folder.conf.exists():
        raise CertificateRefused("no_hub", f"there is no hub in {folder.path}")
    if not folder.certificate.exists():
        raise CertificateRefused("no_certificate", f"the hub in {folder.path} was made without --tls")
    ca_key = folder.ca_key.read_bytes() if folder.ca_key.exists() else None
    return Certificates(folder.ca.read_bytes(), folder.certificate.read_bytes(), b"", ca_key)


def _ends(kept: Certificates) -> Ends:
    try:
        certificate, authority = x509.load_pem_x509_certificate(kept.certificate), authority_of(kept)
        ours = signer_of(kept) is not None
    except ValueError as error:
        raise CertificateRefused("not_pem", f"the hub's certificate cannot be read: {error}") from error
    return Ends(names_of(certificate), certificate.not_valid_after_utc, authority.not_valid_after_utc, ours)
