"""The state of inboxes when a turn has no end: live, replayed and restored from a snapshot alike."""

from __future__ import annotations

from hubwire import codec
from hubwire._state import State
from hubwire.events import EnvelopeNacked, Event, TurnAbandoned, TurnStarted
from support import restored
from support.state_work import LIMITS, Bench


def pending(state: State) -> list[tuple[str, int]]:
    return [(each.envelope.envelope_id, each.attempts) for each in state.inboxes.pending("b")]


def test_an_interrupted_turn_is_an_attempt_in_its_place() -> None:
    """Once for each envelope, however many turns it had, and not where it was nacked already or is gone."""
    bench = Bench()
    for number in range(4):
        bench.do(bench.state.envelopes.post("ab", "a", number, None, envelope_id=str(number)))
    started: list[Event] = [
        TurnStarted(agent_id="b", turn_id=turn_id, envelope_id=envelope_id)
        for turn_id, envelope_id in (("t", "1"), ("u", "1"), ("v", "2"), ("w", "3"), ("x", "no such"), ("y", ""))
    ]
    bench.do([*started, TurnStarted(turn_id="z", envelope_id="0")])
    bench.do(bench.state.inboxes.nack("b", "2", 100.0, "later"))
    bench.do(bench.state.inboxes.ack("b", "3"))
    repaired = bench.do(bench.state.repair())
    assert [type(each) for each in repaired].count(TurnAbandoned) == 7
    assert [each.envelope_id for each in repaired if isinstance(each, EnvelopeNacked)] == ["1"]
    assert pending(bench.state) == [("0", 0), ("1", 1), ("2", 1)]
    assert bench.state.repair() == []

    replayed = State(LIMITS)
    for line in bench.history:
        replayed.apply(codec.decode(line))
    assert pending(replayed) == pending(restored(bench.state, State(LIMITS))) == pending(bench.state)


def test_events_of_the_version_before_decode() -> None:
    """They have neither a place to keep nor an envelope of an open turn."""
    nacked = EnvelopeNacked(agent_id="b", envelope_id="e", attempt=1)
    assert not nacked.keeps_place
    line = codec.encode(nacked).replace(b'"keeps_place":false,', b"")
    assert b"keeps_place" not in line
    decoded = codec.decode(line)
    assert isinstance(decoded, EnvelopeNacked)
    assert not decoded.keeps_place
