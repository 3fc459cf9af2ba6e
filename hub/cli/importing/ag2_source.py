"""A store of AG2 as an input: a directory, as its disk store writes it, or the database of its SQLite store."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

from .decoding import NotJson, parse_json
from .packing import InputUnreadable
from .reading import Item, printable_name

__all__ = ("AG2Source", "is_ag2_store", "open_ag2_store")

_CHANNEL = re.compile(r"/channels/([^/]+)/(metadata\.json|wal\.jsonl)")
_PASSPORT = re.compile(r"/agents/([^/]+)/passport\.json")
_AUDIT = "/audit/audit.jsonl"
_SQLITE = b"SQLite format 3\0"


class Files(Protocol):
    """Texts by their paths."""

    def paths(self) -> list[str]: ...

    def read(self, path: str) -> bytes: ...


def is_ag2_store(path: str) -> bool:
    """Tell whether a path is a store of AG2's hub."""
    place = Path(path)
    try:
        if place.is_dir():
            return (
                any((place / name).is_dir() for name in ("channels", "agents"))
                or (place / "audit/audit.jsonl").is_file()
            )
        with place.open("rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE and "/" in "".join(_Database(place).paths())[:1]
    except (OSError, ValueError, sqlite3.Error):
        return False


@contextmanager
def open_ag2_store(path: str) -> Iterator[AG2Source]:
    """Open a store of AG2. Raises :class:`InputUnreadable`."""
    place = Path(path)
    try:
        files: Files = _Directory(place) if place.is_dir() else _Database(place)
        yield AG2Source(printable_name(path), files)
    except sqlite3.Error as error:
        raise InputUnreadable(f"{path} cannot be read as the database of a store of AG2: {error}") from error


class _Directory:
    def __init__(self, root: Path) -> None:
        self._root = root

    def paths(self) -> list[str]:
        found = (each for each in self._root.rglob("*") if each.is_file() and not each.is_symlink())
        return sorted(f"/{each.relative_to(self._root).as_posix()}" for each in found)

    def read(self, path: str) -> bytes:
        try:
            return (self._root / path[1:]).read_bytes()
        except OSError as error:
            raise InputUnreadable(f"{self._root}{path} cannot be read: {error.strerror}") from error


class _Database:
    def __init__(self, place: Path) -> None:
        self._url = f"{place.absolute().as_uri()}?mode=ro"

    def paths(self) -> list[str]:
        with closing(sqlite3.connect(self._url, uri=True)) as connection:
            return [str(path) for (path,) in connection.execute("SELECT path FROM entries ORDER BY path")]

    def read(self, path: str) -> bytes:
        with closing(sqlite3.connect(self._url, uri=True)) as connection:
            row = connection.execute("SELECT content FROM entries WHERE path = ?", (path,)).fetchone()
        content = b"" if row is None else row[0]
        return content.encode() if isinstance(content, str) else bytes(content)


class AG2Source:
    """The items of a store: a channel each, a record of the audit log each, and each other file."""

    def __init__(self, name: str, files: Files) -> None:
        self.name = name
        self.digest: str = ""
        self._files = files

    def items(self) -> Iterator[Item]:
        digest = hashlib.sha256()
        for number, (place, value) in enumerate(self._values()):
            raw = json.dumps(value, default=str).encode()
            digest.update(raw)
            yield Item(number, place, raw)
        self.digest = digest.hexdigest()

    def _values(self) -> Iterator[tuple[str, dict[str, Any]]]:
        paths = self._files.paths()
        names: dict[str, str] = {}
        channels: dict[str, None] = {}
        for path in paths:
            if (found := _PASSPORT.fullmatch(path)) and (name := self._name(path)):
                names[found[1]] = name
            if found := _CHANNEL.fullmatch(path):
                channels[found[1]] = None
        for channel in channels:
            yield f"channel {channel}", self._channel(channel, set(paths), names)
        for path in paths:
            if path == _AUDIT:
                for number, record in enumerate(self._lines(path)):
                    yield f"{path} line {number + 1}", {"record": record}
            elif not _CHANNEL.fullmatch(path):
                yield path, {"path": path, "content": self._content(path)}

    def _name(self, path: str) -> str | None:
        passport = self._content(path)
        name = passport.get("name") if isinstance(passport, dict) else None
        return name if isinstance(name, str) and name else None

    def _channel(self, channel: str, paths: set[str], names: dict[str, str]) -> dict[str, Any]:
        metadata, wal = f"/channels/{channel}/metadata.json", f"/channels/{channel}/wal.jsonl"
        envelopes = self._lines(wal) if wal in paths else []
        senders = {each.get("sender_id") for each in envelopes if isinstance(each, dict)}
        return {
            "channel": channel,
            "metadata": self._content(metadata) if metadata in paths else None,
            "names": {agent: name for agent, name in names.items() if agent in senders},
            "wal": envelopes,
        }

    def _lines(self, path: str) -> list[Any]:
        values = []
        for number, line in enumerate(self._files.read(path).split(b"\n")):
            if line.strip():
                try:
                    values.append(parse_json(line))
                except NotJson as error:
                    raise InputUnreadable(f"{self.name}{path}, line {number + 1}: {error}") from None
        return values

    def _content(self, path: str) -> Any:
        content = self._files.read(path)
        try:
            return parse_json(content)
        except NotJson:
            return content.decode(errors="backslashreplace")
