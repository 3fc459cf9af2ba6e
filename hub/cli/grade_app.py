"""The arguments of ``hubwire grade``."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

__all__ = ("grade",)


def grade(
    target: Annotated[str, Parameter(help="The log: a directory, or the URL of a store: file:///data.")],
    /,
    *,
    against: Annotated[
        str,
        Parameter(
            allow_leading_hyphen=True,
            help="What the runtime has recorded itself: a transcript, a session, checkpoints, or the store of another"
            " hub; - is the standard input.",
        ),
    ],
    format_: Annotated[
        Literal[
            "auto",
            "openai-chat",
            "openai-responses",
            "anthropic",
            "claude-code",
            "gemini",
            "langchain",
            "langgraph",
            "sharegpt",
            "otlp",
            "log",
        ],
        Parameter(name="--format", help="The format of the record; by default it is recognised."),
    ] = "auto",
    messages_key: Annotated[
        str | None,
        Parameter(help="The key of the messages in an item, with dots for keys below others: body.messages."),
    ] = None,
    log: Annotated[
        str | None, Parameter(name="--log", help="The log within the store; by default /audit, else /journal.")
    ] = None,
    against_log: Annotated[
        str | None, Parameter(help="Likewise, where the record is the store of another hub.")
    ] = None,
    raw: Annotated[
        bool, Parameter(negative="", help="Print contents as they are: by default, what is secret is redacted.")
    ] = False,
    json: Annotated[bool, Parameter(help="Print one JSON object.")] = False,
) -> int:
    """Compare a log with what the agents' runtime has recorded itself, and say what the log lacks.

    Exits with 0 if all that the record says is in the log, with 1 if it lacks some of it or says otherwise, and with 2
    if one of the two cannot be read.
    """
    from .grade import Wanted, grade

    wanted = Wanted(
        against=against,
        format=format_,
        messages_key=messages_key,
        log=log,
        against_log=against_log,
    )
    return grade(target, wanted, as_json=json, raw=raw)
