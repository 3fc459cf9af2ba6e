"""The board says what the hub says: random lives of hubs, folded, and compared with the hub itself."""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec
from hypothesis import given, settings, strategies as st

from hubwire import Event, Hub, codec
from hubwire.board import Board, BoardLimits
from hubwire.events import GenericEvent, UnknownEvent, canonical
from hubwire.events._event import field_names, own_fields
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, history
from support import until_idle
from support.board_life import ACTIONS, Life, facts_of, facts_on

steps = st.lists(st.sampled_from(["register", *ACTIONS]), min_size=10, max_size=60)
SMALL = BoardLimits(
    agents=3,
    agents_gone=2,
    channels=2,
    channels_ended=2,
    participants=2,
    lines=3,
    links=2,
    runs=2,
    spans=3,
    spans_open=4,
    tasks=2,
    tasks_ended=2,
    approvals=2,
    approvals_decided=1,
    listeners=1,
    kinds=4,
    gaps=2,
    seconds=2,
    minutes=2,
    hours=2,
)


async def lived(actions: list[str], seed: int, lives: int = 1) -> tuple[Hub, list[Event], Any]:
    """Let hubs live one after the other on a store; return the last one, all events, and what there was at its end."""
    clock, chance, store = ManualClock(), random.Random(seed), MemoryStore()
    for number in range(lives - 1):
        await live(Hub(store, clock=clock), Life(clock, chance, number * 1000), actions[number::lives])
    hub = Hub(store, clock=clock)
    return hub, *await live(hub, Life(clock, chance, lives * 1000), actions[lives - 1 :: lives])


async def live(hub: Hub, life: Life, actions: list[str]) -> tuple[list[Event], Any]:
    async with hub:
        for name in actions:
            await life.do(hub, name)
        await until_idle()
        await hub.flush()
        return await history(hub), facts_of(hub)


@given(actions=steps, seed=st.integers(0, 2**32), lives=st.integers(1, 2))
@settings(max_examples=40)
async def test_a_board_agrees_with_its_hub(actions: list[str], seed: int, lives: int) -> None:
    """About agents, inboxes, channels, tasks, approvals, and what has begun and not ended; also after a restart."""
    _, events, facts = await lived(actions, seed, lives)
    board = Board()
    assert board.fold_all(events) == len(events)
    assert facts_on(board) == facts
    assert board.hub().misfits == 0
    assert not board.gaps


@given(actions=steps, seed=st.integers(0, 2**32), share=st.floats(0, 1), is_small=st.booleans())
@settings(max_examples=25)
async def test_a_snapshot_at_any_point_goes_on_the_same(
    actions: list[str], seed: int, share: float, is_small: bool
) -> None:
    """Also through JSON; and what was folded before it is not folded again."""
    _, events, _ = await lived(actions, seed)
    limits = SMALL if is_small else BoardLimits()
    board, cut = Board(limits=limits), int(len(events) * share)
    board.fold_all(events[:cut])
    snapshot = board.snapshot()
    text = json.dumps(snapshot)
    again = Board.restore(json.loads(text), limits=limits)
    assert again.snapshot() == snapshot
    assert again.fold_all(events[:cut]) == 0
    board.fold_all(events[cut:])
    again.fold_all(events[cut:])
    assert again.snapshot() == board.snapshot()
    assert shown(again) == shown(board)
    assert json.dumps(snapshot) == text, "a snapshot changes later"


@given(actions=steps, seed=st.integers(0, 2**32), share=st.floats(0, 1))
@settings(max_examples=15)
async def test_a_prefix_folded_twice_equals_once(actions: list[str], seed: int, share: float) -> None:
    _, events, _ = await lived(actions, seed)
    once, twice = Board(), Board()
    once.fold_all(events)
    cut = int(len(events) * share)
    twice.fold_all(events[:cut])
    assert twice.fold_all(events[:cut]) == 0
    twice.fold_all(events)
    assert twice.snapshot() == once.snapshot()


@given(actions=steps, seed=st.integers(0, 2**32))
@settings(max_examples=15)
async def test_a_log_shows_what_the_hub_has_shown(actions: list[str], seed: int) -> None:
    """Events that are read back from their lines give the same board."""
    _, events, _ = await lived(actions, seed)
    live, read = Board(), Board()
    live.fold_all(events)
    read.fold_all(codec.decode(codec.encode(event)) for event in events)
    assert read.snapshot() == live.snapshot()


@given(actions=steps, seed=st.integers(0, 2**32))
@settings(max_examples=15)
async def test_events_without_their_classes_give_the_same_board(actions: list[str], seed: int) -> None:
    """As a version reads them that does not know them, and as generic events of the same kinds."""
    _, events, _ = await lived(actions, seed)
    live, unknown, generic = Board(), Board(), Board()
    live.fold_all(events)
    unknown.fold_all(loose(UnknownEvent, "fields", event) for event in events)
    generic.fold_all(loose(GenericEvent, "data", event) for event in events)
    assert unknown.snapshot() == live.snapshot()
    assert generic.snapshot() == live.snapshot()


def loose(cls: Any, name: str, event: Event) -> Event:
    own = {field: getattr(event, field) for field in own_fields(type(event))}
    header = {field: getattr(event, field) for field in field_names(type(event)) if field not in own}
    made: Event = cls(kind=event.kind, **header, **{name: canonical(own)})
    return made


@given(actions=steps, seed=st.integers(0, 2**32))
@settings(max_examples=15)
async def test_a_small_board_keeps_its_bounds(actions: list[str], seed: int) -> None:
    _, events, _ = await lived(actions, seed)
    board = Board(limits=SMALL)
    for event in events:
        board.fold(event)
        kept = board.snapshot()
        assert len(kept["agents"]["going"]) <= SMALL.agents
        assert len(kept["agents"]["gone"]) <= SMALL.agents_gone
        assert len(kept["channels"]["going"]) <= SMALL.channels
        assert len(kept["channels"]["ended"]) <= SMALL.channels_ended
        assert len(kept["runs"]["held"]) <= SMALL.spans_open
        shown_spans = sum(len(run["spans"]) for run in [*kept["runs"]["going"], *kept["runs"]["ended"]])
        assert len(kept["runs"]["spans"]) <= shown_spans + SMALL.spans_open
        assert all(run["open"] >= 0 for run in [*kept["runs"]["going"], *kept["runs"]["ended"]])
        assert all(
            run["open"] == sum(span["outcome"] == "open" for span in spans_of(kept, run))
            for run in [*kept["runs"]["going"], *kept["runs"]["ended"]]
        )
        assert len(kept["tasks"]["going"]) <= SMALL.tasks
        assert len(kept["approvals"]["going"]) <= SMALL.approvals
        assert len(kept["counts"]["kinds"]) <= SMALL.kinds
    assert shown(board)


def spans_of(kept: dict[str, Any], run: dict[str, Any]) -> list[dict[str, Any]]:
    return [span for span in kept["runs"]["spans"] if span["number"] in run["spans"]]


def shown(board: Board) -> Any:
    """All that a board shows, as JSON."""
    views = (
        *(board.hub(), board.agents(), board.channels(), board.links(), board.runs(), board.tasks()),
        *(board.approvals(), board.listeners(), board.counts("minute"), board.gaps),
        *(board.channel(each.channel_id) for each in board.channels()),
        *(board.run(each.run_id) for each in board.runs()),
    )
    return msgspec.json.decode(msgspec.json.encode([view and view.to_json() for view in views]))
