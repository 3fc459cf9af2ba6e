"""Sessions of a hub that follows: when a new one begins, and that old ones are ended."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from hubwire import Hub
from hubwire._forwarding.sessions import Session
from hubwire._state.followers import RESULTS_MAX
from hubwire.errors import ForwardingFailed
from hubwire.testing import LocalLink
from support import until
from support.followers import Replica


@pytest.fixture
async def hubs() -> Any:
    link, leader = LocalLink(), Hub()
    leader.connect(link)
    async with leader:
        replica = Replica(leader, link)
        async with replica as follower:
            await until(lambda: bool(link._handlers))
            yield leader, follower, replica.connection._faces.route


def sessions_of(hub: Hub) -> list[str]:
    return [each.follower_id for each in hub._parts.state.followers]


async def test_a_call_that_takes_long_holds_up_no_others(hubs: Any) -> None:
    """The results of 256 numbers are kept: beyond that, a new session begins, and the old one ends with its call."""
    leader, follower, _ = hubs
    ann, bob = await follower.agents.register("ann"), await follower.agents.register("bob")
    (first,) = sessions_of(leader)
    inbox = leader.agents.named("bob").inbox()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(follower.ask, ann, bob, "why?")
        question = await anext(inbox)
        for number in range(RESULTS_MAX + 5):
            await ann.set_skill(str(number))
        assert first in sessions_of(leader)
        assert len(sessions_of(leader)) == 2
        await question.reply("because")
    await until(lambda: first not in sessions_of(leader))
    assert len(sessions_of(leader)) == 1


async def test_a_session_that_was_idle_is_not_used_again(hubs: Any) -> None:
    leader, follower, route = hubs
    await follower.agents.register("ann")
    route._sessions._present.used -= 3600
    await follower.agents.register("bob")
    assert len(sessions_of(leader)) == 2


async def test_a_session_of_another_process_is_not_used(hubs: Any) -> None:
    _, follower, route = hubs
    await follower.agents.register("ann")
    session = route._sessions._present
    session.pid += 1
    await follower.agents.register("bob")
    assert route._sessions._present is not session


async def test_a_session_that_was_ended_is_a_clear_error_and_then_a_new_one_begins(hubs: Any) -> None:
    leader, follower, _ = hubs
    await follower.agents.register("ann")
    (session,) = sessions_of(leader)
    followers = leader._parts.state.followers
    await leader._parts.core.execute(lambda: followers.leave(session))
    with pytest.raises(ForwardingFailed, match=r"session is not known.*nothing has happened"):
        await follower.agents.register("bob")
    await follower.agents.register("cid")
    assert [each.name for each in leader.agents.list()] == ["ann", "cid"]


async def test_a_hub_that_is_closed_ends_its_session() -> None:
    link, leader = LocalLink(), Hub()
    leader.connect(link)
    async with leader:
        async with Replica(leader, link) as follower:
            await follower.agents.register("ann")
            assert len(sessions_of(leader)) == 1
        assert not sessions_of(leader)


async def test_numbers_are_given_once_and_the_first_is_the_lowest_without_an_answer() -> None:
    session = Session()
    assert [session.take() for _ in range(3)] == [0, 1, 2]
    session.under_way.discard(0)
    assert session.first == 1
    session.under_way.clear()
    assert session.first == 3
    for _ in range(RESULTS_MAX):
        session.take()
    assert not session.is_usable
