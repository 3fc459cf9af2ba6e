"""What a program holds in its hands: agents, channels, inboxes, deliveries. Each is a name and a way to send commands.

``register``, ``open``, ``post`` and ``close`` also take ``source``, ``source_id`` and ``occurred_at``, for what comes
from elsewhere or happened before: they stand on every event of the command.
"""

from __future__ import annotations

from .agents import Agent, AgentCommands
from .channels import Channel, ChannelCommands
from .core import Core, new_id
from .inboxes import Delivery, Inbox

__all__ = ("Agent", "AgentCommands", "Channel", "ChannelCommands", "Core", "Delivery", "Inbox", "new_id")
