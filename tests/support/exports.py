"""A log for the tests of exports: work of all sorts, and texts that would like to be markup or formulas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hubwire import ApprovalPolicy, GenericEvent, Hub, scope
from hubwire.approvals import Answer, FunctionApprover
from hubwire.errors import NotApproved
from hubwire.events import ModelCalled, ModelCompleted, ToolCalled, ToolCompleted, ToolFailed, TurnEnded, TurnStarted
from hubwire.listeners.audit import AuditLog
from hubwire.log import LogReader, Record
from hubwire.ports import KnowledgeStore
from hubwire.stores import FileStore

HOSTILE = (
    '<script>document.title="owned"</script>',
    "</script><script>document.title='owned'</script>",
    "<!-- <script>",
    "]]> --> &lt;b&gt; \u2028 \u2029 \u202e abc \u2066 \x00 \x1b[2J \ufeff",
    '<img src=x onerror="document.title=1">',
    "javascript:document.title=1",
)
"""Texts that are markup, program or direction where they are not handled as text."""

FORMULAS = (
    "=1+1",
    "+1",
    "-1+2",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    " =1",
    "'=1",
    "'",
    "＝1",
    '=HYPERLINK("http://x")',
    "a,b;c\r\n\"d'",
)
"""Texts that a spreadsheet may take for formulas, and others that CSV has to quote."""

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def review(question: object) -> Answer:
    """Deny what goes to production."""
    return Answer(False, "not on a Friday") if "production" in str(question.arguments) else Answer(True)  # type: ignore[attr-defined] # it is a question


async def work(hub: Hub) -> None:
    """Let agents work: a turn with a model and tools, approvals, hostile texts, a failure."""
    planner = await hub.agents.register("planner")
    coder = await hub.agents.register("coder", capabilities=["python"])
    channel = await hub.channels.open([planner, coder], topic="fix the build")
    await channel.post(planner, {"text": "please fix the build", "urgent": True}, to=[coder])
    about: dict[str, Any] = {"agent_id": coder.id, "channel_id": channel.id, "turn_id": "turn-1", "session_id": "s-1"}
    with scope(traceparent=TRACEPARENT, correlation_id="corr-1"):
        await hub.emit(TurnStarted(**about, prompt="please fix the build"))
        await hub.emit(ModelCalled(**about, model="gpt-4o", call_id="m1", request={"messages": 3}))
        await hub.emit(ModelCompleted(**about, model="gpt-4o", call_id="m1", input_tokens=812, output_tokens=97))
        await hub.emit(ToolCalled(**about, tool="pytest", call_id="c1", arguments={"path": "tests"}))
        await hub.emit(ToolFailed(**about, tool="pytest", call_id="c1", error_message="1 failed", error_type="Failed"))
        await hub.emit(ToolCalled(**about, tool="edit", call_id="c2", arguments={"file": "a.py", "n": -3}))
        await hub.emit(ToolCompleted(**about, tool="edit", call_id="c2", result={"saved": True}, duration_ms=12.5))
        await hub.emit(TurnEnded(**about, content="done", tool_calls=2))
    for to in ("staging", "production"):
        try:
            await hub.approvals.gate(coder, "deploy", arguments={"to": to})
        except NotApproved:
            continue
    for text in (*HOSTILE, *FORMULAS):
        await channel.post(coder, {"text": text}, to=[planner])
    await hub.agents.register(HOSTILE[0])
    odd = await hub.channels.open([planner, coder], topic=HOSTILE[1])
    await odd.post(planner, HOSTILE[2], to=[coder])
    await hub.emit(GenericEvent(kind="user.said", data={"=cmd": "=1+1", HOSTILE[0]: [1, -2, 3.5, None, True, "x"]}))
    await channel.close("done")


async def make_log(path: Path, *, redactor: object = "default") -> FileStore:
    """Make a store at ``path`` with the audit log of a hub that has worked; return it, open."""
    store = FileStore(path)
    approvals = ApprovalPolicy(approvers=[FunctionApprover("alice", review)], timeout_seconds=60)
    async with Hub(store, listeners=[AuditLog(store, redactor=redactor)], approvals=approvals) as hub:  # type: ignore[arg-type] # it is what redactor= takes
        await work(hub)
    return store


async def read_log(store: KnowledgeStore, path: str = "/audit") -> list[Record]:
    """Return all records of a log."""
    reader = LogReader(store, path)
    found: list[Record] = []
    while records := await reader.read():
        found += records
    return found
