"""The verb ``hubwire tail``, and its arguments."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

import attrs
from cyclopts import Parameter

from ..errors import ConfigurationError
from .selecting import TailFilters
from .tail_output import Output

__all__ = ("tail",)

_ALL = TailFilters()
_LINES = 10

LogPath = Annotated[
    str | None, Parameter(name="--log", help="The log within the store; by default /audit, else /journal.")
]


def _check_lines(_: object, lines: int | str | None) -> None:
    if isinstance(lines, int) and lines < 0:
        raise ValueError("Must be 0 or more, or all.")


def tail(
    target: Annotated[
        str, Parameter(help="A directory, the URL of a store, file:///data, or the address of a hub's dashboard.")
    ],
    /,
    *more: Annotated[str, Parameter(help="More of them: their records are merged by time, each with its name.")],
    follow: Annotated[
        bool,
        Parameter(name=["-f", "--follow"], help="Print new events as they come; wait for a log that is not there yet."),
    ] = False,
    lines: Annotated[
        int | Literal["all"] | None,
        Parameter(
            name=["-n", "--lines", "--last"],
            validator=_check_lines,
            help="How many of the last records, or all; by default 10, and all with --since.",
        ),
    ] = None,
    filters: TailFilters = _ALL,
    grep: Annotated[
        tuple[str, ...],
        Parameter(
            allow_leading_hyphen=True,
            help="Only records in whose line or JSON this regular expression is found. Can be repeated: any of them.",
        ),
    ] = (),
    exclude: Annotated[
        tuple[str, ...],
        Parameter(allow_leading_hyphen=True, help="No records in which this regular expression is found."),
    ] = (),
    output: Annotated[
        Output,
        Parameter(
            name=["-o", "--output"],
            help="pretty: a line for people; json, jsonl: the record, one a line; csv: some fields; cloudevents.",
        ),
    ] = "pretty",
    head: Annotated[
        bool, Parameter(help="Then print the head of the log: keep it elsewhere, for verify --expect-head.")
    ] = False,
    raw: Annotated[
        bool, Parameter(help="Print what is stored as it is: by default, what is personal or secret is redacted.")
    ] = False,
    log: LogPath = None,
) -> None:
    """Print the last events of a log, and with -f also the new ones. Stop it with Ctrl-C.

    With --zone, times are shown in that zone, and name it.
    """
    import anyio

    from .._foreign.arguments import Call
    from ..query._moments import zone_of
    from .tail import Tail, tail

    asked = Tail(
        selection=attrs.evolve(filters, outcome=()).selection("tail"),
        outcomes=tuple(map(_outcome, filters.outcome)),
        lines=_lines(lines, has_since=filters.since is not None),
        keep_following=follow,
        output=output,
        grep=grep,
        exclude=exclude,
        zone=None if filters.zone is None else zone_of(Call("tail", ConfigurationError), filters.zone),
        with_head=head,
        raw=raw,
        log=log,
    )
    anyio.run(partial(tail, (target, *more), asked))


def _lines(given: int | str | None, *, has_since: bool) -> int | None:
    if given is None:
        return None if has_since else _LINES
    return given if isinstance(given, int) else None


def _outcome(given: str) -> str:
    from .._foreign.arguments import nearest
    from .sieve import OUTCOMES

    if given in (*OUTCOMES, "success", "failure"):
        return given
    advice = nearest(given, OUTCOMES)
    raise ConfigurationError(
        f"tail: outcome is one of {', '.join(OUTCOMES)}, not {given[:80]!r}{f'; {advice}' if advice else ''}"
    )
