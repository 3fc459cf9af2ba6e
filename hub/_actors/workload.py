"""Which turns wait for which questions, and which agents have time for more: how a deadlock is found."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from .._commands.demand import Demand
from .calls import Ask, TurnCall

__all__ = ("Workload",)


class Workload:
    """The turns of each actor that are under way, what they wait for, and how many its agent may have at a time."""

    def __init__(self, demand: Demand) -> None:
        self._demand = demand
        self._concurrency: dict[str, int] = {}
        self._turns: dict[str, set[TurnCall]] = {}
        self._asks: dict[TurnCall, set[Ask]] = {}

    def begin_reading(self, agent_id: str, concurrency: int) -> None:
        """An actor reads this inbox now, and handles so many envelopes at a time, beside the agent's other workers."""
        self._concurrency[agent_id] = self._concurrency.get(agent_id, 0) + concurrency

    def end_reading(self, agent_id: str, concurrency: int) -> None:
        """An actor that handled so many envelopes at a time reads this inbox no more."""
        self._concurrency[agent_id] -= concurrency
        if not self._concurrency[agent_id]:
            del self._concurrency[agent_id]

    def begin(self, turn: TurnCall) -> None:
        if (turns := self._turns.get(turn.agent_id)) is None:
            turns = self._turns[turn.agent_id] = set()
        turns.add(turn)

    def end(self, turn: TurnCall) -> None:
        turns = self._turns[turn.agent_id]
        turns.remove(turn)
        if not turns:
            del self._turns[turn.agent_id]

    def begin_waiting(self, ask: Ask) -> None:
        if (turn := ask.turn) is not None:
            self._asks.setdefault(turn, set()).add(ask)

    def end_waiting(self, ask: Ask) -> None:
        if (turn := ask.turn) is not None:
            asks = self._asks[turn]
            asks.remove(ask)
            if not asks:
                del self._asks[turn]

    def turn_for(self, ask: Ask) -> TurnCall | None:
        """Return the turn that handles the question; None before and after."""
        question = ask.question
        if question is None:
            return None
        turns = self._turns.get(ask.answerer_id, ())
        return next((turn for turn in turns if turn.envelope.envelope_id == question.envelope_id), None)

    def is_deadlock(self, ask: Ask) -> bool:
        """Tell whether the turn that asks could end by a timeout only, because the answer needs that turn to end."""
        turn = ask.turn
        return turn is not None and turn in self._stuck(ask)

    def _stuck(self, newest: Ask) -> set[TurnCall]:
        """Return the turns that can end by a timeout only: each waits for an answer that needs one of them."""
        stuck = {turn for turns in self._turns.values() for turn in turns if turn in self._asks}
        if self.has_time(newest.answerer_id, stuck):
            return set()
        while free := {turn for turn in stuck if all(self._is_answerable(each, stuck) for each in self._asks[turn])}:
            stuck -= free
        return stuck

    def _is_answerable(self, ask: Ask, stuck: set[TurnCall]) -> bool:
        turn = self.turn_for(ask)
        if turn is not None:
            return turn not in stuck
        return self.has_time(ask.answerer_id, stuck)

    def has_time(self, agent_id: str, stuck: AbstractSet[object]) -> bool:
        """Tell whether an agent handles another envelope sooner or later; assumed of agents that are not actors."""
        turns = self._turns.get(agent_id, set())
        if agent_id not in self._concurrency:
            return self._may_come(agent_id, stuck)
        return len(turns) < self._concurrency[agent_id] or any(turn not in stuck for turn in turns)

    def waits_for_place(self, agent_id: str) -> bool:
        """Tell whether an agent has no actor, because there is no place for one on demand."""
        return agent_id not in self._concurrency and bool(self._demand.holders(agent_id))

    def _may_come(self, agent_id: str, stuck: AbstractSet[object]) -> bool:
        """Tell whether an agent that has no actor may get one: on demand, where another one leaves its place."""
        holders = self._demand.holders(agent_id)
        return not holders or any(stuck.isdisjoint(self._turns.get(holder, ())) for holder in holders)
