"""Logs of hubs, as the one that is graded and as the one it is compared with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import attrs

from hubwire.listeners.audit import Outcome, examine

from ...grading import Deed, deeds_of
from ...ports import KnowledgeStore
from ...query import query
from ..failures import CommandFailed
from ..target import JOURNAL, READING_SECONDS, find_log, open_target

__all__ = ("as_told", "read_deeds")


async def read_deeds(target: str, log: str | None) -> tuple[str, list[Deed]]:
    """Return which log there is at a target, and what it says was done.

    Raises :class:`~hubwire.cli.failures.CommandFailed` and :class:`~hubwire.errors.HubError`.
    """
    store = open_target(target, READING_SECONDS)
    try:
        path = await find_log(store, log, target)
        await _check(store, path)
        deeds: list[Deed] = []
        async for fields in _records(store, path):
            deeds += deeds_of([fields])
        return path, deeds
    finally:
        await store.aclose()


async def _check(store: KnowledgeStore, path: str) -> None:
    """Refuse an audit log that is not as it was written: what it says of a run would be no grade of it."""
    if path == JOURNAL:
        return
    found = (await examine(store, path)).verdicts["integrity"]
    if found.outcome is Outcome.FAILS:
        raise CommandFailed(f"{found.faults[0]}; hubwire verify says more")


async def _records(store: KnowledgeStore, path: str) -> AsyncIterator[dict[str, Any]]:
    async for found in query(store, path, call="grade"):
        fields = found.fields
        if "seq" not in fields:
            fields["index"] = found.index
        yield fields


def as_told(deeds: list[Deed]) -> list[Deed]:
    """Return the deeds of a log as those of a record that another is compared with: each message once.

    What a model was asked, and what a turn began or ended with, are no messages of their own where others say them.
    """
    said = {"envelope.posted", "model.completed"}
    has_words = any(deed.what == "message" and deed.by in said for deed in deeds)
    return [
        attrs.evolve(deed, by="") if deed.what == "message" else deed
        for deed in deeds
        if deed.what != "message" or deed.by in said or (not has_words and deed.by != "model.called")
    ]
