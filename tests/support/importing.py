"""What the tests of imports share: one import inside the process, and what is in the store after it."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import anyio

from hubwire.cli.import_ import import_file
from hubwire.listeners.audit import AuditLog
from hubwire.stores import FileStore

__all__ = ("chat", "do_import", "parts_of", "records_of", "topics_of")

OURS = ("envelope.", "tool.", "model.", "turn.", "ag2.", "conversation.", "span.")


def do_import(file: Path, store: Path, **options: Any) -> dict[str, Any]:
    """Import a file; return the accounts, with the exit code as ``code`` and what was said besides as ``said``."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = import_file(str(file), str(store), as_json=True, **options)
    accounts: dict[str, Any] = json.loads(out.getvalue())
    return {**accounts, "code": code, "said": err.getvalue()}


def records_of(store: Path) -> list[dict[str, Any]]:
    """Return all records of the audit log."""

    async def read() -> list[dict[str, Any]]:
        return [record.fields async for record in AuditLog(FileStore(store)).read()]

    return anyio.run(read)


def parts_of(store: Path) -> list[dict[str, Any]]:
    """Return the events of what was said and done, in the order of the log."""
    return [record for record in records_of(store) if str(record.get("kind", "")).startswith(OURS)]


def topics_of(store: Path) -> dict[str, list[Any]]:
    """Return the texts of envelopes by the topics of their channels."""
    topics: dict[str, str] = {}
    said: dict[str, list[Any]] = {}
    for record in records_of(store):
        if record.get("kind") == "channel.created":
            topics[record["channel_id"]] = record["topic"]
        elif record.get("kind") == "envelope.posted":
            said.setdefault(topics[record["channel_id"]], []).append(record.get("content", {}).get("text"))
    return said


def chat(*texts: str, **fields: Any) -> dict[str, Any]:
    """Return a conversation, the user first."""
    return {
        "messages": [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(texts)],
        **fields,
    }
