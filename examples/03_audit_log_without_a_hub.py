"""Lesson 3: an append-only, chained log of your own records, and a subscriber that gets them live."""

from __future__ import annotations

import asyncio
from typing import Any

from hubwire.listeners import AuditLog
from hubwire.listeners.audit import verify
from hubwire.stores import MemoryStore


async def hear(record: dict[str, Any]) -> None:
    print("live:", record["kind"])


async def main() -> None:
    store = MemoryStore()
    async with AuditLog(store) as log:
        log.subscribe(hear)
        await log.append({"kind": "review.requested", "document": 7})
        await log.append({"kind": "review.done", "document": 7, "score": float("nan")})
    for record in await log.read_all():
        print("read:", {name: value for name, value in record.items() if name != "at"})
    print("whole:", (await verify(store)).records, "records")


asyncio.run(main())
