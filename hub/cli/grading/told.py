"""A record that a log is compared with: which format it has, and what it says was done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from ...grading import Deed
from ..failures import CommandFailed
from ..importing.conversation import BadItem
from ..importing.decoding import NotJson, parse_json
from ..importing.fields import Wrong
from ..importing.format import Options
from ..importing.formats import FORMATS, NotRecognised, parse, recognise
from ..importing.opening import open_source
from ..importing.reading import Item, Source
from .claude_code import SessionDeeds, is_session_line
from .conversations import deeds_of_parts
from .langgraph import CheckpointDeeds, CheckpointsUnreadable, is_database, is_state, read_database

__all__ = ("Told", "read_transcript")

_LOOKED_AT = 20


@attrs.frozen
class Told:
    """What a record says was done."""

    format: str
    deeds: list[Deed]
    notes: tuple[str, ...] = ()
    """What the record cannot say, or what of it could not be read."""


def read_transcript(path: str, format_name: str, messages_key: str | None) -> Told:
    """Read a record of others. Raises :class:`~hubwire.cli.failures.CommandFailed` if it cannot be read."""
    try:
        if format_name in ("auto", "langgraph") and path != "-" and is_database(Path(path)):
            checkpoints = read_database(Path(path))
            return Told("langgraph", list(checkpoints.deeds()), tuple(checkpoints.notes))
    except CheckpointsUnreadable as error:
        raise CommandFailed(str(error)) from error
    with open_source(path, format_name) as source:
        options = Options(messages_key)
        if format_name == "auto":
            format_name = _recognised(source, options)
        if format_name == "claude-code":
            return _session(source)
        if format_name == "langgraph":
            return _states(source)
        deeds: list[Deed] = []
        for item in source.items():
            try:
                conversations = parse(FORMATS[format_name], item, options)
            except BadItem as error:
                raise CommandFailed(f"{source.name}, {error}") from error
            for number, conversation in enumerate(conversations):
                deeds += deeds_of_parts(conversation.parts, f"{item.number}/{number}", item.place)
    return Told(format_name, deeds)


def _recognised(source: Source, options: Options) -> str:
    """Return which format most of the first items have."""
    for number, item in enumerate(source.items()):
        if number >= _LOOKED_AT:
            break
        try:
            value = parse_json(item.raw)
        except NotJson:
            continue
        if is_session_line(value):
            return "claude-code"
        if is_state(value):
            return "langgraph"
    try:
        found = recognise(source, options)
    except NotRecognised as error:
        raise CommandFailed(
            f"{error}; grade knows claude-code and langgraph, too, and the directory of a hub"
        ) from error
    return "openai-chat" if found is None else found.format.name


def _values(source: Source) -> Iterator[tuple[Item, Any]]:
    for item in source.items():
        try:
            yield item, parse_json(item.raw)
        except NotJson as error:
            raise CommandFailed(f"{source.name}, {item.place}: {error}") from error


def _session(source: Source) -> Told:
    session = SessionDeeds()
    for item, value in _values(source):
        if not is_session_line(value):
            if isinstance(value, dict) and isinstance(value.get("type"), str):
                session.add({"type": value["type"]}, item.place)
                continue
            raise CommandFailed(f"{source.name}, {item.place}: is no line of a session of Claude Code")
        try:
            session.add(value, item.place)
        except Wrong as error:
            raise CommandFailed(f"{source.name}, {item.place}: {error}") from error
    return Told("claude-code", list(session.deeds()), tuple(session.notes))


def _states(source: Source) -> Told:
    states: list[tuple[Item, Any]] = []
    for item, value in _values(source):
        if not is_state(value):
            raise CommandFailed(
                f"{source.name}, {item.place}: is no state of a graph: it has no 'config' with 'configurable', and no"
                " 'values' or 'checkpoint'"
            )
        states.append((item, value))
    # Ids of checkpoints rise with time; LangGraph gives the newest first.
    states.sort(key=lambda pair: str(pair[1]["config"]["configurable"].get("checkpoint_id") or ""))
    checkpoints = CheckpointDeeds()
    for item, value in states:
        try:
            checkpoints.add_state(value)
        except (Wrong, NotJson) as error:
            raise CommandFailed(f"{source.name}, {item.place}: {error}") from error
    return Told("langgraph", list(checkpoints.deeds()), tuple(checkpoints.notes))
