"""Requests, answers and links that are not as they should be: they harm no hub, and say what is wrong."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import anyio
import attrs
import msgspec
import pytest

from hubwire import Hub
from hubwire.errors import CommandRejected, ForwardingFailed
from hubwire.testing import LocalLink
from support.followers import Replica
from support.forwarding import kinds, two_hubs


async def answer(link: LocalLink, **changes: Any) -> dict[str, Any]:
    call = {"name": "agents.register", "args": ["eve"]}
    request: dict[str, Any] = {
        "v": 1,
        "what": "call",
        "session": "e" * 32,
        "number": 0,
        "first": 0,
        "opens": True,
        "wait": 5.0,
        "call": call,
    }
    found: dict[str, Any] = msgspec.json.decode(await link.request(msgspec.json.encode({**request, **changes}), 10))
    return found


REFUSED: list[dict[str, Any]] = [
    {"v": 2},
    {"v": "1"},
    {"what": "format"},
    {"session": "x"},
    {"session": "E" * 32},
    {"session": None},
    {"number": -1},
    {"number": 1.5},
    {"hub": "another"},
    {"call": None},
    {"call": []},
    {"call": {"name": 1}},
    {"call": {"name": "agents"}},
    {"call": {"name": "agents._register", "args": ["eve"]}},
    {"call": {"name": "agents.__class__"}},
    {"call": {"name": "agents.frobnicate"}},
    {"call": {"name": "hub.aclose"}},
    {"call": {"name": "hub.attach", "args": ["x"]}},
    {"call": {"name": "channels.register_type", "args": ["x"]}},
    {"call": {"name": "agents.register", "args": "eve"}},
    {"call": {"name": "agents.register", "args": ["eve"], "named": []}},
    {"call": {"name": "agents.register", "args": [{"$": "Nothing"}]}},
    {"call": {"name": "agents.register", "args": ["eve"], "acting": {"tenant": 5}}},
    {"call": {"name": "agent.set_skill", "args": ["x"], "on": {"$": "Channel", "id": "x"}}},
    {"call": {"name": "agent.set_skill", "args": ["x"], "on": "text"}},
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
async def test_a_request_that_is_not_as_it_should_be_is_refused_and_changes_nothing(number: int) -> None:
    link = LocalLink()
    async with two_hubs(link) as (leader, _):
        reply = await answer(link, **REFUSED[number])
        assert reply["what"] == "refused"
        assert reply["why"]
        assert not leader.agents.list()
        assert not {"agent.registered", "follower.commanded"} & set(kinds(leader))


FAILED: list[dict[str, Any]] = [
    {"name": "agents.register"},
    {"name": "agents.register", "args": ["a", "b", "c"]},
    {"name": "agents.register", "args": ["eve"], "named": {"nothing": 1}},
    {"name": "agents.register", "args": [["eve"]]},
    {"name": "agents.register", "args": ["eve"], "acting": {"agent_id": "nobody"}},
    {"name": "agents.register", "args": ["eve"], "around": {"traceparent": "x"}},
    {"name": "agent.set_skill", "args": ["x"], "on": {"$": "Agent", "id": "x", "name": "y"}},
    {"name": "hub.emit", "args": ["text"]},
    {"name": "hub.emit", "args": [{"$": "event", "v": {"kind": "agent.registered", "seq": 1, "name": "eve"}}]},
    {"name": "hub.emit_many", "args": [5]},
    {"name": "channel.post", "args": ["x", "y"], "on": {"$": "Channel", "id": ""}},
    {"name": "dead_letters.get", "args": ["x"]},
]


@pytest.mark.parametrize("number", range(len(FAILED)))
async def test_a_call_that_is_wrong_fails_as_it_does_there(number: int) -> None:
    link = LocalLink()
    async with two_hubs(link) as (leader, _):
        reply = await answer(link, call=FAILED[number])
        assert reply["what"] == "failed"
        assert not leader.agents.list()
        assert not {"agent.registered", "follower.commanded"} & set(kinds(leader))


async def test_bytes_that_are_no_request_are_refused() -> None:
    link = LocalLink()
    async with two_hubs(link) as (leader, _):
        whole = msgspec.json.encode({"v": 1, "what": "call", "session": "e" * 32, "number": 0, "first": 0})
        for body in (b"", b"\x00", b"{", b"[]", b"null", b"\xff" * 100, b"[" * 100_000, whole[:-2]):
            reply = msgspec.json.decode(await link.request(body, 5))
            assert reply["what"] == "refused"
        dice = random.Random(5)
        for _ in range(500):
            changed = bytearray(whole)
            changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
            assert msgspec.json.decode(await link.request(bytes(changed), 5))["what"] in ("refused", "gone")
        assert not leader.agents.list()


async def test_a_number_that_was_another_command_is_refused() -> None:
    """Two programs in one session, such as copies of one process."""
    link = LocalLink()
    async with two_hubs(link) as (leader, _):
        first = await answer(link)
        assert first["what"] == "done"
        again = await answer(link)
        assert again["value"] == first["value"]
        other = await answer(link, call={"name": "agents.register", "args": ["mallory"]})
        assert other["what"] == "refused"
        assert "two programs" in other["why"]
        assert [each.name for each in leader.agents.list()] == ["eve"]


async def test_a_session_that_has_ended_is_not_begun_again_by_an_old_command() -> None:
    link = LocalLink()
    async with two_hubs(link) as (leader, _):
        assert (await answer(link, opens=False))["what"] == "gone"
        assert (await answer(link))["what"] == "done"
        assert (await answer(link, what="leave"))["what"] == "done"
        assert (await answer(link, number=1, opens=False))["what"] == "gone"
        assert [each.name for each in leader.agents.list()] == ["eve"]
        assert len(leader._parts.state.followers) == 0


class ChangedLink(LocalLink):
    """Answers what a hub does not."""

    def __init__(self, answer: bytes) -> None:
        super().__init__()
        self.answer = answer

    async def request(self, body: bytes, seconds: float) -> bytes:
        del body, seconds
        return self.answer


DONE = {"v": 1, "what": "done", "seq": -1}
ANSWERS: list[Any] = [
    b"",
    b"\xff\x00",
    {},
    {"v": 2, "what": "done"},
    {"v": 1, "what": "refused", "why": "because"},
    {"v": 1, "what": "gone", "why": "an hour"},
    DONE,
    {**DONE, "value": {"is": {"$": "Nothing"}}},
    {**DONE, "value": {"is": {"$": "at", "seq": -5}}},
    {**DONE, "value": {"is": {"$": "at"}}},
    {**DONE, "value": {"is": {"$": "all", "seq": 0, "count": "x"}}},
    {**DONE, "value": {"is": {"$": "at", "seq": 10**9}}},
    {"v": 1, "what": "failed", "value": 5},
    {"v": 1, "what": "failed", "value": {"class": "NotFound", "text": 5, "facts": {}}},
]


@pytest.mark.parametrize("number", range(len(ANSWERS)))
async def test_an_answer_that_is_not_as_it_should_be_is_a_clear_error(number: int) -> None:
    given = ANSWERS[number]
    link = ChangedLink(given if isinstance(given, bytes) else msgspec.json.encode(given))
    leader = Hub()
    async with leader, Replica(leader, link) as follower:
        with pytest.raises(ForwardingFailed, match=r"agents\.register was not carried out"):
            await follower.agents.register("ann")


class HostileLink:
    """Raises whatever it is asked, or hangs."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error
        self.asked = 0

    @property
    def bytes_max(self) -> int:
        raise SystemExit(3)

    async def request(self, body: bytes, seconds: float) -> bytes:
        del body, seconds
        self.asked += 1
        if self.error is None:
            await anyio.sleep_forever()
            raise AssertionError
        raise self.error

    def serve(self, handler: Any) -> Any:
        raise KeyError(handler)

    async def aclose(self) -> Any:
        raise asyncio.CancelledError


