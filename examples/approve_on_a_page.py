"""A web page on which a person decides what agents may do. It needs only the standard library.

    python examples/approve_on_a_page.py

prints the address of the page. It is a link with a key: the key is what vouches for the person who answers. Stop the
program in the middle and start it again: the questions are still there, and so is a yes that was not used.
"""

from __future__ import annotations

import asyncio
import hmac
import html
import json
import secrets
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Self
from urllib.parse import parse_qs, urlsplit

from hubwire import ApprovalPolicy, Hub, PendingApproval
from hubwire.approvals import DEFAULT_CHALLENGES, ChallengeKind, Claim, RiskLevel
from hubwire.errors import HubError, NotApproved
from hubwire.listeners import AuditLog
from hubwire.risk import Environment, NameScorer
from hubwire.stores import FileStore

FORM_BYTES_MAX = 64 * 1024
ONE_PERSON = {**DEFAULT_CHALLENGES, RiskLevel.CRITICAL: ChallengeKind.CONFIRM}
"""One person decides alone, also about critical risk."""

STYLE = """
:root { color-scheme: light dark; --ink: light-dark(#1d2433, #e6e9f0); --soft: light-dark(#667085, #98a2b3);
  --page: light-dark(#f5f6f9, #11151d); --card: light-dark(#fff, #1a202c); --line: light-dark(#e2e5ec, #2c3444) }
* { box-sizing: border-box }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif }
main { max-width: 44rem; margin: 0 auto; padding: 2.5rem 1rem }
h1 { font-size: 1.3rem; margin: 0 0 1.5rem } h1 small { color: var(--soft); font-weight: 400; margin-left: .5rem }
article { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 1.25rem 1.4rem;
  margin-bottom: 1.25rem; border-left: 4px solid var(--level) }
.low, .medium { --level: #2e90fa } .high { --level: #f79009 } .critical { --level: #f04438 }
h2 { font-size: 1.05rem; margin: 0 0 .2rem } h2 code { font-size: 1rem }
.badge { float: right; background: var(--level); color: #fff; border-radius: 99px; padding: .05rem .7rem;
  font-size: .8rem }
p { margin: .2rem 0; color: var(--soft) }
table { width: 100%; border-collapse: collapse; margin: .9rem 0; font-size: .9rem }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0; border-top: 1px solid var(--line) }
th { font-weight: 500; color: var(--soft); width: 11rem } td { overflow-wrap: anywhere; white-space: pre-wrap }
td, code { font-family: ui-monospace, monospace }
form { display: flex; gap: .5rem; flex-wrap: wrap }
input[type=text] { flex: 1; min-width: 12rem; padding: .45rem .7rem; border: 1px solid var(--line); border-radius: 8px;
  background: var(--page); color: inherit; font: inherit }
button { border: 0; border-radius: 8px; padding: .45rem 1rem; font: inherit; font-weight: 600; cursor: pointer }
.yes { background: #079455; color: #fff } .no { background: #d92d20; color: #fff }
.back { background: var(--line); color: inherit }
.note { border: 1px solid var(--line); border-radius: 8px; padding: .6rem 1rem; margin-bottom: 1.25rem }
"""


def text(value: object) -> str:
    """Write a value into the page: an agent wrote it, so none of it may be markup, or move what stands beside it."""
    return html.escape(json.dumps(value, indent=2, sort_keys=True) if not isinstance(value, str) else value)


def card(question: PendingApproval) -> str:
    """Show one question with all that there is to see before one decides."""
    if question.is_shown:
        arguments = question.arguments if isinstance(question.arguments, dict) else {"arguments": question.arguments}
    else:
        where = question.arguments_at or f"in event {question.arguments_seq} of the audit log"
        arguments = {"arguments": f"{where}; SHA-256 {question.digest}"}
    rows = "".join(f"<tr><th>{text(name)}</th><td>{text(value)}</td></tr>" for name, value in arguments.items())
    steps = "".join(
        f"<tr><th>{text(each.scorer)}</th><td>{each.score:.2f}  {text(each.reason)}</td></tr>"
        for each in question.risk_steps
    )
    level = question.risk_level.value if question.risk_level else "medium"
    answered = f", {len(question.passed)} of {question.quorum} have agreed" if question.quorum > 1 else ""
    return f"""<article class="{level}"><span class="badge">{level} {question.risk_score or 0:.2f}</span>
<h2>{text(question.agent_name)} wants to <code>{text(question.action)}</code></h2>
<p>until {text(question.deadline[:16].replace("T", " "))} UTC{answered}</p>
<table>{rows}</table><table>{steps}</table>
<form method="post" action="/answer"><input type="hidden" name="key" value="{{key}}">
<input type="hidden" name="id" value="{text(question.approval_id)}">
<input type="hidden" name="digest" value="{text(question.digest)}">
<input type="text" name="reason" maxlength="500" placeholder="reason">
<button class="yes" name="verdict" value="yes">Approve</button>
<button class="no" name="verdict" value="no">Deny</button>
<button class="back" name="verdict" value="back">Send back</button></form></article>"""


