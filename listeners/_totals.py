"""Totals: counts of a log that go on over restarts, in one file of a store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import attrs

from hubwire.errors import ConfigurationError, StoreError
from hubwire.own_log import OwnLog
from hubwire.ports import KnowledgeStore, normalize_path

from ._methods import has_methods

__all__ = ("Totals", "TotalsFile")

_VERSION = 1
_log = OwnLog("metrics")


@attrs.frozen(kw_only=True)
class Totals:
    """What was counted up to an event."""

    hub: str
    seq: int
    """Of the last event that is counted."""
    names: tuple[tuple[str, str | None, str | None, int], ...] = ()
    """By kind, severity and outcome."""
    tokens: Mapping[str, int] = attrs.field(factory=dict)


class TotalsFile:
    """Where totals are kept. What cannot be read is not believed: it is reported, and counting begins anew."""

    def __init__(self, store: KnowledgeStore, path: str) -> None:
        if not has_methods(store, "read", "write"):
            kind = type(store).__name__
            raise ConfigurationError(
                f"totals of metrics are kept on a store, such as FileStore('./data'), not {kind:.80}"
            )
        self._store = store
        self._path = normalize_path(path)

    async def read(self) -> Totals | None:
        """Return what is kept; None if there is nothing, or what there is cannot be used."""
        try:
            text = await self._store.read(self._path)
            return None if text is None else _parsed(text)
        except (StoreError, ValueError, TypeError, KeyError, AttributeError) as error:
            _log.problem("totals of metrics cannot be read, and are counted anew", error, path=self._path)
            return None

    async def write(self, totals: Totals) -> None:
        """Replace what is kept. A store that fails is reported; the next write may succeed."""
        kept = json.dumps({"v": _VERSION, **attrs.asdict(totals)}, sort_keys=True)
        try:
            await self._store.write(self._path, f"{_digest(kept)} {kept}\n")
        except StoreError as error:
            _log.problem("totals of metrics cannot be written", error, path=self._path)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _parsed(text: str) -> Totals:
    digest, _, kept = text.rstrip("\n").partition(" ")
    if digest != _digest(kept):
        raise ValueError("the file is damaged: its digest is another one")
    fields = json.loads(kept)
    if (version := fields.pop("v")) != _VERSION:
        raise ValueError(f"the file has format {version}, and this version of hubwire reads {_VERSION}")
    names = tuple((kind, severity, outcome, int(number)) for kind, severity, outcome, number in fields.pop("names"))
    tokens: Any = {str(direction): int(number) for direction, number in fields.pop("tokens").items()}
    return Totals(hub=str(fields["hub"]), seq=int(fields["seq"]), names=names, tokens=tokens)
