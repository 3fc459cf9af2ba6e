"""The ``hubwire`` command: the only code of the package that names hub, listeners and stores together."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ("main",)

INTERRUPTED = 130
"""128 + SIGINT, as shells count."""
PIPE_BROKEN = 141
"""128 + SIGPIPE: the reader of the output has closed it, which is not a failure."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command with the arguments of the process, and exit: 0 done, 1 failed, 2 used wrongly."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # it was closed before the start, as by >&-
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - until the end
    try:
        from .app import run

        code = run(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        # The interpreter flushes at its end, and would report it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = PIPE_BROKEN
    sys.exit(code)
