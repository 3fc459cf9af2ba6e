"""The commands of a hub, and the objects that a program uses: agents, channels, deliveries, tasks.

``register``, ``open``, ``post`` and ``close`` also take ``source``, ``source_id`` and ``occurred_at``, for what comes
from elsewhere or happened before: every event of the command carries them.
"""

from __future__ import annotations

from .agents import Agent, AgentCommands
from .approvals import ApprovalCommands, Gated
from .authorizer import Authorizer
from .channels import Channel, ChannelCommands
from .core import Core, new_id
from .inboxes import Delivery, Inbox
from .tasks import Task, TaskCommands
from .turns import TurnCommands
from .verdicts import Verdicts

__all__ = (
    "Agent",
    "AgentCommands",
    "ApprovalCommands",
    "Authorizer",
    "Channel",
    "ChannelCommands",
    "Core",
    "Delivery",
    "Gated",
    "Inbox",
    "Task",
    "TaskCommands",
    "TurnCommands",
    "Verdicts",
    "new_id",
)
