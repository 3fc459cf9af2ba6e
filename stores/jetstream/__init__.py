"""A hub's journal on NATS JetStream: any of several machines may go on with it. Extra ``nats``.

.. code-block:: python

    journal = JetStreamJournal("nats://n1,nats://n2,nats://n3", "acme", store=open_store("s3://bucket/hubs"))
    async with Hub(journal=journal) as hub:
        ...

Many programs may name the same journal: who opens it last writes it, and the one before is refused at its next append,
with :class:`~hubwire.errors.Fenced`. That is decided by the servers, in each append, and by no clock.
"""

from __future__ import annotations

from ._link import JetStreamLink
from ._servers import JetStreamServers
from .journal import JetStreamJournal

__all__ = ("JetStreamJournal", "JetStreamLink", "JetStreamServers")
