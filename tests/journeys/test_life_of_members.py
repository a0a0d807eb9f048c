"""An institution's life between nodes, by the operator's commands: one click admits, keys change, suspension bites."""

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from shared.network.office.invitation import Invitation
from tests.journeys.network_house import House, HouseNode, running_house


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Give a hub and the office's node with its members."""
    with running_house(tmp_path_factory.mktemp("life"), services=("members",)) as running:
        yield running


def _status(node: HouseNode) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(node.album("network", "status", "--json"))
    return found


def _until(what: str, look: Any, patience: float = 60.0) -> None:
    end = time.monotonic() + patience
    while not look():
        assert time.monotonic() < end, what
        time.sleep(0.3)


def _member(node: HouseNode, slug: str) -> dict[str, Any]:
    return next(one for one in _status(node)["institutions"] if one["slug"] == slug)


def test_one_click_admits_and_nothing_is_done_before(house: House) -> None:
    """The link shows who asks and with which key; only its button admits, once."""
    node = HouseNode(house.folder / "kargah", slug="kargah", hub=house.hub, operator=house.operator)
    node.prepare()
    house.nodes.append(node)
    code = house.invite("kargah")
    node.album("network", "join", "--no-wait", code)
    [asking] = json.loads(house.office.album("network", "requests", "--json"))
    with httpx.Client(timeout=30) as browser:
        house.hub.line("office").cut()
        away = browser.get(asking["admit"])
        assert (away.status_code, "antwortet gerade nicht" in away.text) == (503, True)
        house.hub.line("office").mend()
        shown = browser.get(asking["admit"])
        assert shown.status_code == 200
        assert asking["kid"] in shown.text
        assert "<form" in shown.text
        assert [one["slug"] for one in _status(house.office)["institutions"]] == ["office"], "a look admits nobody"
        assert "ist aufgenommen" in browser.post(asking["admit"]).text
        assert "<form" not in browser.get(asking["admit"]).text
        assert browser.get(asking["admit"][:-3] + "AAA").status_code == 410
    node.album("network", "join", "--no-wait", code)
    assert _member(node, "kargah")["keys"] == [asking["kid"]]


def test_the_hubs_authority_is_handed_on_whether_it_is_a_file_or_pem(house: House) -> None:
    """The partner trusts the hub by what stands in the code, however the office's operator gave it."""
    pem = house.hub.ca.read_text("utf-8")
    assert Invitation.read(house.invite("amfn")).ca == pem
    given = house.office.environment["ALBUM_HUB_CA"]
    house.office.environment["ALBUM_HUB_CA"] = pem
    assert Invitation.read(house.invite("amfn")).ca == pem
    house.office.environment["ALBUM_HUB_CA"] = given


def test_new_keys_are_named_by_the_office_and_the_old_ones_end(house: House) -> None:
    """The node asks, the office's members answers by itself, the node signs with the new keys."""
    node = house.nodes[0]
    node.start_service("members")
    old = _member(node, "kargah")["keys"]
    node.album("network", "rotate", "kargah", "--no-wait")
    _until("the office names the new keys", lambda: len(_member(house.office, "kargah")["keys"]) == 2)
    _until("the node has heard of them", lambda: len(_member(node, "kargah")["keys"]) == 2)
    node.album("network", "rotate", "kargah", "--no-wait")
    assert not (node.identities / "kargah.next").exists()
    house.office.album("network", "revoke", "kargah", "--kid", old[0])
    assert _member(house.office, "kargah")["revoked"] == old


def test_a_suspended_institution_is_shut_out_within_a_minute_and_comes_back(house: House) -> None:
    """Its user on the hub is off, and every node holds the roster that says so."""
    node = house.nodes[0]
    house.office.album("network", "suspend", "kargah")
    assert _member(house.office, "kargah")["status"] == "suspended"
    with pytest.raises(RuntimeError, match="does not let us in"):
        node.album("network", "verify", "--json")
    house.office.album("network", "reinstate", "kargah")
    _until("the node is in again", lambda: _member(node, "kargah")["status"] == "active")
    rows = json.loads(node.album("network", "verify", "--json"))
    assert [row["fault"] for row in rows if row["fault"]] == []
