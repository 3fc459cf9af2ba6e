"""What the answers of approvers lead to. They are counted by who has answered, not by how a name is spelt."""

from __future__ import annotations

import hashlib
import unicodedata
from typing import Any

import attrs

from .._values import Value
from ..errors import CommandRejected
from ..events import ApprovalChallengeCompleted, Event, canonical
from ..events._canonical import json_text
from ..events._shown import shown
from .agents import Agents, is_id
from .risks import FailMode
from .verdicts import ApprovalEntry, about_of, approved, verdict

__all__ = (
    "ARGUMENTS_BYTES_KEPT",
    "REASON_LENGTH_MAX",
    "ApproverAnswer",
    "completed",
    "conclusion",
    "failure",
    "spelled",
)

REASON_LENGTH_MAX = 10_000
ARGUMENTS_BYTES_KEPT = 16 * 1024
"""Arguments with more JSON than that are kept in the event of the request alone."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ApproverAnswer(Value):
    """The answer of an approver, as it came in."""

    approver: str
    is_passed: bool
    reason: str = ""
    identity: str = ""
    agent_id: str = ""
    """Of the agent that answers; empty where the approver is known by a name alone."""
    arguments: Any = None
    is_modified: bool = False
    now_ns: int = 0
    """When it came; 0 if that is not known."""


_UNSEEN = frozenset("\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\u034f") | set(
    map(chr, (*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)))
)
"""Signs without ink: fillers of Hangul, two vowels of Khmer, the empty pattern of Braille, joiners and variants."""

_PLAIN = ("LATIN ", "GREEK ", "CYRILLIC ", "DIGIT ")
"""What the names of characters begin with that are the same letter to a reader, with a mark or without one."""


def spelled(name: str) -> str:
    """Return what all spellings of a name have in common, without regard to case, width, spaces and invisible signs.

    Accents are left out. The vowels of Indic and Thai scripts are marks, too, and names differ in them.
    """
    kept = ""
    for each in unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", name).casefold()):
        category = unicodedata.category(each)
        if each not in _UNSEEN and (category[0] in "LNPS" or (category in ("Mc", "Mn") and _is_vowel(each, kept))):
            kept += each
    return kept


def _is_vowel(mark: str, before: str) -> bool:
    """Tell whether a mark is as much of a name as a letter is; points of Hebrew and Arabic, and accents, are not."""
    place = unicodedata.combining(mark)
    is_point = 10 <= place <= 36 or place == 1 or place >= 200  # classes of Unicode: fixed points, overlays, accents
    return not is_point and before != "" and not unicodedata.name(before[-1], "").startswith(_PLAIN)


def _known_as(approver: str, identity: str) -> frozenset[str]:
    """Return by what an approver is recognised: its identity, or its name; an agent by both of its own."""
    if not identity:
        return frozenset({spelled(approver)})
    return frozenset({spelled(identity), *([spelled(approver)] if is_id(identity) else ())})


def check_text(approver: Any, is_passed: object, reason: Any) -> None:
    """Raise unless an answer is made of what it has to be made of."""
    if type(approver) is not str or not spelled(approver) or canonical(approver) != approver:
        raise CommandRejected(f"the name of an approver must be printable text, not {shown(approver)}")
    if is_passed is not True and is_passed is not False:
        raise CommandRejected(f"an answer must be True or False, not {shown(is_passed)}")
    if type(reason) is not str or canonical(reason) != reason:
        raise CommandRejected(f"the reason of an answer must be text that UTF-8 can hold, not {shown(reason)}")
    if len(reason) > REASON_LENGTH_MAX:
        raise CommandRejected(f"the reason of an answer has at most {REASON_LENGTH_MAX} characters; shorten it")


def check_may_answer(entry: ApprovalEntry, answer: ApproverAnswer, agents: Agents) -> None:
    """Raise unless this approver may answer now."""
    approver, identity = answer.approver, answer.identity
    if entry.approvers and approver not in entry.approvers:
        raise CommandRejected(f"{shown(approver)} does not decide about this; {', '.join(entry.approvers)} do")
    own = {spelled(entry.agent_id), spelled(agents.get(entry.agent_id).name)}
    if spelled(approver) in own or (identity and spelled(identity) in own):
        raise CommandRejected(f"{shown(approver)} is the agent that wants to act, and cannot approve its own action")
    if agents.is_made_by(answer.agent_id, entry.agent_id):
        raise CommandRejected(
            f"{shown(approver)} was registered by the agent that wants to act, which would approve its own action by"
            " it; let an agent answer that it has not registered, or a person"
        )
    if not _known_as(approver, identity).isdisjoint(entry.identities):
        raise CommandRejected(f"approver {shown(approver)} has answered already")
    waited = (answer.now_ns - entry.challenged_ns) / 1e9
    if answer.now_ns and waited < entry.review_seconds_min:
        raise CommandRejected(
            f"an answer counts {entry.review_seconds_min:g} s after the challenge, and this one came after"
            f" {max(waited, 0):.3g} s; look at the arguments, and answer again then"
        )


def completed(entry: ApprovalEntry, answer: ApproverAnswer) -> tuple[Event, ApprovalEntry]:
    """Return the event of an answer, and the entry after it."""
    event = ApprovalChallengeCompleted(
        **about_of(entry),
        challenge=entry.challenge,
        approver=answer.approver,
        is_passed=answer.is_passed,
        reason=answer.reason,
        identity=answer.identity,
        arguments=answer.arguments,
        is_modified=answer.is_modified,
    )
    seconds = max(0.0, round((answer.now_ns - entry.challenged_ns) / 1e9, 6)) if answer.now_ns else None
    return event, after(entry, event, seconds)


def after(entry: ApprovalEntry, event: ApprovalChallengeCompleted, seconds: float | None) -> ApprovalEntry:
    """Return the entry after an answer."""
    side = "passed" if event.is_passed else "failed"
    changes: dict[str, Any] = {side: (*getattr(entry, side), event.approver)}
    if event.is_modified:
        changes |= {"modified": event.arguments, "is_modified": True}
    return attrs.evolve(
        entry,
        **changes,
        broken=tuple(each for each in entry.broken if each != event.approver),
        identities=(*entry.identities, *sorted(_known_as(event.approver, event.identity))),
        reason=event.reason,
        review_seconds=seconds,
    )


def conclusion(entry: ApprovalEntry) -> Event | None:
    """Return the verdict that the answers lead to, if there are enough of them; what has failed is no answer."""
    if not entry.quorum:
        return None
    if len(entry.passed) >= entry.quorum:
        if not entry.is_modified:
            return verdict(entry, "approved", approvers=entry.passed, reason=entry.reason)
        if entry.mode.value != "enforce":
            return verdict(entry, "modified", approvers=entry.passed, reason=entry.reason)
        return approved(
            entry,
            approvers=entry.passed,
            reason=entry.reason,
            arguments=entry.modified,
            is_modified=True,
            digest=digest_of(entry.modified),
        )
    spare = len(entry.approvers) - entry.quorum if entry.approvers else 0
    if len(entry.failed) > spare:
        return verdict(entry, "denied", approvers=entry.failed, reason=entry.reason)
    waited_for = len(entry.unanswered)
    is_open = len(entry.passed) + waited_for >= entry.quorum or len(entry.failed) + waited_for > spare
    return failure(entry, entry.last_failure, "denied") if entry.approvers and not is_open else None


def failure(entry: ApprovalEntry, reason: str, denial: str) -> Event:
    """Return the verdict by the fail mode."""
    decided = {FailMode.DENY: denial, FailMode.ALLOW: "approved", FailMode.ESCALATE: "escalated"}[entry.fail_mode]
    return verdict(entry, decided, reason=reason, is_failure=True)


def json_of(arguments: Any) -> bytes:
    """Return the bytes of canonical arguments: sorted JSON, of which their digest is made."""
    return json_text(arguments).encode()


def digest_of(arguments: Any) -> str:
    return hashlib.sha256(json_of(arguments)).hexdigest()