@pytest.mark.parametrize("number", range(4))
async def test_a_link_that_fails_harms_no_hub(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubwire._forwarding.route._WAIT_SECONDS", 0.02)
    monkeypatch.setattr("hubwire._forwarding.route._GRACE_SECONDS", 0.02)
    link: Any = HostileLink([RuntimeError("no"), SystemExit(1), asyncio.CancelledError(), None][number])
    leader = Hub()
    leader.connect(link)
    async with leader:
        replica = Replica(leader, link)
        replica.connection._faces.route._silent_seconds_max = 0.1
        async with replica as follower:
            with pytest.raises(ForwardingFailed, match="no hub has answered"):
                await follower.agents.register("ann")
        assert link.asked > 1
        await leader.agents.register("bob")


@attrs.define
class Hiding:
    """Has more in it than what is made canonical of it says."""

    to: str = "bob"
    _amount: int = 5


@pytest.mark.parametrize("key", ["arguments", "hints"])
async def test_what_an_approver_could_not_see_all_of_is_refused_where_it_is_given(key: str) -> None:
    async with two_hubs() as (leader, follower):
        ann = await follower.agents.register("ann")
        given: dict[str, Any] = {key: {"what": [Hiding()]}}
        for command in (follower.approvals.request, follower.approvals.gate):
            ask: Any = command
            with pytest.raises(CommandRejected, match="could not see all of"):
                await ask(ann, "pay", **given)
        assert leader.approvals.pending() == ()
        whole = {"what": [1, "é", None], "$": {"a": 1.5}}
        approval_id = await follower.approvals.request(ann, "pay", arguments=whole)
        assert await leader.approvals.arguments(approval_id) == {"what": (1, "é", None), "$": {"a": 1.5}}
