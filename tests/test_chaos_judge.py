"""The judge of `make chaos` finds each thing that may not become untrue."""

from __future__ import annotations

import ast
import copy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("nats")

from chaos.judge import Claims, Stored, changed, judged, judged_so_far

HERE = Path(__file__).parent


def _true() -> tuple[Stored, Claims]:
    """Two posts of one producer behind two other events; one hub has led, and another one followed."""
    stored, claims = Stored(), Claims()
    for seq in range(6):
        kind = "envelope.posted" if seq in (2, 4) else "listener.attached" if seq == 3 else "work.done"
        content = {"producer": 0, "number": seq // 2 - 1}
        event = {"seq": seq, "id": f"e{seq}", "kind": kind, "content": content if kind == "envelope.posted" else None}
        stored.events.append((event, 1))
    stored.fences.append((1, 0, 0.0))
    claims.acked = {(0, 0): 2, (0, 1): 4}
    claims.denied = {(0, 2)}
    claims.seen = {"node": [(seq, f"e{seq}", 10.0 + seq) for seq in range(6)]}
    claims.screens = {"node": [(seq, f"e{seq}") for seq in (0, 1, 2, 4, 5)]}
    claims.sure = {seq: 9.0 + seq for seq in range(6)}
    return stored, claims


def lost(stored: Stored, claims: Claims) -> None:
    claims.acked[0, 7] = 5


def twice(stored: Stored, claims: Claims) -> None:
    stored.events[5] = ({**stored.events[4][0], "seq": 5, "id": "e5"}, 1)


def elsewhere(stored: Stored, claims: Claims) -> None:
    claims.acked[0, 1] = 5


def out_of_order(stored: Stored, claims: Claims) -> None:
    claims.acked = {(0, 1): 4, (0, 0): 2}


def denied(stored: Stored, claims: Claims) -> None:
    claims.denied.add((0, 1))


def never_posted(stored: Stored, claims: Claims) -> None:
    del claims.acked[0, 1]


def not_dense(stored: Stored, claims: Claims) -> None:
    stored.events[5][0]["seq"] = 6


def gap(stored: Stored, claims: Claims) -> None:
    del claims.seen["node"][1]


def gap_on_a_screen(stored: Stored, claims: Claims) -> None:
    del claims.screens["node"][1]


def shown_twice(stored: Stored, claims: Claims) -> None:
    claims.seen["node"].insert(3, claims.seen["node"][2])


def phantom(stored: Stored, claims: Claims) -> None:
    claims.seen["node"][5] = (5, "another", 15.0)


def too_early(stored: Stored, claims: Claims) -> None:
    claims.sure[4] = 99.0


def one_takeover_more(stored: Stored, claims: Claims) -> None:
    stored.fences.append((9, 3, 50.0))
    stored.events[4:] = [(event, 9) for event, _ in stored.events[4:]]


WRONGS: list[Callable[[Stored, Claims], None]] = [
    lost,
    twice,
    elsewhere,
    out_of_order,
    denied,
    never_posted,
    not_dense,
    gap,
    gap_on_a_screen,
    shown_twice,
    phantom,
    too_early,
    one_takeover_more,
]


def test_what_is_true_is_no_fault() -> None:
    stored, claims = _true()
    assert judged(stored, claims, 1) == []
    assert judged_so_far(stored) == []
    assert changed(stored, stored) == []
    # What another hub has found when it took over is committed by that.
    claims.sure[4] = 99.0
    stored.fences.append((9, 6, 13.0))
    assert judged(stored, claims, 1) == []


@pytest.mark.parametrize("wrong", WRONGS)
def test_each_wrong_is_found(wrong: Callable[[Stored, Claims], None]) -> None:
    stored, claims = _true()
    wrong(stored, claims)
    assert judged(stored, claims, 1)


def test_a_stream_that_changes_behind_is_found() -> None:
    before, _ = _true()
    end = copy.deepcopy(before)
    end.events.pop()
    assert changed(before, end)
    end = copy.deepcopy(before)
    end.events[3][0]["id"] = "another"
    assert changed(before, end)


def test_the_judge_knows_no_code_of_hubwire() -> None:
    modules: set[str] = set()
    for node in ast.walk(ast.parse((HERE / "chaos" / "judge.py").read_text())):
        if isinstance(node, ast.ImportFrom):
            modules.add("." * node.level + (node.module or ""))
        elif isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
    assert {module.partition(".")[0] for module in modules} - sys.stdlib_module_names == {"nats"}
