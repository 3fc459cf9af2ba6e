"""Arguments and results as values: what is written is read back, and nothing else is read."""

from __future__ import annotations

import math
import random
from enum import StrEnum
from typing import Any

import attrs
import msgspec
import pytest

from hubwire import Agent, InboxOverflow, InboxRule, Passport, Resume
from hubwire._forwarding.failures import decode_failure, encode_failure
from hubwire._forwarding.values import Unreadable, decode, encode
from hubwire._state.evaluators import Expectation
from hubwire.errors import (
    AccessDenied,
    AskTimeout,
    EventInvalid,
    Fault,
    ForwardingFailed,
    HubError,
    InboxFull,
    NotApproved,
    NotFound,
    PostRejected,
    QuotaExceeded,
)
from hubwire.events import GenericEvent, canonical


class Nobody:
    """Makes what stands for an object."""

    def handle(self, kind: str, fields: Any) -> Any:
        return (kind, dict(fields))

    def delivery(self, agent_id: str, event: Any, attempt: int) -> Any:
        return (agent_id, event, attempt)


def through(value: Any) -> Any:
    return decode(msgspec.json.decode(msgspec.json.encode(encode(value))), Nobody())


class Colour(StrEnum):
    RED = "red"


VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    2**53,
    -(2**300),
    1.5,
    2.0,
    math.inf,
    "",
    "é\u2028\x7f\x00",
    "a\ud800b",
    "\udfff\ud800",
    [],
    (),
    {},
    [1, (2, [3, {"a": (4,)}])],
    {"$": "agent", "id": "x"},
    {"$": {"$": 1}},
    {1: "a", ("b",): 2},
    {"\ud800": 1},
    b"\x00\xff",
    {1, 2},
    {"v": [{"$": None}]},
    Passport(owner="me", cost={"input_per_mtok": 3}),
    Resume(capabilities=["plan"], summary="plans"),
    InboxRule(capacity=9, overflow=InboxOverflow.DROP_OLDEST),
    {"inbox": InboxRule(capacity=9), "more": [1]},
    [Expectation(name="max_silence", params={"seconds": 2.5}, on_violation="warn")],
    canonical({"frozen": [1, math.nan]}),
]


@pytest.mark.parametrize("number", range(len(VALUES)))
def test_a_value_is_read_back(number: int) -> None:
    value = VALUES[number]
    read = through(value)
    assert read == value
    assert type(read) is type(value)


def test_what_is_no_number_and_what_is_text_of_a_class() -> None:
    assert math.isnan(through(math.nan))
    assert through(Colour.RED) == "red"
    assert through(each for each in (1, 2)) == [1, 2]
    assert through({"a": 1}.keys()) == ["a"]


def test_what_no_command_takes_is_made_canonical() -> None:
    @attrs.define
    class Mine:
        x: int = 1

    value: Any = []
    value.append(value)
    assert through(Mine()) == {"x": 1}
    assert through(object())["$object"] == "builtins.object"
    assert through(value) == canonical(value)


def test_an_event_that_is_not_stamped_is_fitted_first() -> None:
    event = GenericEvent(kind="my.event", data={"a": [b"x"]}, agent_id="a", metadata={"m": 1})
    read = through(event)
    assert isinstance(read, GenericEvent)
    assert (read.kind, read.data, read.agent_id, read.metadata) == (
        "my.event",
        {"a": ({"$bytes": "eA=="},)},
        "a",
        {"m": 1},
    )
    assert event.data == {"a": [b"x"]}
    assert event._body is None


ERRORS: list[HubError] = [
    NotFound("no é"),
    PostRejected("no", code="hidden"),
    InboxFull("full", agent_ids=("a", "b")),
    AccessDenied("no", command="send"),
    NotApproved("no", approval_id="i", verdict="denied", reason="r"),
    QuotaExceeded("no", tenant="t", dimension="d", limit=1.5, value=2),
    EventInvalid("no", kind="k", field="f", faults=(Fault(path="p", wanted="w", given="g"),)),
    AskTimeout("late"),
]


@pytest.mark.parametrize("number", range(len(ERRORS)))
def test_an_error_is_of_the_same_class_with_the_same_facts(number: int) -> None:
    error = ERRORS[number]
    read = decode_failure(msgspec.json.decode(msgspec.json.encode(encode_failure(error))), Nobody())
    assert type(read) is type(error)
    assert (str(read), read.args, vars(read)) == (str(error), error.args, vars(error))


def test_an_error_that_is_not_known_says_which_it_was() -> None:
    class Odd(Exception):
        pass

    read = decode_failure(encode_failure(Odd("what")), Nobody())
    assert isinstance(read, ForwardingFailed)
    assert "Odd: what" in str(read)
    assert read.may_have_happened
    assert type(decode_failure(encode_failure(TypeError("got an unexpected")), Nobody())) is TypeError
    newer = decode_failure({"class": "SeatTaken", "text": "x", "facts": {}}, Nobody())
    assert isinstance(newer, ForwardingFailed)
    for name in ("SystemExit", "KeyboardInterrupt", "Fault", "__all__"):
        assert isinstance(decode_failure({"class": name, "text": "x", "facts": {}}, Nobody()), ForwardingFailed)


HOSTILE: list[Any] = [
    {"$": "nothing"},
    {"$": ["a"]},
    {"$": 1},
    {"$": "Agent", "id": 1, "name": "x"},
    {"$": "Agent"},
    {"$": "Passport", "v": {"owner": 1}},
    {"$": "Passport"},
    {"$": "int", "v": "9" * 10_000},
    {"$": "int", "v": 5},
    {"$": "float", "v": "x"},
    {"$": "bytes", "v": "!"},
    {"$": "text", "v": "zz"},
    {"$": "map", "v": 5},
    {"$": "map", "v": [[{}, 1]]},
    {"$": "set", "v": [[1]]},
    {"$": "event", "v": {"kind": "a.b"}},
    {"$": "event", "v": 1},
    {"$": "Delivery", "agent_id": "a", "event": 1, "attempt": 1},
    {"$": "error", "type": 1, "v": ""},
    {"$": "os.system", "v": "x"},
    {"$": "State", "v": {}},
]


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_what_was_not_written_so_is_refused(number: int) -> None:
    with pytest.raises(Unreadable):
        decode(HOSTILE[number], Nobody())


def test_a_changed_bit_is_refused_or_is_another_value_of_the_same_form() -> None:
    whole = msgspec.json.encode([encode(each) for each in VALUES])
    dice = random.Random(7)
    for _ in range(2000):
        changed = bytearray(whole)
        changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
        try:
            decode(msgspec.json.decode(changed), Nobody())
        except (Unreadable, msgspec.DecodeError, UnicodeDecodeError):
            pass


def test_an_agent_is_known_by_its_id_and_its_name() -> None:
    class Named:
        pass

    assert through(Agent(None, None, "a" * 32, "ann")) == ("Agent", {"id": "a" * 32, "name": "ann"})  # type: ignore[arg-type]
    stranger = type("Agent", (), {"id": "x", "name": "y"})()
    assert through(stranger)["$object"].endswith(".Agent")