def page(questions: tuple[PendingApproval, ...], key: str, note: str = "") -> bytes:
    cards = "".join(map(card, questions)).replace("{key}", html.escape(key))
    body = cards or '<p class="note">There is nothing to decide. This page looks again every five seconds.</p>'
    told = f'<p class="note" role="status">{text(note)}</p>' if note else ""
    again = "" if questions else '<meta http-equiv="refresh" content="5">'
    return f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>Approvals ({len(questions)})</title>{again}
<meta name="viewport" content="width=device-width"><style>{STYLE}</style>
<main><h1>Approvals<small>{len(questions)} to decide</small></h1>{told}{body}</main></html>""".encode()


class Page(ThreadingHTTPServer):
    """The page of one person. It runs in threads of its own, and calls the hub from there."""

    daemon_threads = True

    def __init__(self, hub: Hub, person: str, key: str, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.hub, self.person, self.key = hub, person, key
        self.address = f"http://127.0.0.1:{self.server_port}/?key={key}"

    def __enter__(self) -> Self:
        Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def questions(self) -> tuple[PendingApproval, ...]:
        async def pending() -> tuple[PendingApproval, ...]:
            return tuple(each for each in self.hub.approvals.pending() if each.answers_from)

        return self.hub.approvals.from_thread(pending).result(10)

    def decide(self, form: dict[str, str]) -> str:
        """Answer in the person's name; return what to tell."""
        approvals = self.hub.approvals
        shown = {each.approval_id: each for each in self.questions()}.get(form.get("id", ""))
        if shown is None or shown.digest != form.get("digest"):
            return "This question was decided already, or is another one now."
        about, key, reason = shown.approval_id, form["key"], form.get("reason", "")
        if form.get("verdict") == "back":
            asked = approvals.from_thread(approvals.send_back, about, self.person, reason, proof=key)
        else:
            is_yes = form.get("verdict") == "yes"
            asked = approvals.from_thread(
                approvals.answer, about, self.person, is_passed=is_yes, reason=reason, proof=key
            )
        try:
            asked.result(10)
        except HubError as error:
            return str(error)
        return f"Your answer about {shown.action} is recorded."


class Handler(BaseHTTPRequestHandler):
    server: Page
    timeout = 10

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        self.reply(query.get("key", [""])[0])

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > FORM_BYTES_MAX:
            self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return
        fields = parse_qs(self.rfile.read(int(length)).decode(errors="replace"))
        form = {name: values[0] for name, values in fields.items()}
        self.reply(form.get("key", ""), form)

    def reply(self, key: str, form: dict[str, str] | None = None) -> None:
        # The key is in the form, not in a cookie: no other page can send it in the person's name.
        if not hmac.compare_digest(key.encode(), self.server.key.encode()):
            self.send_error(HTTPStatus.FORBIDDEN, "Open the link that the program has printed")
            return
        note = "" if form is None else self.server.decide(form)
        body = page(self.server.questions(), key, note)
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return  # its lines would have the key in them


async def main(directory: str) -> None:
    key = secrets.token_urlsafe(24)

    def vouch(claim: Claim) -> str | None:
        """Say who answers. Ask your own login here."""
        is_known = isinstance(claim.proof, str) and hmac.compare_digest(claim.proof.encode(), key.encode())
        return f"{claim.approver}@example.org" if is_known else None

    store = FileStore(directory)
    policy = ApprovalPolicy(
        scorer=Environment(NameScorer(), "staging"),
        timeout_seconds=3 * 86_400,
        remind_seconds=86_400,
        challenges=ONE_PERSON,
        vouch=vouch,
    )
    async with Hub(store, listeners=[AuditLog(store)], approvals=policy) as hub, asyncio.TaskGroup() as tasks:
        coder = hub.agents.find("coder") or await hub.agents.register("coder")

        async def act(action: str, **arguments: object) -> None:
            try:
                approval = await hub.approvals.gate(coder, action, arguments=arguments, idempotency_key=action)
                by = ", ".join(approval.approvers)
                print(
                    f"{action}: approved {f'by {by}' if by else f'without a question: {approval.reason}'}", flush=True
                )
            except NotApproved as error:
                print(f"{action}: {error.verdict}. {error.reason or 'No reason was given.'}", flush=True)

        with Page(hub, "ann", key) as server:
            print(f"decide at {server.address}", flush=True)
            questions = [
                tasks.create_task(act("send_mail", to="everyone@example.org", subject="The site is down <now>")),
                tasks.create_task(act("drop_table", database="orders", table="invoices", cascade=True)),
                tasks.create_task(act("list_files", folder="/srv")),
            ]
            await asyncio.wait(questions)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "./hubwire-example"))
