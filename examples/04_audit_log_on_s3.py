"""Lesson 4: an audit log on S3, or on another service with the same protocol.

Name a bucket, and keep the credentials in the environment::

    export AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=…
    python 04_audit_log_on_s3.py "s3://bucket/prefix?endpoint=http://127.0.0.1:9000&region=us-east-1"
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys

from hubwire import GenericEvent, Hub
from hubwire.errors import HubFailed
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import verify
from hubwire.stores import open_store

URL = sys.argv[1] if len(sys.argv) > 1 else os.environ["HUBWIRE_STORE"]


async def main() -> None:
    store = open_store(URL)
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        async with asyncio.TaskGroup() as tasks:
            for n in range(100):  # events emitted during a PUT share the next one
                tasks.create_task(hub.emit(GenericEvent(kind="page.read", data={"page": n})))
        print("committed:", hub.statistics().committed, "events")
    print("verified:", (await verify(store)).records, "records")

    logging.getLogger("hubwire.hub").disabled = True  # it would log what comes now, which is printed
    # Objects cannot be held, so a second hub is not kept out: it takes over, and the first one stops.
    first = Hub(open_store(URL))
    await first.start()
    async with Hub(open_store(URL)) as second:
        try:
            await first.emit(GenericEvent(kind="page.read", data={"page": -1}))
        except HubFailed as error:
            print("the first hub stopped:", type(error.__cause__).__name__)
        await second.emit(GenericEvent(kind="page.read", data={"page": 100}))


asyncio.run(main())
