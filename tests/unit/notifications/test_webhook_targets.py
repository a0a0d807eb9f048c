"""Where a webhook may lead: the table of addresses, what a name turns into, and that nobody looks it up twice."""

from typing import Any

import httpcore
import pytest

from services.notifications.domain.targets import NotAllowed, checked_url, is_public
from services.notifications.handlers.receiver import AddressNotAllowed, CheckedNetwork, UnknownHost

PUBLIC = ("1.1.1.1", "93.184.216.34", "172.32.0.1", "100.63.255.255", "100.128.0.0", "192.169.0.1", "2606:4700::1111")
NOT_PUBLIC = {
    "unspecified": ("0.0.0.0", "0.1.2.3", "::"),
    "loopback": ("127.0.0.1", "127.255.255.254", "::1"),
    "private": ("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fc00::1", "fd12::1"),
    "link-local": ("169.254.169.254", "169.254.0.1", "fe80::1", "fe80::1%eth0", "2606:4700::1111%eth0"),
    "shared (CGNAT)": ("100.64.0.1", "100.127.255.255"),
    "multicast": ("224.0.0.1", "239.255.255.250", "ff02::1"),
    "broadcast and reserved": ("255.255.255.255", "240.0.0.1", "198.18.0.1", "198.19.255.255", "192.0.0.8"),
    "documentation": ("192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"),
    "IPv4 inside IPv6, mapped or compatible": ("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:1.1.1.1", "::10.0.0.1"),
    "6to4": ("2002:7f00:1::", "2002:a00:1::1", "192.88.99.1"),
    "NAT64": ("64:ff9b::7f00:1", "64:ff9b::101:101", "64:ff9b:1::a00:1"),
    "Teredo": ("2001:0:4136:e378:8000:63bf:3fff:fdd2",),
    "no address at all": ("localhost", "", "0x7f.1", "2130706433", "127.1", "1.1.1.1/8"),
}


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    """Neighbours of the private ranges among them."""
    assert is_public(address)


@pytest.mark.parametrize("address", [one for kind in NOT_PUBLIC.values() for one in kind])
def test_all_other_addresses_are_not(address: str) -> None:
    """Whatever leads into a machine, a house, a provider's network, or holds an IPv4 address in disguise."""
    assert not is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "https://software.example/album",
        "https://software.example:443/",
        "https://software.example:8443/x?y=1",
        "https://1.1.1.1/x",
        "https://[2606:4700::1111]/x",
        "https://bücher.example/x",
    ],
)
def test_a_plain_https_url_is_taken(url: str) -> None:
    """Names, public addresses, and ports above 1023."""
    assert checked_url(url, private=False).startswith("https://")


@pytest.mark.parametrize(
    "url",
    [
        "http://software.example/x",
        "ftp://software.example/x",
        "//software.example/x",
        "software.example",
        "",
        "https://",
        "https:///x",
        "https://user@software.example/",
        "https://user:word@software.example/",
        "https://software.example\\@evil.example/",
        "https://software.example/#part",
        "https://software.example:25/",
        "https://software.example:80/",
        "https://software.example:6667/",
        "https://software.example:0/",
        "https://software.example:70000/",
        "https://software.example:x/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://169.254.169.254/latest/meta-data",
        "https://software.example/\r\nHost: evil",
        "https://software.example/" + "x" * 1000,
    ],
)
def test_every_other_url_is_refused(url: str) -> None:
    """No TLS, a password, a port of another protocol, an address of a private network, or no URL at all."""
    with pytest.raises(NotAllowed):
        checked_url(url, private=False)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080/x", "http://receiver:81/", "https://10.0.0.1:25/"])
def test_a_closed_network_may_be_allowed(url: str) -> None:
    """The control: with the operator's setting the same addresses are taken; a password in the URL never is."""
    assert checked_url(url, private=True) == url
    with pytest.raises(NotAllowed):
        checked_url("http://a:b@127.0.0.1/", private=True)


class Connections(httpcore.AsyncNetworkBackend):
    """Notes where one would have been connected to."""

    def __init__(self, dead: tuple[str, ...] = ()) -> None:
        self.made: list[str] = []
        self._dead = dead

    async def connect_tcp(self, host: str, port: int, **more: Any) -> httpcore.AsyncNetworkStream:  # type: ignore[override] # shorter
        """Note the host."""
        self.made.append(host)
        if host in self._dead:
            raise httpcore.ConnectError("nobody listens")
        return httpcore.AsyncMockStream([])


class Names:
    """A resolver that answers in turn, as whoever owns a name can."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)
        self.asked = 0

    async def __call__(self, host: str, port: int) -> list[str]:
        """Give the next answer."""
        self.asked += 1
        return self._answers.pop(0)


async def _connect(names: Names, to: Connections, private: bool = False) -> None:
    network = CheckedNetwork(names, private=private, network=to)
    stream = await network.connect_tcp("evil.example", 443, timeout=5)
    await stream.aclose()


async def test_a_name_is_looked_up_once_and_that_very_address_is_connected_to() -> None:
    """A name that leads home the second time (DNS rebinding) gets nowhere: there is no second time."""
    names, to = Names(["1.1.1.1"], ["127.0.0.1"]), Connections()
    await _connect(names, to)
    assert (names.asked, to.made) == (1, ["1.1.1.1"])


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["1.1.1.1", "10.0.0.1"], ["fe80::1%eth0"], ["::ffff:1.1.1.1"]])
async def test_a_name_that_leads_home_is_not_connected_to(addresses: list[str]) -> None:
    """One such address among others is enough; with the protection off, the control, it is connected to."""
    to = Connections()
    with pytest.raises(AddressNotAllowed):
        await _connect(Names(addresses), to)
    assert to.made == []
    await _connect(Names(addresses), to, private=True)
    assert to.made == addresses[:1]


async def test_the_next_address_is_tried_where_nobody_listens() -> None:
    """A host with two addresses is reached at the one that answers; a name without any is unknown."""
    to = Connections(dead=("1.1.1.1",))
    await _connect(Names(["1.1.1.1", "1.0.0.1"]), to)
    assert to.made == ["1.1.1.1", "1.0.0.1"]
    with pytest.raises(UnknownHost):
        await _connect(Names([]), Connections())
