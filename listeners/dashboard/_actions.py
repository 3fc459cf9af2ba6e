"""Actions: deciding approvals, retrying and discarding dead letters, resuming listeners, writing indexes.

Each is in the log, with its person, before it is done.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from hubwire import Hub
from hubwire.approvals import PendingApproval
from hubwire.errors import CommandRejected, HistoryGone, HubError, NotFound
from hubwire.events import AdminActed
from hubwire.waking import Slices

from ._asked import Asked, Endpoint
from ._boards import BoardFeed
from ._challenges import challenge_view, check_replies
from ._checks import hub_of
from ._hiding import hidden_view
from ._http import Problem, Reply, json_reply, refused
from ._sessions import address_of

__all__ = ("endpoints",)

_REASON_CHARS_MAX = 2000
_IDS_MAX = 1000
_ID_CHARS_MAX = 200
_LETTERS = 100
_LETTERS_MAX = 1000
_SAID_BEFORE = 10
_SLICE_SECONDS = 0.001


async def _recorded(asked: Asked, action: str, target: str, **detail: Any) -> None:
    """Commit that a person is about to act, before the act."""
    detail = {**detail, "role": asked.person.role, "from": address_of(asked.request.scope)}
    await hub_of(asked).emit(
        AdminActed(actor=asked.person.name, action=action, target=target, tenant=asked.tenant, detail=detail)
    )


def _reason(given: dict[str, Any]) -> str:
    reason = given.get("reason", "")
    if not isinstance(reason, str) or len(reason) > _REASON_CHARS_MAX:
        raise refused(f"reason is text of at most {_REASON_CHARS_MAX:,} characters", "shorten it")
    return reason.strip()


# -- approvals --


async def _approval(asked: Asked) -> Reply:
    approval_id = asked.path["id"]
    feed = await asked.parts.boards.feed(asked.tenant)
    view = _view(asked, feed, approval_id)
    found: dict[str, Any] = {
        "approval": view,
        "arguments": None,
        "said_before": [],
        "challenge": None,
        "provenance": [],
        **_may_decide(asked, view),
    }
    channel_id = view.get("channel_id")
    if channel_id and (transcript := feed.board.channel(channel_id)) is not None:
        before = [line for line in transcript.lines if line.seq < view["requested_seq"]][-_SAID_BEFORE:]
        found["said_before"] = [hidden_view(line.to_json(), contents=asked.contents) for line in before]
    hub = asked.parts.source.hub
    if hub is not None and view["state"] == "waiting" and (entry := _pending(hub, approval_id)) is not None:
        found["arguments"] = await _arguments(asked, approval_id)
        found["challenge"] = challenge_view(entry, found["arguments"])
        found["provenance"] = list(entry.provenance) if asked.contents else []
    return json_reply(found)


def _view(asked: Asked, feed: BoardFeed, approval_id: str) -> dict[str, Any]:
    is_id = 0 < len(approval_id) <= _ID_CHARS_MAX and approval_id.isprintable()
    if is_id and (found := feed.board.approval(approval_id, now=feed.now)) is not None:
        return hidden_view(found.to_json(), contents=asked.contents)
    raise Problem(
        404, "not_found", f"there is no approval {approval_id[:80]!r}", "it may have been decided long ago: ask the log"
    )


def _may_decide(asked: Asked, view: dict[str, Any]) -> dict[str, Any]:
    why_not = ""
    if not asked.person.may("operate"):
        why_not = "You may look. To approve or deny, open this page with a token that has the role operate."
    elif asked.parts.source.hub is None:
        why_not = "This page reads a log: to approve or deny, open the dashboard of the hub itself."
    elif asked.parts.source.hub.is_following and not asked.parts.source.hub.is_connected:
        why_not = (
            "This hub follows another one, and is not connected with it: to approve or deny, open the dashboard of the"
            " hub that leads."
        )
    elif view["state"] != "waiting":
        why_not = "It is decided."
    elif (entry := _pending(hub_of(asked), view["approval_id"])) is not None and not _is_asked(asked, entry):
        why_not = f"It waits for {', '.join(entry.approvers)}."
    return {"may_decide": not why_not, "why_not": why_not}


def _is_asked(asked: Asked, entry: PendingApproval) -> bool:
    return not entry.approvers or asked.person.name in entry.approvers


def _pending(hub: Hub, approval_id: str) -> PendingApproval | None:
    return next((each for each in hub.approvals.pending() if each.approval_id == approval_id), None)


async def _arguments(asked: Asked, approval_id: str) -> Any:
    """Return what an agent wants to act with, redacted; None where that is hidden from the person, or out of reach."""
    if not asked.contents:
        return None
    try:
        found = await hub_of(asked).approvals.arguments(approval_id)
    except HubError:  # they are withheld, or gone: the view says where they are
        return None
    return (await asked.parts.logs.record_shown({"arguments": found}))["arguments"]


async def _decide(asked: Asked) -> Reply:
    approval_id, given = asked.path["id"], await asked.body()
    verdict, reason = given.get("verdict"), _reason(given)
    if verdict not in ("approve", "deny"):
        raise refused(f"verdict is approve or deny, not {str(verdict)[:40]!r}", '{"verdict": "deny", "reason": "…"}')
    if verdict == "deny" and not reason:
        raise refused("a denial needs a reason", "say why: the agent gets to read it")
    hub = hub_of(asked)
    feed = await asked.parts.boards.feed(asked.tenant)
    _view(asked, feed, approval_id)  # of another tenant there is none
    entry = _pending(hub, approval_id)
    if entry is None:
        raise await _too_late(asked, approval_id)
    if verdict == "approve":
        check_replies(entry, await _arguments(asked, approval_id), given)
    await _recorded(asked, f"approval.{verdict}", approval_id, reason=reason)
    try:
        await hub.approvals.answer(approval_id, asked.person.name, is_passed=verdict == "approve", reason=reason)
    except NotFound:
        raise await _too_late(asked, approval_id) from None
    except CommandRejected as error:
        raise Problem(409, "refused", str(error)[:500], "ask who is named as approver") from error
    return json_reply({"approval": await _seen(asked, approval_id)})


async def _seen(asked: Asked, approval_id: str) -> dict[str, Any]:
    """Return the approval as the board has it, when the board has seen all that has committed."""
    feed = await asked.parts.boards.feed(asked.tenant)
    await feed.caught_up(asked.parts.source.newest_seq)
    return _view(asked, feed, approval_id)


async def _too_late(asked: Asked, approval_id: str) -> Problem:
    view = await _seen(asked, approval_id)
    by, verdict = view["decided_by"], view["state"]
    said = f"{', '.join(by) or 'the hub'} has decided it: {verdict}"
    decided = {"by": by, "verdict": verdict, "at": view["decided_at"], "reason": view["reason"]}
    return Problem(409, "too_late", said, "your reason is not lost: the page has it", {"decided": decided})


# -- dead letters --


async def _letters(asked: Asked) -> Reply:
    limit = asked.whole("limit", _LETTERS, least=1, most=_LETTERS_MAX)
    commands = _letters_of(asked)
    found = await commands.list(attachment=asked.text("listener"), limit=limit, after=asked.text("after"))
    statistics, slices, rows = commands.statistics(), Slices(_SLICE_SECONDS), []
    for each in found:
        await slices.cut()
        rows.append(_row(asked, each))
    # Those that listeners have left are with the hub that leads, and so not counted in one that follows.
    return json_reply({"rows": rows, "total": max(statistics.kept + statistics.inbox, len(rows))})


def _letters_of(asked: Asked) -> Any:
    hub = hub_of(asked)
    return hub.dead_letters if asked.tenant is None else hub.for_tenant(asked.tenant).dead_letters


def _row(asked: Asked, each: Any) -> dict[str, Any]:
    event, names = each.event, asked.parts.rows.names
    agent_id = each.agent_id or (None if event is None else event.agent_id)
    shown = asked.parts.logs.shown({"text": each.error})["text"]
    return {
        "id": each.id,
        "listener": each.attachment or "",
        "origin": each.origin,
        "seq": None if event is None else event.seq,
        "kind": each.kind,
        "count": each.count,
        "agent": None if agent_id is None else names.agent(agent_id),
        "reason_code": each.reason.value,
        "error": shown if asked.contents or not shown else f"{len(shown):,} characters",
        "error_type": each.error_type,
        "attempts": each.attempts,
        "failed_at": each.last_at,
    }


async def _retry(asked: Asked) -> Reply:
    commands = _letters_of(asked)

    async def retry(letter_id: str) -> str:
        result = await commands.retry(letter_id)
        return "" if result.is_delivered else str(result.error or result.outcome.value)

    return await _each(asked, "dead_letters.retry", "", retry, await asked.body(bytes_max=256 * 1024))


async def _discard(asked: Asked) -> Reply:
    commands, given = _letters_of(asked), await asked.body(bytes_max=256 * 1024)
    reason = _reason(given)

    async def discard(letter_id: str) -> str:
        await commands.discard(letter_id, reason=reason)
        return ""

    return await _each(asked, "dead_letters.discard", reason, discard, given)


async def _each(
    asked: Asked, action: str, reason: str, act: Callable[[str], Awaitable[str]], given: dict[str, Any]
) -> Reply:
    """Act on each letter; what fails stops none of the others."""
    ids = _ids(given)
    await _recorded(asked, action, ids[0] if len(ids) == 1 else f"{len(ids)} dead letters", ids=ids, reason=reason)
    failed = []
    for letter_id in ids:
        try:
            said = await act(letter_id)
        except HubError as error:
            said = str(error)
        if said:
            said = asked.parts.logs.shown({"text": said[:300]})["text"] if asked.contents else "it failed again"
            failed.append({"id": letter_id, "message": said})
    return json_reply({"done": len(ids) - len(failed), "failed": failed})


def _ids(given: dict[str, Any]) -> Sequence[str]:
    ids = given.get("ids")
    if not isinstance(ids, list) or not 0 < len(ids) <= _IDS_MAX:
        raise refused(f"ids is a list of 1 to {_IDS_MAX:,} ids of dead letters", "api/dead-letters has them")
    if not all(isinstance(each, str) and 0 < len(each) <= _ID_CHARS_MAX for each in ids):
        raise refused("each of ids is the id of a dead letter", "api/dead-letters has them")
    return tuple(dict.fromkeys(ids))


# -- listeners --


async def _resume(asked: Asked) -> Reply:
    """Let a suspended listener go on from where it stopped; one that is not suspended is left alone."""
    hub, name = hub_of(asked), (await asked.body()).get("listener")
    if not isinstance(name, str) or not name:
        raise refused("listener is the name of a listener", "api/listeners says which there are")
    if asked.tenant is not None:
        raise Problem(403, "not_allowed", "listeners are of the whole hub, not of a tenant")
    attachment = next((each for each in hub.attachments if each.name == name), None)
    if attachment is None:
        raise Problem(404, "not_found", f"there is no listener {name[:80]!r}", "api/listeners says which there are")
    await _recorded(asked, "listener.resume", name[:_ID_CHARS_MAX])
    try:
        attachment.resume()
    except HubError as error:
        problem = "the events that come next are gone" if isinstance(error, HistoryGone) else "it has ended"
        raise Problem(
            409, "refused", f"{name[:80]!r} cannot go on: {problem}", "resume it in the program, with skip_missed=True"
        ) from error
    return json_reply({"listener": {"listener": attachment.name, "phase": attachment.state.value}})


# -- indexes --


async def _index(asked: Asked) -> Reply:
    """Write the indexes that the audit log lacks: narrow queries of a large log are quick then."""
    if asked.tenant is not None:
        raise Problem(403, "not_allowed", "indexes are of the whole log, not of a tenant")
    hub_of(asked)
    audit = asked.parts.logs.audit
    if audit is None:
        raise Problem(
            404, "no_log", "this hub has no audit log, and a journal has no indexes", "attach one: AuditLog(store)"
        )
    await _recorded(asked, "log.index", audit.path)
    done = await audit.index()
    return json_reply({"segments": done.segments, "made": done.made, "growing_bytes": done.growing_bytes})


def endpoints() -> tuple[Endpoint, ...]:
    """Return the places of the interface that this file answers."""
    return (
        Endpoint("GET", "/api/approvals/{id}", _approval, says="an approval, its arguments, what was said before"),
        Endpoint("POST", "/api/approvals/{id}/decision", _decide, "operate", "approve or deny, with a reason"),
        Endpoint("GET", "/api/dead-letters", _letters, says="what listeners and agents could not handle"),
        Endpoint("POST", "/api/dead-letters/retry", _retry, "operate", "deliver dead letters once more"),
        Endpoint("POST", "/api/dead-letters/discard", _discard, "operate", "keep dead letters no longer"),
        Endpoint("POST", "/api/index", _index, "operate", "write the indexes that the audit log lacks"),
        Endpoint("POST", "/api/listeners/resume", _resume, "operate", "let a suspended listener go on"),
    )
