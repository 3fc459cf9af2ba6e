"""What is taken of each file of a spool, kept in the directory itself."""

from __future__ import annotations

import os
import secrets
import threading
from typing import Any

from .. import codec
from ..errors import InvalidRecord, LogDamaged
from ._files import sync_directory
from ._lines import TAKEN, stream_of

__all__ = ("Marks",)

_VERSION = 1


class Marks:
    """How many lines of each file a hub has committed. Its methods may be called in any thread."""

    def __init__(self, directory: str, id_: str, taken: dict[str, int], kept: set[str]) -> None:
        self.id: str = id_
        """Of the directory, also when it is moved."""
        self._directory = directory
        self._losses = 0
        self._taken = taken
        self._kept = kept
        self._lock = threading.Lock()
        self._saving = threading.Lock()
        self._changes = 0
        self._saved = 0

    @classmethod
    def load(cls, directory: str) -> Marks:
        """Read the marks, or begin them. Raises :class:`~hubwire.errors.LogDamaged`, and ``OSError``."""
        path = f"{directory}/{TAKEN}"
        try:
            with open(path, "rb") as file:  # noqa: PTH123
                content = file.read()
        except FileNotFoundError:
            marks = cls(directory, secrets.token_hex(8), {}, set())
            marks._changes = 1
            return marks
        try:
            fields = codec.decode_marker(content)
        except InvalidRecord as error:
            raise LogDamaged(
                f"{path}: {error}; it says what is taken of the spool. Put back a copy of it, or remove it, and all"
                " that is in the spool is taken once more"
            ) from error
        if fields["v"] != _VERSION:
            raise LogDamaged(
                f"{path} has version {fields['v']}; this hubwire reads version {_VERSION}: use a newer one"
            )
        marks = cls(directory, *_read(path, fields))
        marks._losses = losses if type(losses := fields.get("losses")) is int else 0
        return marks

    def join(self, other: Marks) -> Marks:
        """Return these marks with what others of the same directory say, which may not have been saved."""
        if self._changes and not self._saved and not self._taken:  # there were none on the disk
            return other
        if self.id == other.id:
            with other._lock:
                taken, kept, losses = dict(other._taken), set(other._kept), other._losses
            for name, place in taken.items():
                self.take(name, place, keep=name in kept)
            self.take_losses(losses)
        return self

    def __len__(self) -> int:
        return len(self._taken)

    def taken(self, name: str) -> int:
        """Return how many lines of a file are taken."""
        with self._lock:
            return self._taken.get(name, 0)

    @property
    def losses(self) -> int:
        """How many of the events that are counted beside the spool a hub was told of."""
        with self._lock:
            return self._losses

    @property
    def kept(self) -> int:
        """How many files have lines that are not taken, and are still in their place."""
        with self._lock:
            return len(self._kept)

    def has_kept(self, name: str) -> bool:
        """Tell whether a file has lines that are not taken, and so is never deleted."""
        return name in self._kept

    def take(self, name: str, place: int, *, keep: bool = False) -> None:
        """Note that a file is taken up to this line, and with ``keep``, that this line is not."""
        with self._lock:
            if keep and name not in self._kept:
                self._kept.add(name)
                self._changes += 1
            if self._taken.get(name, 0) < place:
                self._taken[name] = place
                self._changes += 1

    def take_losses(self, losses: int) -> None:
        """Note that a hub was told of so many events that are counted beside the spool; 0: of a new count."""
        with self._lock:
            if losses == 0 or losses > self._losses:
                self._changes += losses != self._losses
                self._losses = losses

    def forget(self, name: str) -> None:
        """Note that a file is gone for good."""
        with self._lock:
            self._kept.discard(name)
            if self._taken.pop(name, None) is not None:
                self._changes += 1

    def forget_missing(self) -> None:
        """Forget files that are gone."""
        with self._lock:
            names = list(self._taken)
        for name in [name for name in names if not os.path.lexists(f"{self._directory}/{name}")]:
            self.forget(name)

    def save(self) -> None:
        """Write the marks, if they have changed, so that they survive the loss of power. Raises ``OSError``."""
        with self._saving:
            with self._lock:
                changes = self._changes
                if changes == self._saved:
                    return
                fields: dict[str, Any] = {
                    "id": self.id,
                    "taken": dict(sorted(self._taken.items())),
                    "kept": sorted(self._kept),
                }
                if self._losses:
                    fields["losses"] = self._losses
            content = codec.encode_marker(fields, version=_VERSION)
            path = f"{self._directory}/{TAKEN}"
            with open(f"{path}.new", "wb") as file:  # noqa: PTH123
                os.fchmod(file.fileno(), 0o600)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(f"{path}.new", path)  # noqa: PTH105
            sync_directory(self._directory)
            self._saved = changes


def _read(path: str, fields: dict[str, Any]) -> tuple[str, dict[str, int], set[str]]:
    """Return what the file says, if it is what a drain writes."""
    id_, taken, kept = fields.get("id"), fields.get("taken"), fields.get("kept")
    if type(id_) is str and type(taken) is dict and type(kept) is list:
        names = [*taken, *kept]
        if all(type(name) is str and stream_of(name) for name in names) and all(
            type(place) is int for place in taken.values()
        ):
            return id_, taken, set(kept)
    raise LogDamaged(f"{path} holds no marks of a spool; remove it, and all that is in the spool is taken once more")
