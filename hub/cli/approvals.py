"""``hubwire approvals``: what waits for a person, in a store or at a running hub; there, also the answers."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

import anyio
import attrs

from ..board import Board, Transcript
from ..clock import SystemClock
from ..errors import ConfigurationError
from .failures import CommandFailed
from .feed import Feed
from .hub_client import HubClient, HubRefused, is_hub
from .output import Paint, escape, escape_json, is_terminal, say
from .rows import rows_as
from .target import READING_SECONDS, find_log, open_target
from .top_frame import duration

__all__ = (
    "ApprovalMissing",
    "Details",
    "decide",
    "decided_at",
    "details_from",
    "facts_of",
    "list_approvals",
    "one_of",
    "show_approval",
    "too_late",
)

COLUMNS = ("id", "left", "agent", "risk", "action")
ALL_COLUMNS = ("id", "state", "left", "agent", "risk", "action")
_SAID_BEFORE = 5
_END_CHARS_MIN = 6

Fields = Mapping[str, Any]


class ApprovalMissing(CommandFailed):
    """There is no such approval."""


@attrs.frozen
class Details:
    """One approval, with what was said before."""

    approval: Fields
    arguments: Any = None
    said_before: list[Fields] = attrs.Factory(list)
    why_not: str = ""
    """Why the reader may not decide it; empty if that is not so."""
    challenge: Fields | None = None
    """What a yes has to come with: its kind, and prompts."""

    @property
    def prompts(self) -> list[str]:
        """What has to be replied to before a yes counts."""
        found: list[Fields] = [] if self.challenge is None else self.challenge["prompts"]
        return [f"{each['text']} ({'/'.join(each['choices'])})" if each["choices"] else each["text"] for each in found]


class _Place(Protocol):
    """Where approvals are."""

    name: str

    async def approvals(self) -> list[Fields]: ...
    async def details(self, approval: Fields) -> Details: ...


async def list_approvals(target: str, *, log: str | None, is_all: bool, as_json: bool, raw: bool) -> None:
    """Print the approvals that wait, or all that are remembered, the oldest first."""
    found = [
        each
        for each in await _at(target, log, raw=raw, use=lambda place: place.approvals())
        if is_all or each["state"] == "waiting"
    ]
    if as_json:
        say(escape_json(json.dumps(found, ensure_ascii=False)))
        return
    if not found:
        say(f"no approval {'is remembered' if is_all else 'waits'}", sys.stderr)
        return
    rows = rows_as("table", ALL_COLUMNS if is_all else COLUMNS)
    for each in found:
        rows.add(_row(each))
    rows.end()


async def show_approval(target: str, approval_id: str, *, log: str | None, as_json: bool, raw: bool) -> None:
    """Print one approval in full: who wants what, how risky that is, what was said before, and who has answered."""

    async def use(place: _Place) -> Details:
        return await place.details(one_of(await place.approvals(), approval_id, place.name))

    details = await _at(target, log, raw=raw, use=use)
    if as_json:
        say(escape_json(json.dumps(attrs.asdict(details), indent=2, ensure_ascii=False)))
        return
    for line in facts_of(details, Paint(sys.stdout)):
        say(line)


def decide(
    target: str,
    approval_id: str,
    verdict: Literal["approve", "deny"],
    reason: str,
    replies: Sequence[str] = (),
    *,
    as_json: bool,
) -> None:
    """Approve or deny at a running hub; print what has become of it.

    What a person has to reply to first is asked on a terminal, between two questions to the hub: while one waits for
    a line, Ctrl-C has to end it.
    """
    if not is_hub(target):
        raise ConfigurationError(
            f"approvals {verdict}: {target} is a store, and a store is only read: the hub decides. Name the address of"
            " its dashboard, which its program prints, or hubwire run --dashboard"
        )
    if verdict == "deny" and not reason.strip():
        raise ConfigurationError("approvals deny: the agent is told why; give --reason")
    details = anyio.run(_details_at, target, approval_id)
    if verdict == "approve" and details.prompts and not details.why_not and not replies:
        replies = _replied(details)
    decided = anyio.run(_decide_at, target, details.approval["approval_id"], verdict, reason, tuple(replies))
    if as_json:
        say(escape_json(json.dumps(decided, ensure_ascii=False)))
        return
    waits = decided["state"] == "waiting"
    state = "answered; others have to answer, too" if waits else decided["state"]
    say(f"{_end(decided)} {escape(decided['action'])} of {escape(decided['agent'])}: {state}")


async def decided_at(
    client: HubClient,
    approval_id: str,
    verdict: Literal["approve", "deny"],
    reason: str,
    replies: Sequence[str] = (),
) -> Fields:
    """Have a hub take the answer to an approval; return the approval as it is then."""
    approval = one_of(await _Hub(client).approvals(), approval_id, client.name)
    try:
        body: dict[str, Any] = {"verdict": verdict, "reason": reason, "replies": list(replies)}
        answer = await client.post(f"api/approvals/{approval['approval_id']}/decision", body)
    except HubRefused as error:
        if error.code == "challenge":
            raise CommandFailed(f"{error}; nothing was decided") from error
        raise too_late(error, verdict) or error from error
    decided: Fields = answer["approval"]
    return decided


async def _decide_at(
    target: str, approval_id: str, verdict: Literal["approve", "deny"], reason: str, replies: Sequence[str]
) -> Fields:
    async with HubClient(target) as client:
        return await decided_at(client, approval_id, verdict, reason, replies)


async def _details_at(target: str, approval_id: str) -> Details:
    async with HubClient(target) as client:
        place = _Hub(client)
        return await place.details(one_of(await place.approvals(), approval_id, client.name))


def _replied(details: Details) -> list[str]:
    """Ask on the terminal what has to be replied to before a yes counts."""
    if not (is_terminal(sys.stdin) and is_terminal(sys.stderr)):
        raise ConfigurationError(
            f"approvals approve: a yes to this counts with replies: {'; '.join(details.prompts)}. Give --reply,"
            " once for each, in this order"
        )
    paint = Paint(sys.stderr)
    for line in facts_of(details, paint):
        say(line, sys.stderr)
    replies = []
    for prompt in details.prompts:
        print(f"{paint.bold(escape(prompt))}: ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            raise CommandFailed("not approved: the input has ended before all was replied")
        replies.append(line.strip())
    return replies


def too_late(error: HubRefused, verdict: str) -> CommandFailed | None:
    """Return who was faster, if an answer came too late; None if that is not what is wrong."""
    decided = error.details.get("decided") if error.code == "too_late" and isinstance(error.details, dict) else None
    if not isinstance(decided, dict):
        return None
    by = ", ".join(map(str, decided.get("by") or ())) or "the hub"
    done = {"approve": "approved", "deny": "denied"}[verdict]
    at = str(decided.get("at") or "")[:19].replace("T", " ")
    reason = decided.get("reason")
    return CommandFailed(f"not {done}: {decided.get('verdict')} by {by} at {at}{f': {reason}' if reason else ''}")


# --- places ---------------------------------------------------------------------------------------------------------


async def _at(target: str, log: str | None, *, raw: bool, use: Any) -> Any:
    if is_hub(target):
        async with HubClient(target) as client:
            return await use(_Hub(client))
    store = open_target(target, READING_SECONDS)
    try:
        feed = Feed(store, await find_log(store, log, target), Board(), raw=raw)
        damage = await feed.read_all()
        found = await use(_Log(target, feed.board))
        if damage is not None:
            raise damage
        return found
    finally:
        await store.aclose()


class _Log:
    """A log without a hub."""

    def __init__(self, target: str, board: Board) -> None:
        self.name = target
        self._board = board

    async def approvals(self) -> list[Fields]:
        stopped = self._board.hub().state == "stopped"
        now = None if stopped else SystemClock().now_ns() / 1e9
        return [each.to_json() for each in sorted(self._board.approvals(now=now), key=lambda each: each.requested_seq)]

    async def details(self, approval: Fields) -> Details:
        channel_id = approval["channel_id"]
        transcript: Transcript | None = None if channel_id is None else self._board.channel(channel_id)
        lines = [] if transcript is None else [each.to_json() for each in transcript.lines]
        before = [each for each in lines if each["seq"] < approval["requested_seq"]]
        return Details(approval, said_before=[*before[-_SAID_BEFORE:]])


class _Hub:
    """A hub at its address."""

    def __init__(self, client: HubClient) -> None:
        self.name = client.name
        self._client = client

    async def approvals(self) -> list[Fields]:
        found: list[Fields] = (await self._client.get("api/board/approvals"))["rows"]
        return sorted(found, key=lambda each: int(each["requested_seq"]))

    async def details(self, approval: Fields) -> Details:
        found = await self._client.get(f"api/approvals/{approval['approval_id']}")
        return details_from(found)


def details_from(found: Fields) -> Details:
    """Return the details of an approval as the interface of a dashboard gives them."""
    why_not = "" if found.get("may_decide") else str(found.get("why_not") or "")
    said: list[Fields] = found.get("said_before") or []
    return Details(found["approval"], found.get("arguments"), [*said[-_SAID_BEFORE:]], why_not, found.get("challenge"))


def one_of(approvals: Sequence[Fields], wanted: str, name: str) -> Fields:
    """Return the approval of this id, or of the end of one. Raises :class:`ApprovalMissing`."""
    end = wanted.removeprefix("…")
    exact = [each for each in approvals if each["approval_id"] == wanted]
    ends = [each for each in approvals if len(end) >= _END_CHARS_MIN and each["approval_id"].endswith(end)]
    found = exact or ends
    if len(found) == 1:
        return found[0]
    if found:
        raise ApprovalMissing(f"{len(found)} approvals of {name} end in {end!r}; give the whole id")
    raise ApprovalMissing(
        f"{name} has no approval {wanted!r:.80}; `hubwire approvals list {shlex.quote(name)} --all` prints those"
        " that are remembered"
    )


# --- looks ----------------------------------------------------------------------------------------------------------


def _end(approval: Fields) -> str:
    return str(approval["approval_id"])[-8:]


def _row(approval: Fields) -> dict[str, str]:
    return {
        "id": _end(approval),
        "left": _left(approval) if approval["state"] == "waiting" else "",
        "agent": approval["agent"],
        "action": _call(approval),
        "risk": _risk(approval),
        "state": approval["state"],
    }


def _left(approval: Fields) -> str:
    left = approval["seconds_left"]
    return "no limit" if left is None else "its time is up" if left == 0 else duration(left)


def _call(approval: Fields, arguments: Any = None) -> str:
    if isinstance(arguments, dict):
        said = ", ".join(f"{key}={value}" for key, value in arguments.items())
        return f"{approval['action']}({said})"
    return f"{approval['action']} {approval['arguments'] or ''}".strip()


def _risk(approval: Fields) -> str:
    score = approval["risk_score"]
    return str(approval["risk_level"]) + ("" if score is None else f" {score:.2f}")


def facts_of(details: Details, paint: Paint) -> list[str]:
    """Return the lines that a person decides by, in the order in which they matter."""
    approval = details.approval
    decided = ", ".join(approval["decided_by"])
    colours: dict[str, Callable[[str], str]] = {"waiting": str, "approved": paint.green}
    colour = colours.get(approval["state"], paint.amber)
    waits = approval["state"] == "waiting"
    lines = [
        paint.bold(f"{escape(approval['agent'])} wants {escape(_call(approval, details.arguments))}"),
        _fact("state", colour(approval["state"]) + (f" by {escape(decided)}" if decided else "")),
        _fact("reason", escape(approval["reason"] or "")),
        _fact("time left", f"{_left(approval)}, then {escape(approval['fail_mode'])}" if waits else ""),
        _fact("asked", escape(str(approval["requested_at"])[:19].replace("T", " "))),
        _fact("risk", escape(_risk(approval))),
    ]
    lines += [
        f"               {escape(each['scorer'])}: {escape(str(each['score']))} {escape(each['reason'] or '')}".rstrip()
        for each in approval["risk_steps"] or ()
    ]
    is_a_step = any(each["scorer"] == "trust" for each in approval["risk_steps"] or ())
    quorum = f"{len(approval['passed'])} of {approval['quorum']} have said yes" if approval["quorum"] else ""
    lines += [
        _fact("trust", "" if approval["trust"] is None or is_a_step else f"{approval['trust']:.2f}"),
        _fact("quorum", quorum),
        _fact("approvers", escape(", ".join(approval["approvers"]))),
        _fact("asks first", escape("; ".join(details.prompts))),
        _fact("id", escape(approval["approval_id"])),
        _fact("may decide", escape(details.why_not and f"no: {details.why_not}")),
    ]
    if details.said_before:
        lines += ["", "said before"]
        lines += [
            f"  {paint.by(escape(str(each['agent'])), str(each['agent']))}  {escape(each['text'])}"
            for each in details.said_before
        ]
    return [line for line in lines if line is not None]


def _fact(name: str, value: str) -> Any:
    return f"  {name:<11}  {value}" if value else None
