"""Mail addresses: for the envelope, for the eyes of staff, and as a fingerprint that tells nobody anything."""

import hmac


def for_envelope(address: str) -> str:
    """Give an address as servers want it, its domain in ASCII; raises ValueError where that cannot be."""
    local, _, domain = address.rpartition("@")
    return f"{local}@{domain.encode('idna').decode('ascii')}"


def masked(address: str | None) -> str | None:
    """Give an address that staff may recognise and nobody can use, such as "a…@example.org"."""
    if not address:
        return None
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}…@{domain}"


def without(text: str, *addresses: str) -> str:
    """Take addresses out of what a server said: many servers repeat the recipient."""
    for address in filter(None, addresses):
        start = text.lower().find(address.lower())
        while start >= 0:
            text = f"{text[:start]}…{text[start + len(address) :]}"
            start = text.lower().find(address.lower())
    return text


def fingerprint(address: str, secret: str) -> str:
    """Give 64 hexadecimal digits that stand for an address on this node only."""
    return hmac.new(secret.encode(), b"album/1/address\n" + address.strip().lower().encode(), "sha256").hexdigest()
