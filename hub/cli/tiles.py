"""``hubwire tiles``: a signed log as the files that C2SP has for it, in a directory for any server of static files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import anyio

from hubwire.listeners import audit

from ..errors import CheckpointInvalid, HashesMissing
from ..proof import Checkpoint, Note
from .failures import CommandFailed
from .output import escape, plural, say
from .target import AUDIT, find_log, open_target

__all__ = ("tiles",)

_TOGETHER = 64
_NOTE_BYTES_MAX = 65_536


def tiles(target: str, directory: str, *, log: str | None) -> None:
    """Write what has changed since the last time."""
    place = Path(directory)
    try:
        place.mkdir(parents=True, exist_ok=True)
        since = _checkpoint_in(place)
    except OSError as error:
        raise CommandFailed(f"{directory} cannot be written ({error.strerror}); name a directory") from error
    anyio.run(_export, target, place, since, log)


def _checkpoint_in(place: Path) -> Checkpoint | None:
    """Return the checkpoint up to which the tiles were written before; None in an empty directory."""
    file = place / "checkpoint"
    if not file.exists():
        if any(each.name != "tile" for each in place.iterdir()):
            raise CommandFailed(f"{place} has other files than tiles in it; name an empty directory, or a new one")
        return None
    with file.open("rb") as opened:
        content = opened.read(_NOTE_BYTES_MAX)
    try:
        return Checkpoint.parse(Note.parse(content).text)
    except CheckpointInvalid as error:
        raise CommandFailed(f"{file} is damaged: {error}. Remove it, and all tiles are written anew") from error


async def _export(target: str, place: Path, since: Checkpoint | None, log: str | None) -> None:
    store = open_target(target)
    try:
        path = await find_log(store, log or AUDIT, target)
        writing = _Writing(place)
        try:
            async for name, content in audit.tiles(store, path=path, since=since):
                await writing.add(name, content)
        except HashesMissing:
            if since is None:
                raise
            writing = _Writing(place)
            async for name, content in audit.tiles(store, path=path, since=since, whole=True):
                await writing.add(name, content)
        await writing.finish()
    finally:
        await store.aclose()
    size = 0 if writing.checkpoint is None else writing.checkpoint.size
    say(escape(f"{path} is in {place} up to record {size}: {plural(writing.files, 'file')} written"))


class _Writing:
    """Writes files below a directory, each synced before the checkpoint."""

    def __init__(self, place: Path) -> None:
        self.files: int = 0
        self.checkpoint: Checkpoint | None = None
        self._place = place
        self._waiting: list[tuple[str, bytes]] = []

    async def add(self, name: str, content: bytes) -> None:
        """Write a file, some time before those that come later."""
        if name == "checkpoint":
            self.checkpoint = Checkpoint.parse(Note.parse(content).text)
        self._waiting.append((name, content))
        if len(self._waiting) == _TOGETHER:
            await self.finish()

    async def finish(self) -> None:
        """Write what waits."""
        waiting, self._waiting = self._waiting, []
        await anyio.to_thread.run_sync(_write, self._place, waiting)
        self.files += len(waiting)


def _write(place: Path, files: Iterable[tuple[str, bytes]]) -> None:
    for name, content in files:
        file = place / name
        part = file.with_name(f"{file.name}.part")
        file.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        part.replace(file)
        if name != "checkpoint" and file.parent.suffix != ".p":
            shutil.rmtree(file.with_name(f"{file.name}.p"), ignore_errors=True)  # the full tile has all of them
