"""The commands of a hub, and the objects that a program uses: agents, channels, deliveries, tasks.

``register``, ``open``, ``post`` and ``close`` also take ``source``, ``source_id`` and ``occurred_at``, for what comes
from elsewhere or happened before: every event of the command carries them.
"""

from __future__ import annotations

from .acting import Acting
from .agents import Agent, AgentCommands
from .authorizer import Authorizer
from .channel import Channel
from .channels import ChannelCommands
from .core import Core, new_id
from .denials import Denials
from .emitting import Emitting
from .histories import ChannelEnding, History, HistoryEntry
from .inboxes import Delivery, Inbox
from .places import InboxCommands, InboxState, WaitingEnvelope
from .recall import Recall
from .recorded import ModelCall, RecordedTurn, ToolCall
from .tasks import Task, TaskCommands, TaskOutcome
from .timers import Timer, TimerCommands
from .topics import TopicCommands
from .turns import TurnCommands
from .verdicts import Verdicts
from .violations import ViolationHandlers

__all__ = (
    "Acting",
    "Agent",
    "AgentCommands",
    "Authorizer",
    "Channel",
    "ChannelCommands",
    "ChannelEnding",
    "Core",
    "Delivery",
    "Denials",
    "Emitting",
    "History",
    "HistoryEntry",
    "Inbox",
    "InboxCommands",
    "InboxState",
    "ModelCall",
    "Recall",
    "RecordedTurn",
    "Task",
    "TaskCommands",
    "TaskOutcome",
    "Timer",
    "TimerCommands",
    "ToolCall",
    "TopicCommands",
    "TurnCommands",
    "Verdicts",
    "ViolationHandlers",
    "WaitingEnvelope",
    "new_id",
)
