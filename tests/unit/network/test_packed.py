"""Packing is read in one way only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.network.packed import packed, unpacked


def test_the_example_of_the_protocol_holds() -> None:
    """Text and number are packed as docs/protocol.md writes it."""
    assert packed("album/1", 1).hex() == "00000007616c62756d2f31000000080000000000000001"


@given(st.lists(st.binary(max_size=50), max_size=8))
def test_what_is_packed_comes_back(parts: list[bytes]) -> None:
    """Unpacking gives the parts, however many and whatever they hold."""
    assert unpacked(packed(*parts), len(parts)) == parts


@given(st.lists(st.binary(max_size=5), max_size=4), st.lists(st.binary(max_size=5), max_size=4))
def test_two_lists_of_parts_never_pack_alike(one: list[bytes], other: list[bytes]) -> None:
    """Different parts give different bytes; plain joining would not (the control)."""
    assert (packed(*one) == packed(*other)) is (one == other)
    assert b"".join([b"ab", b"c"]) == b"".join([b"a", b"bc"])


@pytest.mark.parametrize(
    ("data", "count"),
    [(b"\0\0\0", 1), (b"\0\0\0\x05ab", 1), (b"\0\0\0\x01a\0", 1), (b"\xff\xff\xff\xff", 1), (b"", 1), (b"\0\0\0\0", 0)],
)
def test_what_is_not_packed_is_refused(data: bytes, count: int) -> None:
    """Bytes that end early, go on, or claim more than there is are refused."""
    with pytest.raises(ValueError, match="part"):
        unpacked(data, count)


@pytest.mark.parametrize("number", [-1, 2**64])
def test_a_number_has_64_bits(number: int) -> None:
    """Numbers that do not fit are refused instead of cut."""
    with pytest.raises(ValueError, match="64 bits"):
        packed(number)
