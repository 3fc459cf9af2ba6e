"""The arguments of the verbs that take in what others have recorded: ``import`` and ``follow``."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

__all__ = ("follow", "import_")


def import_(
    file: Annotated[
        str,
        Parameter(
            allow_leading_hyphen=True,
            help="JSON Lines or JSON, also packed by gzip or Zstandard, or the directory of a store of AG2; - is the"
            " standard input.",
        ),
    ],
    /,
    *,
    store: Annotated[str, Parameter(help="The store of the hub: file:///data, or a directory.")],
    format_: Annotated[
        Literal[
            "auto",
            "openai-chat",
            "openai-responses",
            "anthropic",
            "gemini",
            "langchain",
            "sharegpt",
            "otlp",
            "ag2-audit",
            "ag2-store",
        ],
        Parameter(name="--format", help="The format of the input; by default it is recognised."),
    ] = "auto",
    skip_bad: Annotated[bool, Parameter(help="Skip items that are refused, and report each.")] = False,
    messages_key: Annotated[
        str | None,
        Parameter(help="The key of the messages in an item, with dots for keys below others: body.messages."),
    ] = None,
    json: Annotated[bool, Parameter(help="Print one JSON object that accounts for all.")] = False,
) -> int:
    """Import what others have recorded, each conversation as a channel. Run it again: only what is new is imported.

    Exits with 3 if items were skipped, with 1 if none was imported.
    """
    from .import_ import import_file

    return import_file(file, store, format_name=format_, skip_bad=skip_bad, messages_key=messages_key, as_json=json)


def follow(
    stream: Annotated[
        str,
        Parameter(
            allow_leading_hyphen=True,
            help="A file, read as it grows; a URL with lines of JSON or server-sent events; - is the standard input.",
        ),
    ],
    /,
    *,
    store: Annotated[str, Parameter(help="The store of the hub: file:///data, or a directory.")],
    kind: Annotated[
        str | None, Parameter(help="The kind of events that name none; by default record.received.")
    ] = None,
    header: Annotated[
        tuple[str, ...], Parameter(help="A header for a URL: 'Authorization: Bearer …'. Can be repeated.")
    ] = (),
    once: Annotated[bool, Parameter(help="Take in what is there now, and end.")] = False,
) -> int:
    """Take a stream of others' records into a store: lines of JSON, CloudEvents. Stop it with Ctrl-C.

    Each becomes an event once, also when the stream is read again. Exits with 3 if lines were refused.
    """
    from .follow import follow

    return follow(stream, store, kind=kind, headers=header, once=once)
