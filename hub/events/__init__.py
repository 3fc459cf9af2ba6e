"""The kinds of events: one frozen class per kind, one file per domain."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._canonical import FrozenDict, canonical
from ._declare import event, kind_class
from ._event import Event, GenericEvent, UnknownEvent, evolve
from ._late import LATE_NAMES
from ._severity import Outcome, Severity
from .actors import ActorCrashed, ActorStarted, ActorStateSet, ActorStopped, GroupCrashed, GroupStopped
from .agents import (
    AgentObserved,
    AgentRegistered,
    AgentResumeSet,
    AgentRuleSet,
    AgentSkillSet,
    AgentSwitched,
    AgentUnregistered,
)
from .approvals import (
    ApprovalApproved,
    ApprovalApproverFailed,
    ApprovalChallengeCompleted,
    ApprovalChallengeIssued,
    ApprovalDenied,
    ApprovalEscalated,
    ApprovalExpired,
    ApprovalIncidentRecorded,
    ApprovalReferred,
    ApprovalReminded,
    ApprovalRequested,
    ApprovalReturned,
    ApprovalRiskScored,
    ApprovalTrustComputed,
    ApprovalTrustRestored,
    ApprovalTrustRevoked,
    ApprovalUsed,
    ApprovalWithdrawn,
    AuditLogged,
)
from .channels import (
    ChannelAccepted,
    ChannelClosed,
    ChannelClosing,
    ChannelCreated,
    ChannelDeclined,
    ChannelExpired,
    ChannelInvited,
    ChannelOpened,
    ChannelParticipantHidden,
    ChannelParticipantJoined,
    ChannelParticipantRemoved,
    ChannelParticipantShown,
)
from .envelopes import (
    EnvelopeAcked,
    EnvelopeDeadLettered,
    EnvelopeDiscarded,
    EnvelopeDispatchFailed,
    EnvelopeDropped,
    EnvelopeExpired,
    EnvelopeNacked,
    EnvelopePosted,
    EnvelopeRedelivered,
    EnvelopeRejected,
    EnvelopeReturned,
    InboxPressured,
)
from .expectations import (
    ExpectationFailed,
    ExpectationHandled,
    ExpectationHandlerCalled,
    ExpectationHandlerFailed,
    ExpectationViolated,
)
from .hubs import (
    HubClockStepped,
    HubEntrySetAside,
    HubEventQuestioned,
    HubGuestFailed,
    HubStarted,
    HubStopped,
    ListenerAnswered,
    ListenerAttached,
    ListenerDetached,
    ListenerFailed,
    ListenerLettersRemoved,
    ListenerRestarted,
    ListenerSuspended,
    MailboxOverflowed,
)
from .models import ModelAbandoned, ModelCalled, ModelCompleted, ModelFailed, ModelProgressed
from .policies import CommandDenied, PolicyDecided, SandboxDecided
from .tasks import (
    TaskCancelled,
    TaskCancelRequested,
    TaskCheckpointed,
    TaskCompleted,
    TaskExpired,
    TaskFailed,
    TaskMirrorFailed,
    TaskProgressed,
    TaskStarted,
)
from .timers import TimerCancelled, TimerFired, TimerSet
from .tools import ToolAbandoned, ToolCalled, ToolCompleted, ToolFailed
from .topics import TopicSubscribed, TopicUnsubscribed
from .turns import TurnAbandoned, TurnCommitted, TurnEnded, TurnExtended, TurnFailed, TurnStarted

# Type checkers read this block, and programs the table of :mod:`._late`: few have these kinds.
if TYPE_CHECKING:
    from .administration import (
        AdminActed as AdminActed,
        QuotaBreached as QuotaBreached,
    )
    from .facts import (
        FactRead as FactRead,
        FactWritten as FactWritten,
        InstructionAudited as InstructionAudited,
        InstructionPromoted as InstructionPromoted,
        InstructionQuarantined as InstructionQuarantined,
        QuarantineAdmitted as QuarantineAdmitted,
        QuarantineReleased as QuarantineReleased,
        instruction_event as instruction_event,
        is_instruction_fact as is_instruction_fact,
    )
    from .federation import (
        ApiKeyRehashed as ApiKeyRehashed,
        FederationConnected as FederationConnected,
        KeyRotated as KeyRotated,
        ManifestPublished as ManifestPublished,
        PeerClockSkewed as PeerClockSkewed,
        ReplayRejected as ReplayRejected,
        TokenIssued as TokenIssued,
        TokenRevoked as TokenRevoked,
    )
    from .followers import (
        FollowerCommanded as FollowerCommanded,
        FollowerJoined as FollowerJoined,
        FollowerLeft as FollowerLeft,
    )
    from .runs import (
        ErrorRaised as ErrorRaised,
        HookMutated as HookMutated,
        LoopBlocked as LoopBlocked,
        LoopWarned as LoopWarned,
        RecordingCovered as RecordingCovered,
        RecordingDropped as RecordingDropped,
    )
    from .seats import (
        ActorQueued as ActorQueued,
        ActorSeated as ActorSeated,
        ActorUnseated as ActorUnseated,
        ActorWithdrawn as ActorWithdrawn,
    )
    from .skills import (
        SkillAuthored as SkillAuthored,
        SkillRated as SkillRated,
        SkillUsed as SkillUsed,
    )
else:

    def __getattr__(name: str) -> Any:
        if name not in LATE_NAMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f".{LATE_NAMES[name]}", __name__), name)
        globals()[name] = value
        return value


__all__ = (
    "ActorCrashed",
    "ActorQueued",
    "ActorSeated",
    "ActorStarted",
    "ActorStateSet",
    "ActorStopped",
    "ActorUnseated",
    "ActorWithdrawn",
    "AdminActed",
    "AgentObserved",
    "AgentRegistered",
    "AgentResumeSet",
    "AgentRuleSet",
    "AgentSkillSet",
    "AgentSwitched",
    "AgentUnregistered",
    "ApiKeyRehashed",
    "ApprovalApproved",
    "ApprovalApproverFailed",
    "ApprovalChallengeCompleted",
    "ApprovalChallengeIssued",
    "ApprovalDenied",
    "ApprovalEscalated",
    "ApprovalExpired",
    "ApprovalIncidentRecorded",
    "ApprovalReferred",
    "ApprovalReminded",
    "ApprovalRequested",
    "ApprovalReturned",
    "ApprovalRiskScored",
    "ApprovalTrustComputed",
    "ApprovalTrustRestored",
    "ApprovalTrustRevoked",
    "ApprovalUsed",
    "ApprovalWithdrawn",
    "AuditLogged",
    "ChannelAccepted",
    "ChannelClosed",
    "ChannelClosing",
    "ChannelCreated",
    "ChannelDeclined",
    "ChannelExpired",
    "ChannelInvited",
    "ChannelOpened",
    "ChannelParticipantHidden",
    "ChannelParticipantJoined",
    "ChannelParticipantRemoved",
    "ChannelParticipantShown",
    "CommandDenied",
    "EnvelopeAcked",
    "EnvelopeDeadLettered",
    "EnvelopeDiscarded",
    "EnvelopeDispatchFailed",
    "EnvelopeDropped",
    "EnvelopeExpired",
    "EnvelopeNacked",
    "EnvelopePosted",
    "EnvelopeRedelivered",
    "EnvelopeRejected",
    "EnvelopeReturned",
    "ErrorRaised",
    "Event",
    "ExpectationFailed",
    "ExpectationHandled",
    "ExpectationHandlerCalled",
    "ExpectationHandlerFailed",
    "ExpectationViolated",
    "FactRead",
    "FactWritten",
    "FederationConnected",
    "FollowerCommanded",
    "FollowerJoined",
    "FollowerLeft",
    "FrozenDict",
    "GenericEvent",
    "GroupCrashed",
    "GroupStopped",
    "HookMutated",
    "HubClockStepped",
    "HubEntrySetAside",
    "HubEventQuestioned",
    "HubGuestFailed",
    "HubStarted",
    "HubStopped",
    "InboxPressured",
    "InstructionAudited",
    "InstructionPromoted",
    "InstructionQuarantined",
    "KeyRotated",
    "ListenerAnswered",
    "ListenerAttached",
    "ListenerDetached",
    "ListenerFailed",
    "ListenerLettersRemoved",
    "ListenerRestarted",
    "ListenerSuspended",
    "LoopBlocked",
    "LoopWarned",
    "MailboxOverflowed",
    "ManifestPublished",
    "ModelAbandoned",
    "ModelCalled",
    "ModelCompleted",
    "ModelFailed",
    "ModelProgressed",
    "Outcome",
    "PeerClockSkewed",
    "PolicyDecided",
    "QuarantineAdmitted",
    "QuarantineReleased",
    "QuotaBreached",
    "RecordingCovered",
    "RecordingDropped",
    "ReplayRejected",
    "SandboxDecided",
    "Severity",
    "SkillAuthored",
    "SkillRated",
    "SkillUsed",
    "TaskCancelRequested",
    "TaskCancelled",
    "TaskCheckpointed",
    "TaskCompleted",
    "TaskExpired",
    "TaskFailed",
    "TaskMirrorFailed",
    "TaskProgressed",
    "TaskStarted",
    "TimerCancelled",
    "TimerFired",
    "TimerSet",
    "TokenIssued",
    "TokenRevoked",
    "ToolAbandoned",
    "ToolCalled",
    "ToolCompleted",
    "ToolFailed",
    "TopicSubscribed",
    "TopicUnsubscribed",
    "TurnAbandoned",
    "TurnCommitted",
    "TurnEnded",
    "TurnExtended",
    "TurnFailed",
    "TurnStarted",
    "UnknownEvent",
    "canonical",
    "event",
    "evolve",
    "instruction_event",
    "is_instruction_fact",
    "kind_class",
)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
