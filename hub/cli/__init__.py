"""The ``hubwire`` command. It alone of the package's code names hub, listeners and stores together."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

__all__ = ("main",)

INTERRUPTED = 130
"""128 + SIGINT, as shells count."""
PIPE_BROKEN = 141
"""128 + SIGPIPE: what reads the output has had enough, which is no failure of anybody."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command with the arguments of the process, and exit: 0 done, 1 failed, 2 used wrongly."""
    try:
        from .app import run

        code = run(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        # The interpreter flushes at its end, and would complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = PIPE_BROKEN
    sys.exit(code)
