"""The sessions of hubs that follow: bounded in number, in results and in time, on replay as live."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from hubwire._state import State
from hubwire._state.followers import IDLE_SECONDS_MAX, RESULTS_MAX, SESSIONS_MAX
from hubwire.errors import CommandRejected
from hubwire.events import FollowerCommanded, evolve
from hubwire.testing import ManualClock

SECOND = 1_000_000_000


class Life:
    """A state, and events that are applied to it at moments."""

    def __init__(self) -> None:
        self.state = State()
        self.clock = ManualClock()
        self.seq = 0

    @property
    def followers(self) -> Any:
        return self.state.followers

    def apply(self, events: list[Any]) -> None:
        for event in events:
            at = datetime.fromtimestamp(self.clock.now_ns() // SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            self.state.apply(evolve(event, seq=self.seq, at=at))
            self.seq += 1

    def join(self, session: str) -> None:
        self.apply(self.followers.join(session, "h", 1, self.clock.now_ns()))

    def command(self, session: str, number: int) -> None:
        self.apply([FollowerCommanded(follower_id=session, number=number, name="n", digest="d", result={"is": number})])


@pytest.fixture
def life() -> Life:
    return Life()


def test_the_results_of_the_last_numbers_are_kept(life: Life) -> None:
    life.join("a")
    for number in range(RESULTS_MAX + 10):
        life.command("a", number)
    assert life.followers.find("a", 9) is None
    assert life.followers.is_forgotten("a", 9)
    assert life.followers.find("a", 10).result == {"is": 10}
    assert not life.followers.is_forgotten("a", RESULTS_MAX + 10)
    assert len(life.followers.snapshot()) == 1 + RESULTS_MAX


def test_numbers_that_come_in_another_order_are_kept_by_their_height(life: Life) -> None:
    life.join("a")
    for number in reversed(range(RESULTS_MAX + 2)):
        life.command("a", number)
    assert [life.followers.find("a", number) is None for number in range(3)] == [True, True, False]


def test_a_session_ends_an_hour_after_its_last_command(life: Life) -> None:
    life.join("a")
    life.join("b")
    life.clock.advance(IDLE_SECONDS_MAX - 1)
    life.command("a", 0)
    life.clock.advance(2)
    life.join("c")
    assert [each.follower_id for each in life.followers] == ["a", "c"]
    assert life.followers.find("a", 0) is not None


def test_there_are_so_many_sessions_and_no_more(life: Life) -> None:
    for number in range(SESSIONS_MAX):
        life.join(str(number))
    with pytest.raises(CommandRejected, match="takes no more"):
        life.join("more")
    life.join("5")
    assert len(life.followers) == SESSIONS_MAX
    life.clock.advance(IDLE_SECONDS_MAX + 1)
    life.join("more")
    assert [each.follower_id for each in life.followers] == ["more"]


def test_a_session_that_leaves_leaves_nothing(life: Life) -> None:
    for number in range(20_000):
        session = str(number)
        life.join(session)
        life.command(session, 0)
        life.apply(life.followers.leave(session))
    assert not life.followers.snapshot()
    assert not any(vars(life.followers).values())
    assert life.followers.leave("a") == []


def test_a_hub_without_followers_has_no_entry_for_them() -> None:
    state = State()
    assert state.snapshot()["followers"] == ()
    assert not any(vars(state.followers).values())
