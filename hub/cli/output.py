"""The output of the command: text of agents made safe for a terminal, and colour where it helps."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from functools import cache
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    import logging

from ..words import cells_of, crop, escape

__all__ = (
    "PLAIN",
    "Paint",
    "as_text",
    "cells_of",
    "complain",
    "crop",
    "escape",
    "escape_json",
    "is_terminal",
    "log_to_stderr",
    "plural",
    "say",
)

_COLOURS = (142, 64, 71, 37, 96, 98, 140, 175)
"""Of the 256-colour palette, nearest to the eight of the dashboard, and readable on black and on white."""

_OF_EIGHT_COLOURS = frozenset({"ansi", "cons25", "linux", "vt100", "vt220"})
"""Terminals that have eight colours, of which two have a meaning here: names are bold there."""

_NOT_ASCII = re.compile(r"[^\x20-\x7e]")


def as_text(value: Any) -> str:
    """Return a value as JSON that a person can read, and that cannot harm a terminal."""
    return escape_json(json.dumps(value, indent=2, ensure_ascii=False))


def say(line: str, file: TextIO | None = None) -> None:
    """Print a line at once, so that the reader of a pipe gets it now."""
    print(line, file=file or sys.stdout, flush=True)


def complain(message: object) -> None:
    """Print one line about a failure to the standard error."""
    print(f"hubwire: {escape(str(message))}", file=sys.stderr, flush=True)


def log_to_stderr(*, debug: bool) -> None:
    """Send the log lines of the library to the standard error: warnings, and with ``debug`` also its retries."""
    import logging

    import structlog

    level = logging.DEBUG if debug else logging.WARNING
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    own = logging.getLogger("hubwire")
    for handler in [each for each in own.handlers if isinstance(each, _own_lines())]:
        own.removeHandler(handler)
    own.addHandler(_own_lines()(level))


@cache
def _own_lines() -> type[logging.Handler]:
    """Return the class of what prints the log lines of hubwire itself; only a verb that is run imports logging."""
    import logging

    class OwnLines(logging.Handler):
        """Prints a line as the command says its own; where an error came from is for ``--debug``."""

        def emit(self, record: logging.LogRecord) -> None:
            message = record.getMessage()
            if self.level <= logging.DEBUG:
                print(message, file=sys.stderr, flush=True)
            else:
                first, feed, _ = message.partition("\n")
                complain(f"{first} (--debug shows where)" if feed else first)

    return OwnLines


def is_terminal(stream: TextIO) -> bool:
    """Tell whether a stream is a terminal."""
    try:
        return stream.isatty()
    except ValueError:  # it is closed
        return False


def plural(number: int, noun: str) -> str:
    """Return ``1 channel``, ``2,000 channels``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


# --- safety ---------------------------------------------------------------------------------------------------------


def escape_json(line: str) -> str:
    """Return JSON of the same value, with every character that is not printable escaped as JSON escapes it."""
    return line if line.isprintable() else _NOT_ASCII.sub(_json_escaped, line)


def _json_escaped(match: re.Match[str]) -> str:
    char = match[0]
    # In JSON a line feed stands only between tokens, never inside a text.
    if char.isprintable() or char == "\n":
        return char
    units = char.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


# --- looks ----------------------------------------------------------------------------------------------------------


class Paint:
    """Colours text, if the stream is a terminal with colours and NO_COLOR is not set."""

    def __init__(self, stream: TextIO) -> None:
        self._has_256 = os.environ.get("TERM") not in _OF_EIGHT_COLOURS
        self.on: bool = is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def __call__(self, text: str, style: str) -> str:
        return f"\x1b[{style}m{text}\x1b[0m" if self.on and text else text

    def dim(self, text: str) -> str:
        return self(text, "2")

    def bold(self, text: str) -> str:
        return self(text, "1")

    def red(self, text: str) -> str:
        return self(text, "31")

    def amber(self, text: str) -> str:
        return self(text, "33")

    def green(self, text: str) -> str:
        return self(text, "32")

    def by(self, text: str, name: str) -> str:
        """Colour a text by a name: the same name always has the same colour."""
        return self(text, f"38;5;{_COLOURS[colour_of(name)]}" if self._has_256 else "1")


def colour_of(name: str) -> int:
    """Return which of eight colours an agent has by its name, the same as on the page: FNV-1a over UTF-16."""
    hashed = 0x811C9DC5
    units = name.encode("utf-16-le", "surrogatepass")
    for low, high in zip(units[::2], units[1::2], strict=True):
        hashed = ((hashed ^ (low | high << 8)) * 0x01000193) & 0xFFFFFFFF
    return (hashed ^ hashed >> 15) % 8


PLAIN = Paint(io.StringIO())
"""Colours nothing."""
