"""Erasable contents of records that are pruned: they go with their records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hubwire.erasable import commitments_of, is_page
from hubwire.log import Log, LogReader
from hubwire.ports import KnowledgeStore
from hubwire.waking import Slices

from ._erasable import Erasing
from ._erasing import whole_fields

__all__ = ("OldContents", "page_of")

_SLICE_SECONDS = 0.002


def page_of(fields: Mapping[str, Any]) -> str | None:
    """Return the page that a record names; None if it names none as a log does."""
    match fields.get("$c"):
        case {"fields": list(), "page": str(page)} if is_page(page):
            return page
    return None


class OldContents:
    """Takes contents off the pages of one log that no record names any more."""

    def __init__(self, store: KnowledgeStore, log: Log, erasing: Erasing) -> None:
        self._store = store
        self._log = log
        self._erasing = erasing

    async def remove(self, pages: Sequence[str]) -> None:
        """Remove from these pages what no record of the log names, nor one that is about to be appended."""
        if not pages:
            return
        eraser = self._erasing.eraser
        assert eraser is not None
        await eraser.pages.seal()
        named: dict[str, set[str]] = {page: set() for page in pages}
        contents = self._erasing.contents
        pending = set() if contents is None else set(contents.pending)
        await self._log.append(())  # what was about to be appended then is found below, or is pending still
        slices, reader = Slices(_SLICE_SECONDS), LogReader(self._store, self._log.path)
        while records := await reader.read():
            for record in records:
                await slices.cut()
                whole = await whole_fields(self._store, self._log.path, record.body)
                for each in commitments_of(whole or {}):
                    if each.page in named:
                        named[each.page].add(each.digest)
        for page, digests in named.items():
            await eraser.pages.keep_only(page, digests, pending)
