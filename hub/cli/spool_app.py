"""The verbs of ``hubwire spool``, and ``hubwire hook`` for those who ask for its help."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

__all__ = ("hook", "spool")

Directory = Annotated[str, Parameter(help="The directory that processes write to by Spool or hubwire hook.")]

spool: App = App(
    name="spool",
    help="Take the events that processes have left in a directory into a store, or look at them.",
    help_format="plaintext",
    default_parameter=Parameter(negative=(), show_default=False),
)


@spool.command
def drain(
    store: Annotated[str, Parameter(help="The store of the hub: file:///data, or a directory.")],
    directory: Directory,
    /,
    *,
    once: Annotated[bool, Parameter(help="Take what is there, and exit; else follow it until Ctrl-C.")] = False,
    archive: Annotated[
        str | None, Parameter(help="Put files that are taken into this directory, on the same disk; else delete them.")
    ] = None,
) -> int:
    """Take the events of a spool into a store, each once, also when this is killed in between.

    Exits with 3 if some lines could not be taken. A program with a hub does the same by hub.feed(SpoolFeed(directory)).
    """
    from .spool import drain

    return drain(store, directory, once=once, archive=archive)


@spool.command
def status(directory: Directory, /, *, json: Annotated[bool, Parameter(help="Print one JSON object.")] = False) -> int:
    """Print what waits in a spool, who writes to it, and what is damaged. It only reads; exits with 1 if unwell."""
    from .spool import status

    return status(directory, as_json=json)


def hook(
    agent: Annotated[str, Parameter(help="Whose hook it is: claude-code, codex or gemini-cli.")],
    payload: Annotated[str | None, Parameter(help="The JSON, if it is not on the standard input.")] = None,
    /,
    *,
    spool: Annotated[
        str | None,
        Parameter(help="The directory to write to; by default HUBWIRE_SPOOL, else ~/.local/state/hubwire/spool."),
    ] = None,
    name: Annotated[
        str | None, Parameter(help="What the agent is called in events; by default as its program.")
    ] = None,
    content: Annotated[
        bool, Parameter(negative="", help="Keep prompts, arguments and results, redacted; else only how long they are.")
    ] = False,
    strict: Annotated[
        bool, Parameter(negative="", help="Say why nothing was recorded, and exit with 1; else it is silent, and 0.")
    ] = False,
    print_config: Annotated[
        bool, Parameter(negative="", help="Print what goes into the settings of the agent, with these options.")
    ] = False,
) -> int:
    """Record what a hook of a coding agent is given, as events in a spool. The agent calls it; see --print-config."""
    from .hooking import run

    words = [agent, *([] if payload is None else [payload])]
    words += [f"--{key}={value}" for key, value in (("spool", spool), ("name", name)) if value is not None]
    flags = (("content", content), ("strict", strict), ("print-config", print_config))
    return run([*words, *(f"--{key}" for key, is_given in flags if is_given)])
