"""The ledgers of channels with expectations, and their indexes."""

from __future__ import annotations

import attrs

from hubwire._state.evaluators import Moment
from hubwire._state.ledgers import Ledgers, Unhandled, WatchEntry
from hubwire.events import ExpectationViolated

NEW = WatchEntry(channel_id="c", seconds=(1.0, 2.0), created=Moment(1, 1), turn=Moment(1, 1))
VIOLATED = ExpectationViolated(
    channel_id="c",
    expectation="reply_within",
    version=1,
    place=0,
    number=1,
    on_violation="warn",
    violators=("a", "b"),
    since_seqs=(3, 4),
    params={},
)


def ledgers(entry: WatchEntry = NEW) -> Ledgers:
    made = Ledgers()
    made.add(entry)
    return made


def test_failed_evaluations_are_forgotten_at_a_start() -> None:
    found = ledgers()
    found.add_failed("c", 1)
    assert found["c"].entry().failed == (1,)
    assert found.clear_failed() == ["c"]
    assert found["c"].entry().failed == ()
    assert found.clear_failed() == []


def test_a_restored_ledger_is_indexed() -> None:
    """Its failed evaluations and its violations are found without a look at other ledgers."""
    found = ledgers(attrs.evolve(NEW, failed=(0,), unhandled=(Unhandled(VIOLATED, ("a", "b")),)))
    assert list(found.to_handle) == ["c"]
    assert found.clear_failed() == ["c"]


def test_a_removed_ledger_leaves_no_trace() -> None:
    found = ledgers(attrs.evolve(NEW, failed=(0,), unhandled=(Unhandled(VIOLATED, ("a", "b")),)))
    assert found.remove("c") is not None
    assert found.remove("c") is None
    assert found.find("c") is None
    assert (len(found), list(found.to_handle), found.clear_failed()) == (0, [], [])


def test_a_violation_is_handled_agent_by_agent() -> None:
    found = ledgers()
    found.add_unhandled("c", Unhandled(VIOLATED, ("a", "b")))
    for agent_id, rest in (("x", ("a", "b")), ("a", ("b",))):
        found.handled_for("c", agent_id, frozenset({"warn"}))
        assert [each.agents for each in found["c"].entry().unhandled] == [rest]
    found.handled_for("c", "b", frozenset({"hide"}))
    assert list(found.to_handle) == ["c"]
    found.handled_for("c", "b", frozenset({"warn"}))
    assert found["c"].entry().unhandled == ()
    assert list(found.to_handle) == []
