"""Bytes of an exported file to characters, whatever German course software wrote them."""

import codecs
import re
from typing import BinaryIO, Final

HEAD_BYTES: Final = 65_536
_BOMS: Final = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_DECLARED: Final = re.compile(rb"""^\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
_CODECS: Final = {
    "utf-8": "utf-8",
    "ascii": "utf-8",
    # What calls itself Latin-1 on Windows is windows-1252, which holds the dash, the quotes and the euro sign.
    "iso8859-1": "cp1252",
    "cp1252": "cp1252",
    "iso8859-15": "iso8859-15",
}
_CONTROLS: Final = dict.fromkeys(set(range(32)) - {9, 10, 13})


class UnreadableFileError(ValueError):
    """A file that cannot be read on; its text is a sentence for the person who sent it."""


class Characters:
    """A stream of text over a stream of bytes, never more than `most_bytes` of them.

    A byte order mark decides, then the XML declaration, then whether the beginning is UTF-8; otherwise windows-1252.
    Control characters, which XML does not allow and word processors leave behind, are dropped.
    """

    def __init__(self, stream: BinaryIO, most_bytes: int) -> None:
        self._stream = stream
        self._left = self._most_bytes = most_bytes
        self._head: bytes | None = None
        self._decoder: codecs.IncrementalDecoder | None = None

    def read(self, size: int = 16_384) -> str:
        """Give the next characters, about `size` of them; an empty text is the end."""
        if self._decoder is None:
            self._begin()
        while raw := self._next(size):
            if text := self._decode(raw):
                return text
        return self._decode(b"", final=True)

    def _begin(self) -> None:
        head = b""
        while len(head) < HEAD_BYTES and (more := self._take(HEAD_BYTES - len(head))):
            head += more
        self._head = head
        self._decoder = codecs.getincrementaldecoder(encoding_of(head))(_WINDOWS_1252_INSTEAD)

    def _next(self, size: int) -> bytes:
        if self._head:
            piece, self._head = self._head[:size], self._head[size:]
            return piece
        return self._take(size)

    def _take(self, size: int) -> bytes:
        piece = self._stream.read(size)
        self._left -= len(piece)
        if self._left < 0:
            raise UnreadableFileError(f"The file is larger than {self._most_bytes:,} bytes, the most that is read.")
        return piece

    def _decode(self, raw: bytes, final: bool = False) -> str:
        assert self._decoder is not None  # noqa: S101 - read() begins before it decodes
        return self._decoder.decode(raw, final).translate(_CONTROLS)


def encoding_of(head: bytes) -> str:
    """Name the Python codec for a file that begins with `head`; raises UnreadableFileError for an unusual one."""
    for mark, codec in _BOMS:
        if head.startswith(mark):
            return codec
    declared = _DECLARED.match(head)
    if declared is None:
        return "utf-8" if _is_utf8(head) else "cp1252"
    codec = _CODECS.get(_codec_name(declared.group(1).decode("ascii")), "")
    if not codec:
        raise UnreadableFileError(
            f"The file says it is written in {declared.group(1).decode('ascii')}; only UTF-8 and windows-1252 are read."
        )
    # Some exports say UTF-8 and are not: the bytes are believed before the label.
    return "cp1252" if codec == "utf-8" and not _is_utf8(head) else codec


def _codec_name(label: str) -> str:
    try:
        return codecs.lookup(label).name
    except LookupError:
        return ""


def _is_utf8(head: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True


def _windows_1252_instead(error: UnicodeError) -> tuple[str, int]:
    """Read bytes that are not UTF-8 as windows-1252: old rows live on in databases that have moved to UTF-8."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    wrong = error.object[error.start : error.end]
    return bytes(wrong).decode("cp1252", "replace") if error.encoding == "utf-8" else "\ufffd", error.end


_WINDOWS_1252_INSTEAD: Final = "album-windows-1252-instead"
codecs.register_error(_WINDOWS_1252_INSTEAD, _windows_1252_instead)
