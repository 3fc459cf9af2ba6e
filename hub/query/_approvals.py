"""Approvals, each as one row: who wanted to do what, how risky that was, who answered how fast, and the verdict."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any

import attrs

from .._foreign.arguments import Call, nearest, shown
from .._values import Value
from ..errors import ConfigurationError
from ..ports import KnowledgeStore
from ._looked import Looked
from ._matching import text_of
from ._moments import instant_of
from ._query import Found, Query, search_for
from ._selection import Selection

__all__ = ("ApprovalRow", "approvals", "rows_of", "steps_of")

_STEPS = (
    "approval.requested",
    "approval.risk_scored",
    "approval.trust_computed",
    "approval.challenge_issued",
    "approval.challenge_completed",
)
_VERDICTS = {
    f"approval.{verdict}": verdict
    for verdict in ("approved", "denied", "escalated", "expired", "withdrawn", "returned")
}
_USED = "approval.used"
_LEVELS = ("low", "medium", "high", "critical")
_NUMBER_MAX = 10**18
"""A record may have numbers that are larger than any float; none is a risk, or a number of seconds."""
_OPEN_MAX = 100_000
"""So many questions without a verdict are remembered; the oldest then becomes a row as it is."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ApprovalRow(Value):
    """One approval, from the question to the verdict. What the log does not say is None, or empty."""

    approval_id: str
    action: str = ""
    agent_id: str | None = None
    channel_id: str | None = None
    task_id: str | None = None
    session_id: str | None = None
    tenant: str | None = None
    requested_at: str | None = None
    """``at`` of the question; None if that is not in the log any more."""
    decided_at: str | None = None
    """``at`` of the verdict; None if there is none yet."""
    verdict: str = "pending"
    """``approved``, ``denied``, ``escalated``, ``expired``, ``withdrawn``, ``returned``; or ``pending``."""
    mode: str = ""
    risk_score: float | None = None
    risk_level: str = ""
    trust: float | None = None
    challenge: str = ""
    answers: tuple[str, ...] = ()
    """Who answered, and how: ``ann: yes``."""
    approvers: tuple[str, ...] = ()
    """Those whose answers decided."""
    review_seconds: float | None = None
    """From the challenge to the answer that decided; None if no approver did."""
    review_seconds_min: float | None = None
    """The time that its policy asked for."""
    reason: str = ""
    """Of the verdict, or else of the last answer that had one."""
    is_failure: bool = False
    """Whether the fail mode decided, because no approver could."""
    is_modified: bool = False
    """Whether other arguments were approved than those that were requested."""

    @property
    def is_review_too_short(self) -> bool:
        """Whether an approver decided in less time than the policy asked for, as records of other systems may say."""
        least, taken = self.review_seconds_min, self.review_seconds
        return least is not None and taken is not None and taken < least

    def is_rubber_stamp(self, max_review_seconds: float = 5.0, min_risk: str = "high") -> bool:
        """Tell whether an approver approved a risky action too fast to have looked at it.

        Of this risk at least, in at most so many seconds. What was approved without an approver is none: it has no
        ``review_seconds``.
        """
        risk = _LEVELS.index(self.risk_level) if self.risk_level in _LEVELS else -1
        return (
            self.verdict == "approved"
            and risk >= level_of(Call("is_rubber_stamp()", ConfigurationError), min_risk)
            and self.review_seconds is not None
            and self.review_seconds <= max_review_seconds
        )


def level_of(call: Call, given: Any) -> int:
    """Return the number of a risk level, from 0."""
    if type(given) is not str or given not in _LEVELS:
        advice = nearest(given, _LEVELS)
        raise ConfigurationError(
            f"{call.name}: min_risk is one of {', '.join(_LEVELS)}, not {shown(given)}{'; ' if advice else ''}{advice}"
        )
    return _LEVELS.index(given)


def approvals(
    store: KnowledgeStore,
    path: str = "/audit",
    selection: Selection | None = None,
    *,
    call: str = "approvals()",
) -> AsyncIterator[ApprovalRow]:
    """Iterate over the approvals in the log at ``path``, each as one row, in the order of their verdicts.

    Those that are pending come at the end. Of the ``selection``, ``since`` and ``until`` are about the question, and
    ``where`` about the row: ``{"verdict": "denied", "risk_level": "high"}``. It has no ``kind`` and no ``text``. Memory
    grows with the questions that wait for a verdict at one time, of which 100,000 are remembered.

    Raises what :func:`query` raises.
    """
    asked = Call(call, ConfigurationError)
    chosen = Selection() if selection is None else asked.instance("selection", selection, Selection)
    looked = Looked()
    return rows_of(Query.over(search_for(asked, store, path, steps_of(chosen, call), looked), looked), chosen)


