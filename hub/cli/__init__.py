"""The ``hubwire`` command: the only code of the package that names hub, listeners and stores together."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # as of `typing`: see `_is_hook`
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ("main",)

INTERRUPTED = 130
"""128 + SIGINT, as shells count."""
PIPE_BROKEN = 141
"""128 + SIGPIPE: the reader of the output has closed it, which is not a failure."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command with the arguments of the process, and exit: 0 done, 1 failed, 2 used wrongly.

    Ended by a signal it exits with 128 and the number of that, after it has left what it does in good order.
    """
    words = sys.argv[1:] if arguments is None else arguments
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # it was closed before the start, as by >&-
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: SIM115, PTH123
    if _is_hook(words):
        from .hooking import run as run_hook

        sys.exit(run_hook(words[1:]))
    from .ending import ending_in_order

    ends: list[int] = []
    try:
        with ending_in_order(ends):
            from .app import run

            code = run(words)
            sys.stdout.flush()
    except KeyboardInterrupt:
        code = 128 + ends[0] if ends else INTERRUPTED
    except BrokenPipeError:
        # The interpreter flushes at its end, and would report it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = PIPE_BROKEN
    sys.exit(code)


def _is_hook(words: Sequence[str]) -> bool:
    """Tell whether a hook of a coding agent calls: the agent waits, so nothing is imported that it does not need."""
    return words[:1] == ["hook"] and not {"--help", "-h"}.intersection(words)
