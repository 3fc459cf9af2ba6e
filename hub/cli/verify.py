"""``hubwire verify``: what is known of an audit log, and what is not."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path

import attrs
from anyio import to_thread

from hubwire.listeners.audit import Outcome, Verdict, Verification, VerifierState, examine

from ..errors import InvalidRecord
from ..log import Head
from ..proof import VerifierKey
from .declared import covered, hidden
from .failures import CommandFailed
from .output import Paint, escape, is_terminal, plural, say
from .target import AUDIT, READING_SECONDS, find_log, open_target

__all__ = ("Expectations", "NotVerified", "verify")

_WIDTH = 110
_INDENT = " " * 24
_ROOM_MIN = 24
"""Of a text behind its label: on a narrower terminal, lines are broken by that."""


class NotVerified(CommandFailed):
    """A verdict on the log fails."""

    def __init__(self, message: str, *, is_incomplete: bool) -> None:
        """``is_incomplete``: all records that are there are right, and some are not there."""
        super().__init__(message)
        self.exit_code = 3 if is_incomplete else 1


@attrs.frozen(kw_only=True)
class Expectations:
    """What the options say of the log."""

    head: str | None = None
    records: int | None = None
    vkey: str | None = None
    since_checkpoint: Path | None = None
    witnesses: tuple[str, ...] = ()
    witness_quorum: int | None = None
    timestamp_certs: tuple[Path, ...] = ()
    gap_max: float | None = None
    all_faults: bool = False
    state: Path | None = None


async def verify(
    target: str, *, log: str | None, expected: Expectations, as_json: bool = False, archive: str | None = None
) -> None:
    """Print what is known of a log. Raises :class:`NotVerified` if a verdict on it fails."""
    state, since, vkey = await to_thread.run_sync(_files_of, expected)
    witnesses, certificates = await to_thread.run_sync(_witnesses_of, expected)
    store = open_target(target, READING_SECONDS, archive=archive)
    try:
        verification = await examine(
            store,
            await find_log(store, log or AUDIT, target),
            expect_head=None if expected.head is None else Head.parse(expected.head),
            expect_records=expected.records,
            vkey=vkey,
            expect_checkpoint=since,
            witnesses=witnesses,
            witness_quorum=expected.witness_quorum,
            timestamp_certificates=certificates,
            gap_seconds_max=expected.gap_max,
            all_faults=expected.all_faults,
            state=state,
        )
    finally:
        await store.aclose()
    if as_json:
        say(json.dumps(_as_json(verification)))
    else:
        _print(verification, target)
    for name, verdict in verification.verdicts.items():
        if verdict.outcome is Outcome.FAILS:
            raise NotVerified(f"{verdict.faults[0]}", is_incomplete=name == "completeness")
    if expected.state is not None and verification.state is not None:
        await to_thread.run_sync(_keep, expected.state, verification.state)
    if not as_json:
        begin = verification.first_record if state is None else state.records
        say(f"verified {verification.records - begin} records")


def _files_of(expected: Expectations) -> tuple[VerifierState | None, str | None, VerifierKey | None]:
    """Return what is in the files that the options name: a state, a checkpoint, a key."""
    since = expected.since_checkpoint
    return (
        _state_of(expected.state),
        None if since is None else _read(since, "--since-checkpoint"),
        None if expected.vkey is None else _key(expected.vkey),
    )


def _state_of(file: Path | None) -> VerifierState | None:
    """Return what the file remembers; None where there is none yet."""
    if file is None or not file.exists():
        return None
    try:
        return VerifierState.parse(_read(file, "--state"))
    except InvalidRecord as error:
        raise CommandFailed(f"--state {file}: {error}; without it, all of the log is read") from error


def _keep(file: Path, state: VerifierState) -> None:
    """Replace the file, so that a crash leaves the one before."""
    beside = file.with_name(f".{file.name}.new")
    try:
        with beside.open("w", encoding="utf-8") as opened:
            opened.write(state.to_text())
            opened.flush()
            os.fsync(opened.fileno())
        beside.replace(file)
    except OSError as error:
        raise CommandFailed(f"--state {file}: cannot be written ({error.strerror})") from error


def _witnesses_of(expected: Expectations) -> tuple[list[VerifierKey], list[str]]:
    """Return the keys of witnesses, and the certificates; an option may name a file."""
    certificates = [_read(each, "--timestamp-cert") for each in expected.timestamp_certs]
    return [_key(each, "--witness") for each in expected.witnesses], certificates


def _key(text: str, option: str = "--vkey") -> VerifierKey:
    """Return the key that an option is, or that is in the file which it names."""
    try:
        is_file = Path(text).is_file()
    except (OSError, ValueError):  # no file has such a name
        is_file = False
    return VerifierKey.parse(_read(Path(text), option) if is_file else text)


def _read(file: Path, option: str) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandFailed(f"{option} {file}: {getattr(error, 'strerror', None) or 'it is no text'}") from error


def _as_json(verification: Verification) -> dict[str, object]:
    fields = attrs.asdict(attrs.evolve(verification, state=None), value_serializer=lambda _, __, value: _plain(value))
    del fields["state"]
    return {**fields, "head": str(verification.head), "holds": verification.holds}


def _plain(value: object) -> object:
    return value.value if isinstance(value, Outcome) else value


def _print(found: Verification, target: str) -> None:
    paint = Paint(sys.stdout)
    events = plural(found.events, "event")
    if found.last_seq is not None:
        events += f", seq {found.first_seq} to {found.last_seq}"
    rows = {
        "log": f"{found.path} in {target}",
        "hub": found.hub or "none: it holds no event of a hub",
        "records": f"{found.records - found.first_record:,}, of which {events}",
        "head": str(found.head),
    }
    if found.pruned is not None:
        rows["pruned"] = str(found.pruned)
    for name, value in rows.items():
        say(f"{paint.dim(name.ljust(13))} {escape(value)}")
    for name, verdict in found.verdicts.items():
        say("")
        _print_verdict(name, verdict, paint)
    if found.coverage:
        say("")
        _print_rows("covered", (covered(each) for each in found.coverage), paint)
        _print_rows("hidden", (hidden(each) for each in found.coverage if each.hidden), paint)
    if found.notes:
        say("")
        _print_rows("note", found.notes, paint)
    say("")


def _print_verdict(name: str, verdict: Verdict, paint: Paint) -> None:
    colour = {Outcome.HOLDS: paint.green, Outcome.FAILS: paint.red, Outcome.UNKNOWN: paint.bold}[verdict.outcome]
    first, *rest = _wrapped(verdict.reason)
    say(f"{paint.bold(name.ljust(13))} {colour(verdict.outcome.value.ljust(9))} {first}")
    for line in rest:
        say(f"{_INDENT}{line}")
    _print_rows("fault", verdict.faults, paint)
    _print_rows("looked at", verdict.looked_at, paint)
    _print_rows("not known", verdict.not_looked_at, paint)


def _print_rows(label: str, texts: Iterable[str], paint: Paint) -> None:
    """Print texts, a line or more each, behind a label that stands before the first."""
    for text in texts:
        first, *rest = _wrapped(text, "  ")
        say(f"{' ' * 14}{paint.dim(label.ljust(9))} {first}")
        for line in rest:
            say(f"{_INDENT}{line}")
        label = ""


def _wrapped(text: str, indent: str = "") -> list[str]:
    """Return the lines of a text, all but the first behind ``indent``."""
    width = min(_WIDTH, shutil.get_terminal_size().columns) if is_terminal(sys.stdout) else _WIDTH
    room = max(width - len(_INDENT), _ROOM_MIN)
    return textwrap.wrap(escape(text), room, break_on_hyphens=False, subsequent_indent=indent) or [""]