def steps_of(chosen: Selection, call: str) -> Selection:
    """Return which records approvals are made of. Raises :class:`~hubwire.errors.ConfigurationError`."""
    if chosen.kind or chosen.text is not None:
        wrong = "kind" if chosen.kind else "text"
        raise ConfigurationError(f"{call}: approvals are rows, not records: they cannot be selected by {wrong}")
    for key, _ in chosen.where:
        if key not in _NAMES:
            advice = nearest(key, _NAMES)
            raise ConfigurationError(
                f"{call}: an approval has no {shown(key)}; it has {', '.join(_NAMES)}{'; ' if advice else ''}{advice}"
            )
    return attrs.evolve(chosen, kind=(*_STEPS, *_VERDICTS, _USED), where=(), until=None)


async def rows_of(found: AsyncIterable[Found], selection: Selection) -> AsyncIterator[ApprovalRow]:
    """Iterate over the approvals that records tell of, in the order of their verdicts; then those that are pending."""
    wanted = _Wanted(selection)
    pending: OrderedDict[str, ApprovalRow] = OrderedDict()
    async for each in found:
        fields = each.fields
        approval_id = fields.get("approval_id")
        if type(approval_id) is not str:
            continue
        kind = fields["kind"]
        if kind in _VERDICTS:
            row = pending.pop(approval_id, ApprovalRow(approval_id=approval_id))
            if wanted.takes(row := _decided(_with_header(row, fields), fields, _VERDICTS[kind])):
                yield row
        elif kind != _USED:
            pending[approval_id] = _stepped(pending.get(approval_id, ApprovalRow(approval_id=approval_id)), fields)
            if len(pending) > _OPEN_MAX and wanted.takes(row := pending.popitem(last=False)[1]):
                yield row
    for row in pending.values():
        if wanted.takes(row):
            yield row


class _Wanted:
    """Which rows are wanted."""

    def __init__(self, selection: Selection) -> None:
        self._since, self._until = selection.since, selection.until
        self._where = [(key, frozenset(texts)) for key, texts in selection.where]

    def takes(self, row: ApprovalRow) -> bool:
        if self._since is not None or self._until is not None:
            asked = instant_of(row.requested_at)
            if asked is None or (self._since is not None and asked < self._since):
                return False
            if self._until is not None and asked >= self._until:
                return False
        return all(text_of(getattr(row, key)) in texts for key, texts in self._where)


_HEADER = ("action", "agent_id", "channel_id", "task_id", "session_id", "tenant")


def _with_header(row: ApprovalRow, fields: dict[str, Any]) -> ApprovalRow:
    given: dict[str, Any] = {name: value for name in _HEADER if type(value := fields.get(name)) is str and value}
    return attrs.evolve(row, **given)


def _stepped(row: ApprovalRow, fields: dict[str, Any]) -> ApprovalRow:
    """Return the row after one more step to the verdict."""
    row = _with_header(row, fields)
    match fields:
        case {"kind": "approval.requested"}:
            return attrs.evolve(row, requested_at=_text(fields, "at"), mode=_text(fields, "mode") or "")
        case {"kind": "approval.challenge_issued"}:
            least = _number(fields, "review_seconds_min")
            return attrs.evolve(row, challenge=_text(fields, "challenge") or "", review_seconds_min=least)
        case {"kind": "approval.challenge_completed"}:
            answer = f"{_text(fields, 'approver')}: {'yes' if fields.get('is_passed') is True else 'no'}"
            return attrs.evolve(
                row, answers=(*row.answers, answer)[-100:], reason=_text(fields, "reason") or row.reason
            )
    risk = _number(fields, "risk_score"), _text(fields, "risk_level") or ""
    trust = _number(fields, "trust")
    return attrs.evolve(row, risk_score=risk[0], risk_level=risk[1], trust=row.trust if trust is None else trust)


def _decided(row: ApprovalRow, fields: dict[str, Any], verdict: str) -> ApprovalRow:
    approvers = fields.get("approvers")
    score = _number(fields, "risk_score")
    return attrs.evolve(
        row,
        verdict=verdict,
        decided_at=_text(fields, "at"),
        mode=_text(fields, "mode") or row.mode,
        risk_score=row.risk_score if score is None else score,
        risk_level=_text(fields, "risk_level") or row.risk_level,
        approvers=tuple(map(str, approvers)) if type(approvers) is list else (),
        review_seconds=_number(fields, "review_seconds"),
        reason=_text(fields, "reason") or row.reason,
        is_failure=fields.get("is_failure") is True,
        is_modified=fields.get("is_modified") is True,
    )


def _text(fields: dict[str, Any], name: str) -> str | None:
    value = fields.get(name)
    return value if type(value) is str else None


def _number(fields: dict[str, Any], name: str) -> float | None:
    value = fields.get(name)
    if type(value) is not float and (type(value) is not int or abs(value) > _NUMBER_MAX):
        return None
    return value


_NAMES = tuple(field.name for field in attrs.fields(ApprovalRow))
