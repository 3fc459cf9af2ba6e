"""How the hooks of BaseHubListener may be annotated. Mypy checks this file, and refuses an ignore without need."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("ag2", reason="needs ag2, which the test extra installs")

from ag2.knowledge import MemoryKnowledgeStore
from ag2.network import Hub

from hubwire import BaseHubListener
from hubwire.listener import ChannelView, EnvelopeView, RemoteError


class WithViews(BaseHubListener):
    def __init__(self) -> None:
        self.kinds: list[str] = []

    async def on_envelope_posted(self, envelope: EnvelopeView, metadata: ChannelView) -> None:
        self.kinds.append(envelope.event_type)

    async def on_envelope_rejected(self, envelope: EnvelopeView, reason: RemoteError) -> None:
        self.kinds.append(reason.type)


class ForBothHubs(BaseHubListener):
    async def on_envelope_posted(self, envelope: Any, metadata: Any) -> None:
        self.kind = envelope.event_type


class Wrong(BaseHubListener):
    async def on_envelope_posted(self, envelope: str, metadata: Any) -> None:  # type: ignore[override]
        pass


ENVELOPE = EnvelopeView(
    envelope_id="e",
    channel_id="c",
    sender_id="a",
    audience=None,
    event_type="envelope.posted",
    event_data=None,
    causation_id=None,
    created_at="t",
)


async def test_hooks_are_annotated_with_views() -> None:
    listener = WithViews()
    await listener.on_envelope_posted(ENVELOPE, ChannelView(channel_id="c"))
    await listener.on_envelope_rejected(ENVELOPE, RemoteError("ValueError", "no"))
    assert listener.kinds == ["envelope.posted", "ValueError"]


def test_a_listener_for_both_hubs_annotates_any() -> None:
    """AG2's port is a protocol: mypy compares every hook with it, the inherited ones too."""
    hub = Hub(MemoryKnowledgeStore())
    hub.register_listener(ForBothHubs())
    hub.register_listener(WithViews())  # type: ignore[arg-type]  # AG2 passes no views
