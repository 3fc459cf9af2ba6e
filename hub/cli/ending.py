"""How the command ends by a signal."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ("ending_in_order",)


@contextmanager
def ending_in_order(ends: list[int]) -> Iterator[None]:
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
