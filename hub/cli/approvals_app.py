"""The verbs of ``hubwire approvals``, and their arguments."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

from cyclopts import App, Parameter

__all__ = ("approvals",)

Target = Annotated[str, Parameter(help="A directory, the URL of a store, or the address of a running hub's dashboard.")]
Address = Annotated[str, Parameter(help="The address of a running hub's dashboard: http://127.0.0.1:8765.")]
Approval = Annotated[str, Parameter(help="The id of the approval, or the end of it, as list prints it.")]
Output = Annotated[
    Literal["pretty", "json"],
    Parameter(name=["-o", "--output"], help="pretty: for people; json: all there is."),
]
LogPath = Annotated[
    str | None, Parameter(name="--log", help="The log within the store; by default /audit, else /journal.")
]
Raw = Annotated[
    bool, Parameter(help="Print what is stored as it is: by default, what is personal or secret is redacted.")
]

approvals: App = App(
    name="approvals",
    help="Look at what waits for a person; at a running hub, approve it or deny it.",
    help_format="plaintext",
    default_parameter=Parameter(negative=(), show_default=False),
)


@approvals.command(name="list")
def list_(
    target: Target,
    /,
    *,
    all_: Annotated[bool, Parameter(name="--all", help="Also those that are decided, as far as remembered.")] = False,
    output: Output = "pretty",
    raw: Raw = False,
    log: LogPath = None,
) -> None:
    """Print the approvals that wait, the oldest first. It only reads."""
    import anyio

    from .approvals import list_approvals

    anyio.run(partial(list_approvals, target, log=log, is_all=all_, as_json=output == "json", raw=raw))


@approvals.command
def show(
    target: Target, approval: Approval, /, *, output: Output = "pretty", raw: Raw = False, log: LogPath = None
) -> None:
    """Print one approval in full: who wants what, the risk, what was said before, and who has answered."""
    import anyio

    from .approvals import show_approval

    anyio.run(partial(show_approval, target, approval, log=log, as_json=output == "json", raw=raw))


@approvals.command
def approve(
    target: Address,
    approval: Approval,
    /,
    *,
    reason: Annotated[str, Parameter(help="Why; it becomes part of the audit log.")] = "",
    reply: Annotated[
        tuple[str, ...],
        Parameter(
            allow_leading_hyphen=True,
            help="What is replied to the quiz of an action of high risk, once for each question; else a terminal asks.",
        ),
    ] = (),
    output: Output = "pretty",
) -> None:
    """Approve at a running hub, as the person whose token is given."""
    from .approvals import decide

    decide(target, approval, "approve", reason, reply, as_json=output == "json")


@approvals.command
def deny(
    target: Address,
    approval: Approval,
    /,
    *,
    reason: Annotated[str, Parameter(help="Why; the agent is told, and it becomes part of the audit log.")] = "",
    output: Output = "pretty",
) -> None:
    """Deny at a running hub, as the person whose token is given, with a reason."""
    from .approvals import decide

    decide(target, approval, "deny", reason, as_json=output == "json")
