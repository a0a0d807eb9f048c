"""Certificates for a hub whose office has none: an authority of its own, which the invitation carries to members."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFE = timedelta(days=3650)
"""How long a server's certificate holds. Its authority holds twice as long: nodes trust it for the next one, too."""

_SKEW = timedelta(days=1)


@dataclass(frozen=True)
class Certificates:
    """The server's certificate and key, and the authority that members trust, all as PEM."""

    ca: bytes
    certificate: bytes
    key: bytes = field(repr=False)
    ca_key: bytes | None = field(default=None, repr=False)


def make_certificates(hosts: Sequence[str], now: datetime, life: timedelta = LIFE) -> Certificates:
    """Make an authority and a certificate for a server's names and addresses."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ALBuM hub authority")])
    server = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0][:64])])
    names = x509.SubjectAlternativeName([_host(host) for host in hosts])
    ca = _authority(authority, ca_key, now, 2 * life)
    certificate = _server(server, names, key.public_key(), authority, ca_key, now, life)
    return Certificates(_pem(ca), _pem(certificate), _private(key), _private(ca_key))


def renewed(old: Certificates, now: datetime, life: timedelta = LIFE) -> Certificates:
    """Make a new certificate for the same names and the same key, signed with the same authority's key.

    Only where the authority would end before it, that is made anew, too: whoever trusts the old one may go on until
    it ends. Raises ValueError where the certificate was not made here.
    """
    ca, ca_key, certificate = authority_of(old), signer_of(old), x509.load_pem_x509_certificate(old.certificate)
    key = certificate.public_key()
    if ca_key is None or not isinstance(key, ec.EllipticCurvePublicKey):
        raise ValueError("the key of the authority that signed the certificate is not here")
    if ca.not_valid_after_utc < now + life:
        ca = _authority(ca.subject, ca_key, now, 2 * life)
    new = _server(certificate.subject, _names(certificate), key, ca.subject, ca_key, now, life)
    return replace(old, ca=_pem(ca), certificate=_pem(new))


def authority_of(made: Certificates) -> x509.Certificate:
    """Give who signed the server's certificate, as members trust it."""
    last = x509.load_pem_x509_certificates(made.certificate)[-1]
    trusted = x509.load_pem_x509_certificates(made.ca)
    return next((one for one in trusted if one.subject == last.issuer), trusted[0])


def signer_of(made: Certificates) -> ec.EllipticCurvePrivateKey | None:
    """Give the authority's key; None where it is not here, or is not the one that signed the server's certificate."""
    key = serialization.load_pem_private_key(made.ca_key, None) if made.ca_key else None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != authority_of(made).public_key():
        return None
    issuer = x509.load_pem_x509_certificate(made.certificate).issuer
    return key if issuer == authority_of(made).subject else None


def names_of(certificate: x509.Certificate) -> list[str]:
    """Give the names and addresses for which a certificate holds."""
    try:
        return [str(name.value) for name in _names(certificate)]
    except x509.ExtensionNotFound:
        return []


def _names(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value


def _authority(name: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, life: timedelta) -> x509.Certificate:
    return (
        _begun(name, name, key.public_key(), now, life)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def _server(
    name: x509.Name,
    names: x509.SubjectAlternativeName,
    key: ec.EllipticCurvePublicKey,
    authority: x509.Name,
    ca_key: ec.EllipticCurvePrivateKey,
    now: datetime,
    life: timedelta,
) -> x509.Certificate:
    return (
        _begun(name, authority, key, now, life)
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - _SKEW).not_valid_after(now + life)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def _usage(*, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificates,
        crl_sign=certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
