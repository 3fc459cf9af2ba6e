"""What a person has to reply before a yes counts: the prompts of a challenge, and whether the replies pass.

The content of each kind is that of :data:`hubwire.challenges.DEFAULT_CONTENTS`, over the arguments as this person is
shown them: what is redacted is repeated as it is shown, and where contents are hidden, the action is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hubwire.approvals import ChallengeKind, PendingApproval, Question
from hubwire.challenges import DEFAULT_CONTENTS

from ._http import Problem, refused

__all__ = ("challenge_view", "check_replies")

_REPLIES_MAX = 20
_REPLY_CHARS_MAX = 2000


def challenge_view(entry: PendingApproval, arguments: Any) -> dict[str, Any] | None:
    """Return the kind of a challenge and its prompts; None while there is none yet. A plain yes has no prompts."""
    if entry.challenge is None:
        return None
    prompts = DEFAULT_CONTENTS[entry.challenge].prompts(_question(entry, arguments))
    shown = [{"text": each.text, "choices": list(each.choices)} for each in prompts]
    return {"kind": entry.challenge.value, "prompts": shown}


def check_replies(entry: PendingApproval, arguments: Any, given: Mapping[str, Any]) -> None:
    """Raise :class:`Problem` if the replies that a yes came with do not pass; then nothing is decided."""
    view, replies = challenge_view(entry, arguments), _replies(given)
    if view is None or not view["prompts"]:
        return
    prompts = "; ".join(each["text"] for each in view["prompts"])
    if not replies:
        said = f"a yes to this counts with replies: {prompts}"
    else:
        content = DEFAULT_CONTENTS[entry.challenge or ChallengeKind.CONFIRM]
        said = content.check(_question(entry, arguments), replies)
    if said:
        raise Problem(409, "challenge", said, f"reply to: {prompts}", {"challenge": view})


def _replies(given: Mapping[str, Any]) -> Sequence[str]:
    replies = given.get("replies", [])
    if not isinstance(replies, list) or len(replies) > _REPLIES_MAX:
        raise refused(f"replies is a list of at most {_REPLIES_MAX} texts", "one for each prompt, in their order")
    if not all(isinstance(each, str) and len(each) <= _REPLY_CHARS_MAX for each in replies):
        raise refused(f"each of replies is text of at most {_REPLY_CHARS_MAX:,} characters", "shorten it")
    return replies


def _question(entry: PendingApproval, arguments: Any) -> Question:
    return Question(
        approval_id=entry.approval_id,
        agent_id=entry.agent_id,
        agent_name=entry.agent_name,
        action=entry.action,
        arguments=arguments,
        risk_score=entry.risk_score,
        risk_level=entry.risk_level,
        challenge=entry.challenge,
    )
