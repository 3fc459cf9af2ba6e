"""What a hub keeps beside its journal: a small file for each name, replaced as a whole, checked before it is believed.

The path is ``<journal>/beside/<name>-<epoch>``. The epoch is the number of the record with which a writer began: of
each name, the file of the newest epoch counts. An object store holds no lock, so a writer that was replaced may write
once more before it learns of that: under its own epoch, where the file does not count any more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from ..errors import ConfigurationError, InvalidRecord, LogDamaged
from ..ports import KnowledgeStore
from .sealed import seal, unseal

__all__ = ("Beside",)

VERSION = 1

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_FILE_NAME = re.compile(r"([a-z][a-z0-9_]{0,63})-(\d{1,19})")


class Beside:
    """The files beside one journal, for its one writer."""

    def __init__(self, store: KnowledgeStore, path: str) -> None:
        self.path: str = f"{path}/beside"
        self._store = store
        self._epochs: dict[str, list[int]] | None = None
        """The epochs of the files that there are of each name, ascending; None before they are listed."""

    async def load(self) -> Mapping[str, bytes]:
        """Return what is kept, by name; only read it.

        Raises :class:`~hubwire.errors.LogDamaged` if a file is damaged, or is missing although another one names it,
        and :class:`~hubwire.errors.NewerVersion`.
        """
        self._epochs = all_epochs = await self._list()
        kept: dict[str, bytes] = {}
        named: dict[str, str] = {}
        for name, epochs in all_epochs.items():
            path = self._file(name, epochs[-1])
            content = await self._store.read_bytes(path)
            try:
                fields, body = unseal(content or b"", path=path, version=VERSION)
                _check_is(fields, name, epochs[-1])
            except InvalidRecord as error:
                raise self._damaged(f"{path} is damaged: {error}", path) from error
            named |= dict.fromkeys(fields.get("beside", ()), path)
            if not fields.get("is_absent"):
                kept[name] = body
        for name in sorted(named.keys() - all_epochs.keys()):
            raise self._damaged(f"{self.path}/{name}-… is missing, which {named[name]} names", self.path)
        return kept

    async def _list(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for file_name in await self._store.list(self.path):
            if match := _FILE_NAME.fullmatch(file_name):
                found.setdefault(match[1], []).append(int(match[2]))
        return {name: sorted(epochs) for name, epochs in found.items()}

    def _damaged(self, what: str, path: str) -> LogDamaged:
        return LogDamaged(
            f"{what}. Nothing was changed. Restore the whole journal from one copy; or move {self.path} away: the"
            " hub then starts from the journal and the snapshots alone, and each DURABLE listener begins where its"
            " since=... says",
            path=path,
        )

    async def keep(self, name: str, content: bytes | None, epoch: int) -> None:
        """Replace what is kept under the name; ``None``: it is kept no longer."""
        if not _NAME.fullmatch(name):
            raise ConfigurationError(f"{name[:40]!r} cannot name what is kept: use up to 64 of a-z, 0-9 and _")
        if self._epochs is None:
            self._epochs = await self._list()
        others = sorted(self._epochs.keys() - {name})
        header = {"version": VERSION, "name": name, "epoch": epoch, "beside": others, "is_absent": content is None}
        await self._store.write(self._file(name, epoch), seal(msgspec.json.encode(header), content or b""))
        epochs = self._epochs.setdefault(name, [])
        if epoch not in epochs:
            epochs.append(epoch)
        while epochs[0] < epoch:
            await self._store.delete(self._file(name, epochs[0]))
            epochs.pop(0)

    def _file(self, name: str, epoch: int) -> str:
        return f"{self.path}/{name}-{epoch}"


def _check_is(fields: Mapping[str, object], name: str, epoch: int) -> None:
    if (fields.get("name"), fields.get("epoch")) != (name, epoch):
        raise InvalidRecord(f"it is {fields.get('name')!r} of epoch {fields.get('epoch')}")
