"""Records with contents that can be erased, and where these are."""

from __future__ import annotations

from typing import Any

from hubwire.ports import KnowledgeStore

__all__ = ("SECRET", "bytes_of", "only_page", "record")

SECRET = "the patient has a cold"


def record(number: int = 0, **fields: Any) -> dict[str, Any]:
    """A note with a content that can be erased."""
    return {"at": "now", "kind": "note.taken", "agent_id": f"agent-{number % 2}", "content": {"text": SECRET}, **fields}


async def bytes_of(store: KnowledgeStore, path: str = "/") -> bytes:
    """Return all bytes of all files of a store."""
    found = b""
    for name in await store.list(path):
        below = f"{path.rstrip('/')}/{name.rstrip('/')}"
        found += await bytes_of(store, below) if name.endswith("/") else await store.read_bytes(below) or b""
    return found


async def only_page(store: KnowledgeStore) -> str:
    """Return the path of the one page of erasable contents."""
    (name,) = await store.list("/audit/erasable")
    return f"/audit/erasable/{name}"
