"""The verbs ``hubwire export`` and ``hubwire report``, and their arguments."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

from cyclopts import Parameter

from .selecting import Filters

__all__ = ("export", "report")

_ALL = Filters()

Target = Annotated[str, Parameter(help="A directory, or the URL of a store: file:///data.")]
Place = Annotated[
    str, Parameter(help="A directory, the URL of a store, file:///data, or the address of a hub's dashboard.")
]
Force = Annotated[bool, Parameter(help="Replace the file if it is there.")]
Raw = Annotated[
    bool, Parameter(help="Write what is stored as it is: by default, what is personal or secret is redacted.")
]
LogPath = Annotated[
    str | None, Parameter(name="--log", help="The log within the store; by default /audit, else /journal.")
]

Archive = Annotated[
    str | None, Parameter(help="The archive of the log, a directory or a URL: what was moved there is read, too.")
]


def export(
    target: Place,
    /,
    *,
    filters: Filters = _ALL,
    format_: Annotated[
        Literal["jsonl", "csv", "cloudevents", "ocsf", "ecs", "otlp", "parquet"],
        Parameter(name="--format", help="The format: jsonl is the records as they stand in the log."),
    ],
    output: Annotated[
        str, Parameter(name=["-o", "--output"], allow_leading_hyphen=True, help="A file, or - for the standard output.")
    ] = "-",
    columns: Annotated[
        str | None, Parameter(help="With csv: the fields that are columns, as seq,at,kind,content.text.")
    ] = None,
    force: Force = False,
    raw: Raw = False,
    log: LogPath = None,
    archive: Archive = None,
) -> None:
    """Write the records of a log for another tool: all of them, redacted, without a cap and in constant memory."""
    import anyio

    from .export import export

    anyio.run(
        partial(
            export,
            target,
            format_=format_,
            output=output,
            columns=columns,
            selection=filters.selection("export"),
            log=log,
            raw=raw,
            force=force,
            archive=archive,
        )
    )


def report(
    target: Target,
    /,
    *,
    filters: Filters = _ALL,
    output: Annotated[
        str,
        Parameter(name=["-o", "--output"], allow_leading_hyphen=True, help="The file, or - for the standard output."),
    ],
    vkey: Annotated[
        str | None,
        Parameter(help="Of a signed log: the verifier key, or a file with it, for readers who do not have it."),
    ] = None,
    witness: Annotated[
        tuple[str, ...],
        Parameter(
            help="The verifier key of a witness that has seen the log, or a file with it, for readers who do not have"
            " it; may be given again.",
            negative=(),
        ),
    ] = (),
    title: Annotated[
        str | None, Parameter(help="What stands at its head; by default the log, and what is selected.")
    ] = None,
    force: Force = False,
    raw: Raw = False,
    log: LogPath = None,
) -> None:
    """Write a log, or a part of it, as one HTML file for a person: the page computes the chain again by itself."""
    import anyio

    from .report import report, verifier_key

    anyio.run(
        partial(
            report,
            target,
            output=output,
            title=title,
            vkey=verifier_key(vkey),
            witnesses=[key for key in map(verifier_key, witness) if key is not None],
            selection=filters.selection("report"),
            log=log,
            raw=raw,
            force=force,
        )
    )
