"""The log lines of hubwire itself: few, on standard logging, and without what is not for a log.

They go to the loggers below ``hubwire``: ``hubwire.hub``, ``hubwire.audit``, ``hubwire.live``, ``hubwire.stores``. A
program that has not set up logging sees warnings and errors on stderr, as of any library. A traceback is text without
local variables, which may be secrets. Of lines that say the same, a few in ten seconds are written, and the next one
says how many were not. In a program with a hub, what is personal or secret in them is redacted.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from pathlib import Path

__all__ = ("OwnLog", "redact_by", "traceback_of")

LINES_MAX = 5
"""How many lines with the same message are written in one period."""

PERIOD_SECONDS = 10.0

CHAIN_MAX = 5
FRAMES_MAX = 20
VALUE_CHARS_MAX = 1000
MESSAGES_MAX = 100
"""How many messages are told apart: of those of a guest there may be any number."""


_OURS = f"{Path(__file__).parent}{os.sep}"
_CALLERS = re.compile(r"[/\\](asyncio|anyio|concurrent)[/\\]|[/\\]threading\.py$")
"""The files of hubwire, and of what it calls through."""

_redactors: list[Callable[[str], str]] = []


def redact_by(redact: Callable[[str], str]) -> None:
    """Have all lines redacted by this function from now on, before they are written: the rules are above this file."""
    _redactors[:] = [redact]


class OwnLog:
    """Writes the lines of one part of hubwire. Works in any thread, and never raises."""

    def __init__(self, part: str) -> None:
        self._logger = logging.getLogger(f"hubwire.{part}")
        self._lock = threading.Lock()
        self._lines: dict[str, tuple[float, int]] = {}
        """By message: when its period began, and how many lines there were since."""

    def detail(self, message: str, **facts: object) -> None:
        if self._logger.isEnabledFor(logging.DEBUG):
            self._write(logging.DEBUG, message, None, facts)

    def problem(self, message: str, error: BaseException | None = None, /, **facts: object) -> None:
        """Write a warning: what has happened, with the error that it came from, and facts about it."""
        self._write(logging.WARNING, message, error, facts)

    def failure(self, message: str, error: BaseException | None = None, /, **facts: object) -> None:
        """Write an error: as :meth:`problem`."""
        self._write(logging.ERROR, message, error, facts)

    def _write(self, level: int, message: str, error: BaseException | None, facts: dict[str, object]) -> None:
        if (left_out := self._left_out(message)) is None:
            return
        line = message + "".join(f" {name}={_text_of(value)}" for name, value in facts.items())
        if left_out:
            line += f" ({left_out} more like this were not logged)"
        if error is not None:
            line += f"\n{traceback_of(error)}"
        for redact in _redactors:
            try:
                line = redact(line)
            except Exception as failure:  # noqa: BLE001 - as at the end of the interpreter, where nothing can be imported
                line = f"{message} (the rest of this line could not be redacted: {type(failure).__name__})"
        # An argument, so that a "%" in it is not taken for a place of one.
        self._logger.log(level, "%s", line)

    def _left_out(self, message: str) -> int | None:
        """Return how many such lines were left out before this one; None if this one has to be left out."""
        now = time.monotonic()
        with self._lock:
            begun, count = self._lines.get(message, (now, 0))
            if now - begun < PERIOD_SECONDS:
                if len(self._lines) >= MESSAGES_MAX and message not in self._lines:
                    self._lines.clear()
                self._lines[message] = (begun, count + 1)
                return 0 if count < LINES_MAX else None
            self._lines[message] = (now, 1)
            return max(0, count - LINES_MAX)


def _text_of(value: object, make: Callable[[object], str] = repr) -> str:
    """Return a value as text that can be written to a line: its class may be a stranger's."""
    try:
        text = value if type(value) is str else make(value)
    except BaseException as error:  # noqa: BLE001 - a line that reports a guest must not fail by it
        text = f"(its text raised {type(error).__name__})"
    text = text if len(text) <= VALUE_CHARS_MAX else f"{text[:VALUE_CHARS_MAX]}…"
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def traceback_of(error: BaseException) -> str:
    """Return where an error came from, and what it came from: places and texts, no source and no local variables.

    It reads no source file, because it may be called in an event loop.
    """
    lines: list[str] = []
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen and len(seen) < CHAIN_MAX:
        seen.add(id(each))
        lines.append("Traceback:" if len(seen) == 1 else "from:")
        lines += _places_of(each)
        lines.append(_said_by(each))
        if isinstance(each, BaseExceptionGroup):
            lines += [f"  of which {_said_by(part)}" for part in each.exceptions[:CHAIN_MAX]]
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
    return "\n".join(lines).encode(errors="backslashreplace").decode()


def _places_of(error: BaseException) -> list[str]:
    """Return where an error went through: from the first place outside of hubwire on, if there is one.

    What is above that is how hubwire calls any guest: it says nothing, and would be all that a reader sees at first.
    """
    places: deque[str] = deque(maxlen=FRAMES_MAX)
    callers, is_inside = 0, False
    for frame, number in traceback.walk_tb(error.__traceback__):
        name = frame.f_code.co_filename
        if not is_inside and not (name.startswith(_OURS) or _CALLERS.search(name)):
            is_inside, callers = True, len(places)
            places.clear()
        places.append(f"  {name}:{number} in {frame.f_code.co_name}")
    return [f"  (called by hubwire, {callers} places)", *places] if callers else list(places)


def _said_by(error: BaseException) -> str:
    name: str = type.__dict__["__name__"].__get__(type(error))
    return f"{name[:VALUE_CHARS_MAX]}: {_text_of(error, str)}"
