"""Kinds that few programs have: what declares them is imported with the first event, or name, of theirs."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ("LATE", "LATE_MODULES", "LATE_NAMES")

LATE: Mapping[str, Mapping[str, str]] = {
    "administration": {"admin.acted": "AdminActed", "quota.breached": "QuotaBreached"},
    "facts": {
        "fact.read": "FactRead",
        "fact.written": "FactWritten",
        "instruction.audited": "InstructionAudited",
        "instruction.promoted": "InstructionPromoted",
        "instruction.quarantined": "InstructionQuarantined",
        "quarantine.admitted": "QuarantineAdmitted",
        "quarantine.released": "QuarantineReleased",
    },
    "federation": {
        "api_key.rehashed": "ApiKeyRehashed",
        "federation.connected": "FederationConnected",
        "key.rotated": "KeyRotated",
        "manifest.published": "ManifestPublished",
        "peer.clock_skewed": "PeerClockSkewed",
        "replay.rejected": "ReplayRejected",
        "token.issued": "TokenIssued",
        "token.revoked": "TokenRevoked",
    },
    "followers": {
        "follower.commanded": "FollowerCommanded",
        "follower.joined": "FollowerJoined",
        "follower.left": "FollowerLeft",
    },
    "runs": {
        "error.raised": "ErrorRaised",
        "hook.mutated": "HookMutated",
        "loop.blocked": "LoopBlocked",
        "loop.warned": "LoopWarned",
        "recording.covered": "RecordingCovered",
        "recording.dropped": "RecordingDropped",
    },
    "seats": {
        "actor.queued": "ActorQueued",
        "actor.seated": "ActorSeated",
        "actor.unseated": "ActorUnseated",
        "actor.withdrawn": "ActorWithdrawn",
    },
    "skills": {"skill.authored": "SkillAuthored", "skill.rated": "SkillRated", "skill.used": "SkillUsed"},
}
"""By the module of this package that declares them, the kinds and the names of their classes."""

LATE_MODULES: Mapping[str, str] = {kind: module for module, kinds in LATE.items() for kind in kinds}
"""By kind, the module."""

LATE_NAMES: Mapping[str, str] = {
    **{name: module for module, kinds in LATE.items() for name in kinds.values()},
    "instruction_event": "facts",
    "is_instruction_fact": "facts",
}
"""By name, the module."""
