"""Parts that are imported and made at their first use."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from hubwire import Hub
from hubwire._late import Late
from hubwire.errors import ConfigurationError


def test_a_late_part_is_made_once() -> None:
    """Also where two threads want it at the same time, and one of them has to wait."""
    made: list[object] = []
    is_making, may_go_on = threading.Event(), threading.Event()

    def make() -> object:
        made.append(object())
        if len(made) == 1:
            is_making.set()
            may_go_on.wait(10)
        return made[-1]

    late = Late(make)
    got: list[object] = []
    first, second = (threading.Thread(target=lambda: got.append(late.made())) for _ in range(2))
    first.start()
    assert is_making.wait(10)
    second.start()
    second.join(0.1)  # without a lock it has made another one by now
    may_go_on.set()
    first.join()
    second.join()
    assert got == [made[0], made[0]] == [late.made()] * 2


def test_a_part_that_cannot_be_made_is_tried_again() -> None:
    """An import may be interrupted, by Ctrl-C."""
    answers: list[BaseException | str] = [KeyboardInterrupt(), "made"]

    def make() -> str:
        if isinstance(answer := answers.pop(0), BaseException):
            raise answer
        return answer

    late = Late(make)
    with pytest.raises(KeyboardInterrupt):
        late.made()
    assert late.made() == late.made() == "made"


def test_a_fork_does_not_wait_for_its_parent() -> None:
    """A child has no copy of the thread that was making the part when it was forked, so it makes its own."""
    is_making, may_go_on = threading.Event(), threading.Event()

    def make() -> str:
        is_making.set()
        may_go_on.wait(10)
        return "made"

    late = Late(make)
    thread = threading.Thread(target=late.made)
    thread.start()
    assert is_making.wait(10)
    child = os.fork()
    if child == 0:
        signal.alarm(5)  # it ends there, where it waits
        may_go_on.set()
        try:
            os._exit(0 if late.made() == "made" else 1)
        finally:
            os._exit(2)
    may_go_on.set()
    thread.join()
    assert os.waitpid(child, 0) == (child, 0)


async def test_the_commands_on_approvals_are_the_same_each_time() -> None:
    async with Hub() as hub:
        assert hub.approvals is hub.approvals


def test_what_is_no_policy_is_refused_at_once() -> None:
    with pytest.raises(ConfigurationError, match="ApprovalPolicy"):
        Hub(approvals="strict")  # type: ignore[arg-type]
