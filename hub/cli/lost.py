"""``/lost``: where a repair puts what it takes away, and what it set out to do, so that it is finished if it is killed.

``/lost/<time>/repair.json`` is there before a repair makes a change, and says so when all of it is done.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

import attrs

from .. import codec
from ..errors import InvalidRecord
from ..ports import KnowledgeStore
from .copying import files_below

__all__ = ("FOLDER", "Intention", "Lost", "begun_before", "unfinished")

FOLDER = "/lost"
_FILE = "repair.json"
_VERSION = 1


@attrs.frozen(kw_only=True)
class Intention:
    """What a repair set out to do."""

    at: str
    """When it began."""
    action: str
    name: str | None = None
    """The listener that it concerns."""
    log: str | None = None
    logs: Sequence[str] = ()
    """Those that get a record of it."""
    ends: Mapping[str, int] = attrs.field(factory=dict)
    """The records before which logs are cut."""
    is_done: bool = False

    @property
    def words(self) -> str:
        """The action and what it concerns, as on the command line."""
        words = [self.action] if self.name is None else [self.action, self.name]
        return shlex.join(words if self.log is None else [*words, "--log", self.log])


class Lost:
    """The folder of one repair."""

    def __init__(self, store: KnowledgeStore, at: str) -> None:
        self.path: str = f"{FOLDER}/{at.replace(':', '')}"
        self._store = store

    async def note(self, intention: Intention) -> None:
        """Write down what is to be done, or that it is."""
        content = codec.encode_marker(attrs.asdict(intention), version=_VERSION)
        await self._store.write(f"{self.path}/{_FILE}", content)

    async def copy_below(self, path: str) -> None:
        """Copy all files below a path."""
        async for each in files_below(self._store, path):
            await self.copy(each)

    async def copy(self, path: str, start: int = 0) -> None:
        """Copy a file, from some byte on; the copy is there when this returns. No earlier copy is replaced."""
        content = await self._store.read_bytes(path, start)
        if content is not None:
            await self.put(path, content, start)

    async def put(self, path: str, content: bytes, start: int = 0) -> None:
        """Write what is taken out of a file, from some byte on; it is there when this returns."""
        to, number = self._copy_of(path, start), 1
        while (there := await self._store.read_bytes(to)) is not None:
            if there == content:
                return
            number += 1
            to = f"{self._copy_of(path, start)}-{number}"
        await self._store.write(to, content, if_absent=True)

    async def differs_from(self, path: str) -> bool:
        """Tell whether a file is another one than when it was copied; one that was not copied is not."""
        content, copy = await self._store.read_bytes(path), await self._store.read_bytes(self._copy_of(path, 0))
        return None not in (content, copy) and content != copy

    def _copy_of(self, path: str, start: int) -> str:
        return f"{self.path}{path}.lost" if start == 0 else f"{self.path}{path}.from-{start}.lost"


async def begun_before(store: KnowledgeStore, wanted: Intention) -> Intention | None:
    """Return the same repair, if it was begun and did not come to its end."""
    same = [each for each in await unfinished(store) if each.words == wanted.words]
    return same[-1] if same else None


async def unfinished(store: KnowledgeStore) -> list[Intention]:
    """Return what repairs set out to do and did not finish, the oldest first."""
    found: list[Intention] = []
    for folder in sorted(await store.list(FOLDER)):
        content = await store.read_bytes(f"{FOLDER}/{folder.rstrip('/')}/{_FILE}")
        if content is None:
            continue
        try:
            fields = codec.decode_marker(content)
            fields.pop("v")
            intention = Intention(**fields)
        except (InvalidRecord, TypeError):
            continue  # what was taken away is there all the same
        if not intention.is_done:
            found.append(intention)
    return found
