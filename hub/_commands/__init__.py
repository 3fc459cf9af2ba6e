"""What a program holds in its hands: agents, channels, deliveries, tasks. Each is a name and a way to send commands.

``register``, ``open``, ``post`` and ``close`` also take ``source``, ``source_id`` and ``occurred_at``, for what comes
from elsewhere or happened before: they stand on every event of the command.
"""

from __future__ import annotations

from .agents import Agent, AgentCommands
from .approvals import ApprovalCommands
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
    "Inbox",
    "Task",
    "TaskCommands",
    "TurnCommands",
    "Verdicts",
    "new_id",
)
