"""Threads of guests: a function that blocks stops neither the loop nor the end of the program."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextvars import ContextVar

import anyio
import pytest

from hubwire._foreign.tasks import LeftBehind
from hubwire._foreign.threads import STILL_RUNNING_MAX, GuestThread
from support import until

VARIABLE: ContextVar[str] = ContextVar("variable", default="unset")


async def test_a_call_runs_in_a_thread_of_its_own() -> None:
    """The calls of one guest share a thread, and see the context of their caller."""
    guest = GuestThread("guest")
    VARIABLE.set("here")
    first, second = [await guest.call(lambda: (threading.current_thread(), VARIABLE.get())) for _ in range(2)]
    assert first == second
    assert first[0] is not threading.current_thread()
    assert first[1] == "here"
    guest.end()


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(1), KeyboardInterrupt(), GeneratorExit()])
async def test_what_a_call_raises_is_its_failure(error: BaseException) -> None:
    """A call may raise anything, and the thread serves the next call."""
    guest = GuestThread("guest")

    def fails() -> None:
        raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("signal.getsignal", lambda _: None)
        with pytest.raises(Exception, match=type(error).__name__ if not isinstance(error, ValueError) else "x"):
            await guest.call(fails)
    assert await guest.call(lambda: 5) == 5
    guest.end()


async def test_a_blocked_call_is_left_behind() -> None:
    """A call that takes too long is counted while it goes on; after a few of them the guest is called no more."""
    guest, release = GuestThread("guest"), threading.Event()
    for number in range(STILL_RUNNING_MAX):
        with pytest.raises(LeftBehind, match="goes on in its thread"):
            await guest.call(release.wait, seconds=0)
        assert guest.still_running == number + 1
    with pytest.raises(LeftBehind, match="called again when one ends"):
        await guest.call(lambda: 5)
    release.set()
    await until(lambda: guest.still_running == 0)
    assert await guest.call(lambda: 5) == 5
    guest.end()


async def test_a_cancelled_caller_leaves_the_thread_behind() -> None:
    """The caller does not wait for a thread that no one can cancel."""
    guest, release = GuestThread("guest"), threading.Event()
    with anyio.move_on_after(0.01) as scope:
        await guest.call(release.wait)
    assert scope.cancelled_caught
    assert guest.still_running == 1
    release.set()
    await until(lambda: guest.still_running == 0)


@pytest.mark.slow
def test_a_program_ends_although_a_call_hangs() -> None:
    """The thread is a daemon, and asyncio.run waits for none of them."""
    program = (
        "import asyncio, threading\n"
        "from hubwire._foreign.threads import GuestThread\n"
        "async def main():\n"
        "    try: await GuestThread('x').call(threading.Event().wait, seconds=0.01)\n"
        "    except TimeoutError: print('ended')\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "ended\n"
