"""The verbs of ``hubwire dead-letters``, and their arguments."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

from cyclopts import App, Parameter
from cyclopts.validators import Number

__all__ = ("dead_letters",)

Target = Annotated[
    str, Parameter(help="A directory, the URL of a store, file:///data, or the address of a hub's dashboard.")
]
JournalPath = Annotated[str, Parameter(name="--log", help="The journal within the store; by default /journal.")]
Letters = Annotated[tuple[str, ...], Parameter(help="The ids of the letters, as list prints them.")]
All = Annotated[bool, Parameter(name="--all", help="All letters that there are now.")]
OfListener = Annotated[str | None, Parameter(help="Only letters of the listener attached under this name.")]

dead_letters: App = App(
    name="dead-letters",
    help="Look at what listeners and agents could not handle; have it retried, or give it up.",
    help_format="plaintext",
    default_parameter=Parameter(negative=(), show_default=False),
)


@dead_letters.command(name="list")
def list_(
    store: Target,
    /,
    *,
    attachment: OfListener = None,
    kind: Annotated[str | None, Parameter(help="Only about events of this kind; * stands for any part.")] = None,
    reason: Annotated[
        Literal["handler_error", "timeout", "all_failed", "validation", "serialization", "overflow", "dropped"] | None,
        Parameter(help="Only those that died of this."),
    ] = None,
    after: Annotated[str | None, Parameter(help="Only those whose ids sort behind this one: the next page.")] = None,
    lines: Annotated[
        int, Parameter(name=["-n", "--lines"], validator=Number(gte=1), help="How many at most; by default 100.")
    ] = 100,
    output: Annotated[
        Literal["pretty", "json"],
        Parameter(name=["-o", "--output"], help="pretty: a line for people; json: all there is, an object a line."),
    ] = "pretty",
    log: JournalPath = "/journal",
) -> None:
    """Print the dead letters of a store, the oldest first. It only reads, also while a hub is at work."""
    import anyio

    from .dead_letters import Wanted, list_letters

    wanted = Wanted(attachment=attachment, kind=kind, reason=reason, after=after)
    anyio.run(partial(list_letters, store, wanted, lines=lines, as_json=output == "json", log=log))


@dead_letters.command
def show(
    store: Annotated[str, Parameter(help="A directory, or the URL of a store. It may also stand behind the letter.")],
    letter: Annotated[str, Parameter(help="The id of the letter, as list prints it.")],
    /,
    *,
    log: JournalPath = "/journal",
) -> None:
    """Print one dead letter in full, with its event and where its error came from."""
    import anyio

    from .dead_letters import show_letter
    from .target import in_order

    letter, store = in_order(letter, store)
    anyio.run(partial(show_letter, store, letter, log=log))


@dead_letters.command
def retry(
    store: Target,
    /,
    *letters: Annotated[str, Parameter(help="The ids of the letters, as list prints them.")],
    all_: All = False,
    attachment: OfListener = None,
    log: JournalPath = "/journal",
) -> int:
    """Ask the hub to deliver letters once more: it does when it starts, or within ten seconds if it runs."""
    import anyio

    from .dead_letters import ask

    return anyio.run(partial(ask, store, "retry", letters, is_all=all_, attachment=attachment, reason="", log=log))


@dead_letters.command
def discard(
    store: Target,
    /,
    *letters: Annotated[str, Parameter(help="The ids of the letters, as list prints them.")],
    all_: All = False,
    attachment: OfListener = None,
    reason: Annotated[str, Parameter(help="Why.")] = "",
    log: JournalPath = "/journal",
) -> int:
    """Ask the hub to give letters up: it does when it starts, or within ten seconds if it runs."""
    import anyio

    from .dead_letters import ask

    return anyio.run(
        partial(ask, store, "discard", letters, is_all=all_, attachment=attachment, reason=reason, log=log)
    )
