"""Where a webhook may lead: no address of a private network, no odd port, no name and password in the URL."""

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import httpx

LONGEST_URL = 1000

# IANA's registries of special purpose addresses; written out, for Python's `is_global` differs between releases.
_NOT_FOR_ALL = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4", "240.0.0.0/4",
        # Inside 2000::/3: protocols (Teredo among them), documentation, 6to4.
        "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
    )
)  # fmt: skip
# All else of IPv6 is loopback, link-local, unique local, multicast, or holds an IPv4 address (mapped, NAT64).
_GLOBAL_V6 = IPv6Network("2000::/3")

# Ports above 1023 that browsers refuse as well, for what listens there (https://fetch.spec.whatwg.org/#port-blocking).
_BLOCKED_PORTS = frozenset(
    {1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080}
)


class NotAllowed(ValueError):  # noqa: N818 - said to whoever chose the address
    """No webhook may lead there; the text says why."""


def is_public(address: str) -> bool:
    """Tell whether an IP address is one of the public Internet, and nothing else in disguise."""
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    if ip.version == 6 and (ip not in _GLOBAL_V6 or ip.scope_id is not None):
        return False
    return not any(_holds(network, str(ip)) for network in _NOT_FOR_ALL if network.version == ip.version)


def _holds(network: IPv4Network | IPv6Network, address: str) -> bool:
    return ip_address(address) in network


def checked_url(text: str, *, private: bool) -> str:
    """Give the URL of a webhook as it will be called; raises NotAllowed. With `private` a closed network is fine."""
    try:
        url = httpx.URL(text)
        port, host = url.port, url.raw_host.decode()
    except (httpx.InvalidURL, ValueError) as error:
        raise NotAllowed("this is no URL") from error
    if url.scheme != "https" and not (private and url.scheme == "http"):
        raise NotAllowed("the URL must begin with https://")
    if not host or len(text) > LONGEST_URL or not 0 < (port or 443) < 65536:
        raise NotAllowed(f"the URL needs a host, a port that exists, and has at most {LONGEST_URL} characters")
    if url.userinfo or url.fragment:
        raise NotAllowed("the URL must have no name, no password and no fragment: the signature says who calls")
    if not private:
        _check_public(host, port)
    return str(url)


def _check_public(host: str, port: int | None) -> None:
    if port is not None and port != 443 and (port < 1024 or port in _BLOCKED_PORTS):
        raise NotAllowed("the port must be 443, or one above 1023 that no other protocol is known for")
    if _is_literal(host) and not is_public(host):
        raise NotAllowed("the address is not one of the public Internet")


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
