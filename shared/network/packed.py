"""Parts joined so that no two lists of parts give the same bytes: what is signed can be read in one way only."""

_LENGTH = 4
_NUMBER = 8


def packed(*parts: str | int | bytes) -> bytes:
    """Join parts, each behind its length in 4 bytes: texts in UTF-8, numbers in 8 bytes, big endian.

    Raises ValueError for a number that is negative or has more than 64 bits.
    """
    return b"".join(len(one).to_bytes(_LENGTH, "big") + one for one in map(_bytes_of, parts))


def _bytes_of(part: str | int | bytes) -> bytes:
    if isinstance(part, bytes):
        return part
    if isinstance(part, str):
        return part.encode()
    try:
        return part.to_bytes(_NUMBER, "big")
    except OverflowError as error:
        raise ValueError(f"{part} is no number of 64 bits") from error


def unpacked(data: bytes, count: int) -> list[bytes]:
    """Take joined parts apart; raises ValueError unless there are exactly `count` of them and nothing else."""
    parts: list[bytes] = []
    at = 0
    for _ in range(count):
        begin = at + _LENGTH
        at = begin + int.from_bytes(data[at:begin], "big")
        if begin > len(data) or at > len(data):
            raise ValueError("a part ends behind the end of the data")
        parts.append(data[begin:at])
    if at != len(data):
        raise ValueError("there are bytes behind the last part")
    return parts
