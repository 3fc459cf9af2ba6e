"""The command that a hook runs: it reads what the hook is given, leaves events in a spool, and is gone."""

from __future__ import annotations

import json
import os
import sys

from ...spool._losses import add_losses
from ...spool._writing import Writer
from .calls import Calls
from .events import AGENTS, Asked, NoHook, events_of
from .turns import Turns

TYPE_CHECKING = False  # as of `typing`, which takes longer to import than all that is done here
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

__all__ = ("Options", "default_directory", "record", "run")

_INPUT_BYTES_MAX = 16 * 1024 * 1024
_READ_TO_END_MAX = 1024 * 1024 * 1024
_PIECE_BYTES = 1024 * 1024
_MISUSED = 2


class Options:
    """What the command was called with."""

    def __init__(self, arguments: Sequence[str]) -> None:
        """Raises :class:`NoHook` for words that have no meaning."""
        self.agent: str = ""
        self.name: str | None = None
        self.directory: str | None = None
        self.payload: str | None = None
        """What is an argument, and not on the standard input: so Codex calls what it notifies."""
        self.flags: set[str] = set()
        words = list(arguments)
        while words:
            word = words.pop(0)
            option, equals, value = word.partition("=")
            if option in ("--spool", "--name"):
                if not equals and (not words or words[0].startswith("-")):
                    raise NoHook(f"{option} needs a value")
                given = value if equals else words.pop(0)
                if option == "--spool":
                    self.directory = given
                else:
                    self.name = given
            elif word in ("--content", "--strict", "--print-config"):
                self.flags.add(word)
            elif word in AGENTS and not self.agent:
                self.agent = word
            elif word.startswith("{") and self.payload is None:
                self.payload = word
            else:
                raise NoHook(f"{word[:80]!r} is no agent and no option; write one of {', '.join(AGENTS)}")
        if not self.agent:
            raise NoHook(f"it needs the name of an agent: {', '.join(AGENTS)}")


def default_directory() -> str:
    """Return where hooks leave events: ``$HUBWIRE_SPOOL``, or else a directory of the user.

    Raises :class:`NoHook` where no user has one.
    """
    if directory := os.environ.get("HUBWIRE_SPOOL"):
        return directory
    home = os.environ.get("XDG_STATE_HOME", "")
    if not home.startswith("/"):  # what is relative is to be ignored, says the specification of that variable
        home = os.path.expanduser("~/.local/state")  # noqa: PTH111
    if not home.startswith("/"):
        raise NoHook("there is no home directory here: name a directory by --spool, or in $HUBWIRE_SPOOL")
    return f"{home}/hubwire/spool"


def run(arguments: Sequence[str]) -> int:
    """Run ``hubwire hook``; return the exit code: 0, unless it was to be ``--strict`` and could not record.

    It prints only what ``--print-config`` asks for, and with ``--strict``, or to a person at a terminal, why it could
    not record: so no hook of it ever holds up an agent or speaks to it.
    """
    try:
        is_strict = "--strict" in arguments or "--print-config" in arguments or _is_typed(arguments)
    except Exception:  # noqa: BLE001 - as of a standard input that is closed
        is_strict = False
    try:
        options = Options(arguments)
        if "--print-config" in options.flags:
            _print_config(options, arguments)
            return 0
        record(options)
    except KeyboardInterrupt:
        return 0
    except Exception as error:  # noqa: BLE001 - an agent must not be held up by what records it
        if is_strict:
            sys.stderr.write(f"hubwire hook: {error}\n")
            return _MISUSED if isinstance(error, NoHook) else 1
    return 0


def record(options: Options) -> int:
    """Leave the events of one call of a hook in the spool; return how many there are. Raises why it could not."""
    if options.payload is None and sys.stdin is None:
        raise NoHook("its standard input is closed")
    if options.payload is None and sys.stdin.isatty():
        raise NoHook(
            f"it reads from the standard input what {options.agent} gives to its hooks; hubwire hook --print-config"
            f" {options.agent} prints what lets {options.agent} call it"
        )
    content = _read() if options.payload is None else options.payload.encode(errors="surrogateescape")
    directory = os.path.abspath(options.directory or default_directory())  # noqa: PTH100
    if len(content) > _INPUT_BYTES_MAX:
        add_losses(directory, 1)
        raise NoHook(f"it has more than {_INPUT_BYTES_MAX:,} bytes")
    try:
        payload = json.loads(content, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise NoHook(f"it is no JSON ({error}): is it what {options.agent} gives to its hooks?") from None
    if not isinstance(payload, dict):
        raise NoHook("it is no JSON object")
    redact = _redact() if "--content" in options.flags else None
    writer = Writer(directory)
    try:
        kept = Turns(directory), Calls(directory)
        asked = Asked(options.agent, payload, *kept, name=options.name, redact=redact)
        events = events_of(asked)
        for event in events:
            # What is no text in UTF-8, as half of a character that was cut, is a question mark.
            line = json.dumps(event, ensure_ascii=False).encode(errors="replace")
            writer.append(line)
    except NoHook:
        raise
    except BaseException as error:  # as what is nested too deep
        writer.failed(error)
        raise
    finally:
        failed = writer.failures
        writer.close()
    if failed:
        raise OSError(f"it cannot be written: {writer.last_error}")
    return len(events)


def _read() -> bytes:
    """Return what is on the standard input, one byte more than may be of what is too long. It is read to its end.

    An agent that writes to a hook which has gone would be told that its pipe is broken.
    """
    content = sys.stdin.buffer.read(_INPUT_BYTES_MAX + 1)
    if len(content) > _INPUT_BYTES_MAX:
        for _ in range(_READ_TO_END_MAX // _PIECE_BYTES):
            if not sys.stdin.buffer.read(_PIECE_BYTES):
                break
    return content


def _is_typed(arguments: Sequence[str]) -> bool:
    """Tell whether a person has typed the command: hooks have no terminal, or are given their JSON as an argument."""
    return not any(word.startswith("{") for word in arguments) and sys.stdin.isatty()


def _no_number(_: str) -> None:
    """Return what stands for NaN and the infinities, which JSON does not have."""


def _redact() -> Any:
    from ...redaction import Redactor  # it takes several times as long as all the rest

    return Redactor.shared().redact


def _print_config(options: Options, arguments: Sequence[str]) -> None:
    from .config import config_of  # a hook that is called does not print

    words = [word for word in arguments if word not in ("--print-config", "--strict")]
    sys.stdout.write(config_of(options.agent, _quoted(["hubwire", "hook", *words])) + "\n")


def _quoted(words: Sequence[str]) -> str:
    from shlex import join  # as above

    return join(words)
