"""What an input is packed in: gzip, Zstandard, UTF-16 or UTF-32. Read here, it is plain UTF-8."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import IO, Any

from ..failures import CommandFailed

__all__ = ("InputUnreadable", "damage_is_reported", "unpacked")

_PIECE_BYTES = 256 * 1024
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Byte order marks; that of UTF-32 begins like that of UTF-16."""
_FOREIGN = {
    b"SQLite format 3\0": "an SQLite database, and not one of a store of AG2: export its messages as JSON",
    b"PK\x03\x04": "a zip archive: unpack it, and import the files in it",
    b"PAR1": "a Parquet file: write it as JSON Lines",
    b"BZh": "compressed by bzip2: unpack it with bunzip2",
    b"\xfd7zXZ\0": "compressed by xz: unpack it with unxz",
    b"\x89PNG": "a picture",
    b"%PDF": "a PDF document",
}


class InputUnreadable(CommandFailed):
    """The input as a whole cannot be read: it is not JSON, cut off, or missing."""


@contextmanager
def damage_is_reported(name: str) -> Iterator[None]:
    """Report what is wrong with the packing of an input as :class:`InputUnreadable`."""
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputUnreadable(f"{name} is damaged or cut off: {error}") from error
    except UnicodeDecodeError as error:
        raise InputUnreadable(
            f"{name} is damaged or cut off: it begins as {error.encoding}, and byte {error.start:,} of a piece is not"
        ) from error


def unpacked(file: IO[bytes], name: str) -> IO[bytes]:
    """Return a file from its beginning, as plain UTF-8 without a byte order mark. It is read once, forwards."""
    file.seek(0)
    head = file.read(16)
    file.seek(0)
    plain: _Pieces = _Frames(file, name) if head.startswith(_ZSTD) else _Unowned(file)
    if head.startswith(_GZIP):
        plain = _Unowned(gzip.GzipFile(fileobj=file))
    peeking = io.BufferedReader(plain, _PIECE_BYTES)
    head = peeking.peek(16)[:16]
    for magic, what in _FOREIGN.items():
        if head.startswith(magic):
            raise InputUnreadable(f"{name} is no text but {what}")
    encoding = next((encoding for mark, encoding in _MARKS.items() if head.startswith(mark)), None)
    if encoding is None:
        return peeking
    return io.BufferedReader(_Transcoded(peeking, encoding), _PIECE_BYTES)


class _Pieces(io.RawIOBase):
    """What is read piece by piece; :meth:`_piece` returns the next, empty at the end."""

    def __init__(self) -> None:
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = memoryview(self._piece())
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def _piece(self) -> bytes:
        raise NotImplementedError


class _Unowned(_Pieces):
    """A file that stays open when a reader of it is closed: it is read again, from its beginning."""

    def __init__(self, file: IO[bytes] | gzip.GzipFile) -> None:
        super().__init__()
        self._file = file

    def _piece(self) -> bytes:
        return self._file.read(_PIECE_BYTES)


class _Transcoded(_Pieces):
    """Text of another encoding as UTF-8. A lone surrogate stays one, as an escape of JSON would."""

    def __init__(self, file: IO[bytes], encoding: str) -> None:
        super().__init__()
        self._file = file
        self._decoder = codecs.getincrementaldecoder(encoding)()

    def _piece(self) -> bytes:
        while content := self._file.read(_PIECE_BYTES):
            if piece := self._decoder.decode(content):
                return piece.encode()
        return self._decoder.decode(b"", final=True).encode()


class _Frames(_Pieces):
    """The frames of a file compressed by Zstandard, one after the other; one that is cut off is reported."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        super().__init__()
        self._file = file
        self._name = name
        self._begin, self._errors = _zstd(name)
        self._frame: Any = None
        self._ahead = b""

    def _piece(self) -> bytes:
        while True:
            content = self._ahead or self._file.read(_PIECE_BYTES)
            self._ahead = b""
            if not content:
                if self._frame is not None:
                    raise EOFError("its last frame has no end")
                return b""
            if self._frame is None:
                self._frame = self._begin()
            try:
                piece: bytes = self._frame.decompress(content)
            except self._errors as error:
                raise EOFError(error) from error
            if self._frame.eof:
                self._ahead, self._frame = self._frame.unused_data, None
            if piece:
                return piece


def _zstd(name: str) -> tuple[Any, Any]:
    """Return what begins a frame, and what it raises."""
    for module in ("compression.zstd", "zstandard"):
        try:
            library: Any = import_module(module)
        except ImportError:
            continue
        return (library.ZstdDecompressor if module != "zstandard" else _begin), library.ZstdError
    raise InputUnreadable(f"{name} is compressed by Zstandard, which needs Python 3.14 or: pip install 'hubwire[zstd]'")


def _begin() -> Any:
    library: Any = import_module("zstandard")
    return library.ZstdDecompressor().decompressobj()
