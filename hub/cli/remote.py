"""The verbs at the address of a running hub: the same questions as of a store, asked of its dashboard."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import anyio

from ..errors import ConfigurationError
from ..query import Selection
from .failures import CommandFailed
from .hub_client import HubClient
from .hub_source import filters_of
from .output import Paint, as_text, escape, escape_json, is_terminal, plural, say
from .remote_query import reading
from .rows import rows_as

__all__ = ("dead_letters", "decide_letters", "doctor", "export", "only_stores", "show", "stats", "verify")

_PAGE = 500
_POLL_SECONDS = 0.5
_LETTER_COLUMNS = ("id", "failed_at", "listener", "kind", "seq", "attempts", "error")


def only_stores(verb: str, asked: dict[str, Any], unless: Sequence[str] = ()) -> None:
    """Refuse what a verb can be asked of a store alone, if it was asked."""
    for option, given in asked.items():
        if given not in (None, False, (), "") and option not in unless:
            raise ConfigurationError(
                f"{verb}: {option} is for a store, and the address of a hub was given; name its directory or store URL"
            )


# --- events ---------------------------------------------------------------------------------------------------------


async def show(address: str, wanted: str) -> None:
    """Print one event of a hub, by its seq; -1 is the newest."""
    async with HubClient(address) as client:
        seq = wanted = wanted.removeprefix("index:") if wanted.startswith("index:-") else wanted
        if wanted.startswith("-"):
            number = -int(wanted) if wanted[1:].isdecimal() else 0
            if not 0 < number <= _PAGE:
                raise ConfigurationError(f"show: {wanted} is no place; -1 is the newest event, -2 the one before")
            rows = (await client.get("api/events", newest_first=1, limit=number))["rows"]
            if len(rows) < number:
                raise CommandFailed(f"{client.name} has {plural(len(rows), 'event')}, and none at {wanted}")
            seq = str(rows[-1]["seq"])
        if not seq.isdecimal():
            raise ConfigurationError(
                f"show: {wanted!r:.80} is no seq; at the address of a hub, events are known by their seq"
            )
        found = await client.get(f"api/events/{seq}")
        if found.get("contents") == "hidden":
            say(f"hubwire: {client.name} hides contents from this token; they are told by their size", sys.stderr)
        say(as_text(found.get("event") or found["row"]))


async def export(address: str, format_: str, output: str, selection: Selection, *, force: bool) -> None:
    """Write the selected events of a hub to a file, or the standard output, as its dashboard sends them: redacted."""
    if format_ not in ("jsonl", "csv", "cloudevents"):
        raise ConfigurationError(
            f"export: a hub's address gives jsonl, csv and cloudevents, not {format_}; name its store for that"
        )
    if selection.where and format_ != "jsonl":
        raise ConfigurationError(f"export: at a hub's address, --where is for jsonl, not {format_}; name its store")
    path = anyio.Path(output)
    if output != "-" and await path.exists() and not force:
        raise ConfigurationError(f"export: {output} is there already; give --force to write it anew")
    count = 0
    async with HubClient(address) as client, _download(client, format_, selection) as lines:
        if output == "-":
            is_shown = is_terminal(sys.stdout)
            clean = escape if format_ == "csv" else escape_json
            async for line in lines:
                text = line.removesuffix(b"\r").decode(errors="backslashreplace")
                say(clean(text) if is_shown else text)
            return
        part = anyio.Path(f"{output}.part")
        async with await part.open("wb") as file:
            async for line in lines:
                await file.write(line + b"\n")
                count += 1
        await part.rename(Path(output))
    say(f"{plural(count - (format_ == 'csv' and count > 0), 'record')} of {client.name}, redacted: {output}")


@asynccontextmanager
async def _download(client: HubClient, format_: str, selection: Selection) -> AsyncIterator[AsyncIterator[bytes]]:
    """Give the lines of an export."""
    if format_ == "jsonl":
        async with reading(client, selection) as lines:
            yield lines
    else:
        async with aclosing(client.lines("api/export", format=format_, **filters_of(selection))) as lines:
            yield lines


# --- numbers --------------------------------------------------------------------------------------------------------


async def stats(address: str, *, as_json: bool) -> None:
    """Print the numbers of a hub."""
    async with HubClient(address) as client:
        found = await client.get("api/statistics")
    if as_json:
        say(escape_json(json.dumps(found, ensure_ascii=False)))
        return
    flat = list(_flat(found))
    width = max((len(name) for name, _ in flat), default=0)
    for name, value in flat:
        say(f"{escape(name):<{width}}  {escape(value)}")


def _flat(value: Any, name: str = "") -> list[tuple[str, str]]:
    """Return the numbers within a value, each with its path of keys."""
    if isinstance(value, dict):
        return [each for key, inner in value.items() for each in _flat(inner, f"{name}.{key}" if name else str(key))]
    if isinstance(value, list) and any(isinstance(each, (dict, list)) for each in value):
        return [
            each
            for number, inner in enumerate(value)
            for each in _flat(inner, f"{name}.{inner.get('name', number) if isinstance(inner, dict) else number}")
        ]
    if isinstance(value, list):
        return [(name, ", ".join(map(str, value)) or "–")]
    if isinstance(value, bool) or value is None:
        return [(name, {True: "yes", False: "no", None: "–"}[value])]
    return [(name, f"{value:,}" if isinstance(value, (int, float)) else str(value))]


async def doctor(address: str, *, as_json: bool) -> int:
    """Print what is wrong with a hub that runs; return the exit code."""
    async with HubClient(address) as client:
        found = await client.get("api/health")
    is_healthy = bool(found.get("healthy"))
    if as_json:
        say(escape_json(json.dumps(found, ensure_ascii=False)))
        return 0 if is_healthy else 1
    paint = Paint(sys.stdout)
    for problem in found.get("problems") or ():
        say(f"{paint.red('problem')}  {escape(str(problem))}")
    for note in found.get("notes") or ():
        say(f"{paint.dim('note')}     {escape(str(note))}")
    if is_healthy:
        say(f"{paint.green('well')}     the hub keeps all its promises")
    return 0 if is_healthy else 1


async def verify(address: str, *, as_json: bool) -> int:
    """Have a hub's audit log verified, and say how far it is; return the exit code."""
    async with HubClient(address) as client:
        found = await client.post("api/verify") or {}
        told = ""
        while found.get("state") in (None, "none", "checking"):
            await anyio.sleep(_POLL_SECONDS)
            found = await client.get("api/verify")
            text = str(found.get("text") or "")
            if text != told and not as_json and is_terminal(sys.stderr):
                print(f"\r\x1b[K{escape(text)}", end="", file=sys.stderr, flush=True)
                told = text
    if told:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    is_whole = found["state"] == "verified"
    if as_json:
        say(escape_json(json.dumps(found, ensure_ascii=False)))
    elif is_whole:
        more = str(found.get("text") or "")
        say(f"verified to #{found['seq']:,}{f'; {escape(more)}' if more else ''}")
    else:
        raise CommandFailed(f"{client.name}: {found.get('text') or found['state']}")
    return 0 if is_whole else 1


