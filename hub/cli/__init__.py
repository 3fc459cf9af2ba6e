"""The ``hubwire`` command: the only code of the package that names hub, listeners and stores together."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

__all__ = ("main",)

INTERRUPTED = 130
"""128 + SIGINT, as shells count."""
PIPE_BROKEN = 141
"""128 + SIGPIPE: the reader of the output has closed it, which is not a failure."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command with the arguments of the process, and exit: 0 done, 1 failed, 2 used wrongly.

    Ended by a signal it exits with 128 and the number of that, after it has left what it does in good order.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # it was closed before the start, as by >&-
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - until the end
    ends: list[int] = []
    try:
        with _ending_in_order(ends):
            from .app import run

            code = run(sys.argv[1:] if arguments is None else arguments)
            sys.stdout.flush()
    except KeyboardInterrupt:
        code = 128 + ends[0] if ends else INTERRUPTED
    except BrokenPipeError:
        # The interpreter flushes at its end, and would report it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = PIPE_BROKEN
    sys.exit(code)


@contextmanager
def _ending_in_order(ends: list[int]) -> Iterator[None]:
    """Let a signal that asks for the end do what Ctrl-C does, and note it: no half file is left behind.

    As timeout, a service manager and a terminal that is closed send it. One that is ignored, as below nohup, stays so.
    """

    def end(number: int, _: FrameType | None) -> None:
        ends.append(number)
        if not callable(signal.getsignal(signal.SIGINT)):  # it is ignored
            raise KeyboardInterrupt
        signal.raise_signal(signal.SIGINT)  # for whichever handler a running loop has

    is_main = threading.current_thread() is threading.main_thread()  # only there a handler can be set
    kept = [each for each in (signal.SIGTERM, signal.SIGHUP) if is_main and signal.getsignal(each) is signal.SIG_DFL]
    try:
        for each in kept:
            signal.signal(each, end)
        yield
    finally:
        for each in kept:
            signal.signal(each, signal.SIG_DFL)