# --- dead letters ---------------------------------------------------------------------------------------------------


async def dead_letters(
    address: str, *, attachment: str | None, lines: int, as_json: bool, letter_id: str | None = None
) -> None:
    """Print the dead letters of a hub; with ``letter_id`` that one in full."""
    async with HubClient(address) as client:
        found = await client.get("api/dead-letters", listener=attachment, limit=lines)
    rows: list[dict[str, Any]] = found["rows"]
    if letter_id is not None:
        row = next((each for each in rows if each["id"] == letter_id), None)
        if row is None:
            raise CommandFailed(
                f"{client.name} has no dead letter {letter_id!r:.80}; `hubwire dead-letters list` prints them"
            )
        say(as_text(row))
    elif as_json:
        for row in rows:
            say(escape_json(json.dumps(row, ensure_ascii=False)))
    elif rows:
        table = rows_as("table", _LETTER_COLUMNS)
        for row in rows:
            table.add({**row, "failed_at": str(row.get("failed_at") or "")[:19].replace("T", " ")})
        table.end()
        if found.get("total", 0) > len(rows):
            say(f"hubwire: {found['total'] - len(rows):,} more", sys.stderr)
    else:
        say("no dead letters")


async def decide_letters(
    address: str,
    action: Literal["retry", "discard"],
    letter_ids: Sequence[str],
    *,
    is_all: bool,
    attachment: str | None,
    reason: str,
) -> int:
    """Have letters delivered once more, or given up, at once; return the exit code."""
    if bool(letter_ids) == (is_all or attachment is not None):
        raise ConfigurationError(f"name the letters to {action}, or give --all, or --attachment with a listener's name")
    async with HubClient(address) as client:
        ids = list(dict.fromkeys(letter_ids))
        if not ids:
            found = await client.get("api/dead-letters", listener=attachment, limit=_PAGE)
            ids = [each["id"] for each in found["rows"]]
        if not ids:
            say("no dead letters")
            return 0
        body: dict[str, Any] = {"ids": ids, **({"reason": reason} if action == "discard" else {})}
        done = await client.post(f"api/dead-letters/{action}", body)
    did = {"retry": "retried", "discard": "discarded"}[action]
    say(f"{did} {plural(done['done'], 'dead letter')}")
    for each in done.get("failed") or ():
        say(f"hubwire: {escape(str(each['id']))}: {escape(str(each['message']))}", sys.stderr)
    return 1 if done.get("failed") else 0
