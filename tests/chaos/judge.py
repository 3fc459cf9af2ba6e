"""Reads what a stream holds in the end, by nats-py alone, and says what became untrue. It knows no code of hubwire."""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import nats
from nats.errors import Error as NatsError
from nats.js.api import ConsumerConfig, DeliverPolicy

__all__ = ("Claims", "Reader", "Stored", "changed", "judged", "judged_so_far")

_ATTEMPTS = 30
_NOT_ON_SCREENS = "listener."
"""What a listener is not called with: that would tell it of itself."""


@dataclass
class Stored:
    """What is in the stream."""

    events: list[tuple[dict[str, Any], int]] = field(default_factory=list)
    """In the order of the stream, and by which epoch each was written."""
    fences: list[tuple[int, int, float]] = field(default_factory=list)
    """The epoch, the seq that comes next, and the server's time of day, of each takeover."""


@dataclass
class Claims:
    """What the programs have said."""

    acked: dict[tuple[int, int], int] = field(default_factory=dict)
    """The ``seq`` of each message, by producer and number, in the order in which they were acknowledged."""
    unknown: set[tuple[int, int]] = field(default_factory=set)
    denied: set[tuple[int, int]] = field(default_factory=set)
    """Of which was said that they have not happened."""
    seen: dict[str, list[tuple[int, str, float]]] = field(default_factory=dict)
    """By run of a program, what its hub has shown: seq, id, and when."""
    screens: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    """What its best effort listener was called with."""
    sure: dict[int, float] = field(default_factory=dict)
    """When the required listener was called first, by ``seq``."""


class Reader:
    """Reads the stream while it is written: what was truncated is judged, too."""

    def __init__(self, servers: str, stream: str, subject: str) -> None:
        self._servers = servers.split(",")
        self._stream = stream
        self._subject = subject
        self.stored = Stored()
        self.place = 0
        self._parts = b""

    async def run(self) -> None:
        """Read for ever, through whatever happens to the servers."""
        while True:
            try:
                await self._read(is_endless=True)
            except (NatsError, OSError, TimeoutError):  # a server was killed
                await asyncio.sleep(0.2)

    async def finish(self) -> None:
        """Read what is left."""
        for _ in range(_ATTEMPTS):
            try:
                return await self._read(is_endless=False)
            except (NatsError, OSError, TimeoutError):  # servers have just come back
                await asyncio.sleep(1.0)
        raise AssertionError("the stream cannot be read")

    async def _read(self, *, is_endless: bool) -> None:
        client = await nats.connect(self._servers, max_reconnect_attempts=3, error_cb=_quiet)
        try:
            context = client.jetstream(timeout=5)
            last = (await context.stream_info(self._stream)).state.last_seq
            config = ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=self.place + 1)
            subscription = await context.pull_subscribe(self._subject, stream=self._stream, config=config)
            while is_endless or self.place < last:
                try:
                    messages = await subscription.fetch(500, timeout=1 if is_endless else 5)
                except TimeoutError:
                    if is_endless:
                        continue
                    return  # what is left is of another subject
                for message in messages:
                    self._take(message)
                if is_endless:
                    await context.stream_info(self._stream)
        finally:
            await client.close()

    def _take(self, message: Any) -> None:
        head, place = message.headers or {}, message.metadata.sequence.stream
        if place <= self.place:
            return
        self.place = place
        if head["Hw-Parts"] == "0":
            if head["Hw-Epoch"] == "0":
                self.stored.fences.append((place, int(head["Hw-Next"]), message.metadata.timestamp.timestamp()))
            return
        self._parts += message.data
        if head["Hw-Part"] == head["Hw-Parts"]:
            lines, self._parts = self._parts.split(b"\n"), b""
            self.stored.events += [(json.loads(line), int(head["Hw-Epoch"])) for line in lines]


async def _quiet(error: Exception) -> None:
    """Servers are killed: what fails is tried again."""
    del error


def changed(before: Stored, end: Stored) -> list[str]:
    """Return what stands otherwise in the stream in the end than it was read before."""
    ids = {event["seq"]: event["id"] for event, _ in before.events}
    wrong = [event["seq"] for event, _ in end.events if ids.get(event["seq"]) != event["id"]]
    faults = [f"event {seq} is another one in the end than it was before" for seq in wrong]
    if before.events and (not end.events or end.events[-1][0]["seq"] < before.events[-1][0]["seq"]):
        faults.append(f"event {before.events[-1][0]['seq']} was there, and is not in the end")
    return faults


def judged(stored: Stored, claims: Claims, leaders_max: int, *, until: float = math.inf) -> list[str]:
    """Return what became untrue; ``until`` that time of day there was reason for so many hubs to lead."""
    faults = _dense(stored) + _posts(stored, claims) + _shown(stored, claims) + _too_early(stored, claims)
    epochs = {epoch for _, epoch in stored.events}
    took_over = [fence for fence in stored.fences if fence[0] in epochs and fence[2] < until]
    if len(took_over) > leaders_max:
        faults.append(f"{len(took_over)} hubs have led, and there was reason for {leaders_max}")
    return faults


def judged_so_far(stored: Stored) -> list[str]:
    """Return what is untrue already, whatever comes."""
    return _dense(stored)


def _dense(stored: Stored) -> list[str]:
    numbers = [event["seq"] for event, _ in stored.events]
    if numbers == list(range(len(numbers))):
        return []
    at = next(at for at, seq in enumerate(numbers) if at != seq)
    return [f"the stream is not dense: event {at} has seq {numbers[at]}; there are {len(numbers)}"]


def _posts(stored: Stored, claims: Claims) -> list[str]:
    places: dict[tuple[int, int], list[int]] = {}
    for event, _ in stored.events:
        content = event.get("content")
        if event["kind"] == "envelope.posted" and isinstance(content, Mapping) and "producer" in content:
            places.setdefault((content["producer"], content["number"]), []).append(event["seq"])
    faults = [
        f"{key} was acknowledged as event {seq}, and is lost" for key, seq in claims.acked.items() if key not in places
    ]
    faults += [f"{key} is there {len(at)} times: {at}" for key, at in places.items() if len(at) > 1]
    faults += [f"{key} was said not to have happened, and is there" for key in claims.denied if key in places]
    faults += [
        f"{key} was acknowledged as event {seq}, and is event {places[key]}"
        for key, seq in claims.acked.items()
        if key in places and seq not in places[key]
    ]
    known = claims.acked.keys() | claims.unknown | claims.denied
    faults += [f"{key} was never posted" for key in places if key not in known]
    newest: Counter[int] = Counter()
    for (producer, number), seq in claims.acked.items():
        if seq < newest[producer]:
            faults.append(f"{(producer, number)} is out of order: event {seq} after {newest[producer]}")
        newest[producer] = max(seq, newest[producer])
    return faults


def _shown(stored: Stored, claims: Claims) -> list[str]:
    ids = {event["seq"]: event["id"] for event, _ in stored.events}
    kinds, faults = {event["seq"]: event["kind"] for event, _ in stored.events}, []
    for what, shown in (("hub", claims.seen), ("screen", claims.screens)):
        for run, events in shown.items():
            faults += _one_shown(f"the {what} of {run}", [each[:2] for each in events], ids, kinds)
    return faults


def _one_shown(
    who: str, events: Sequence[tuple[int, str]], ids: Mapping[int, str], kinds: Mapping[int, str]
) -> list[str]:
    faults = []
    for (before, _), (seq, _) in pairwise(events):
        if any(not kinds.get(each, "").startswith(_NOT_ON_SCREENS) for each in range(before + 1, seq)) or seq <= before:
            faults.append(f"{who} shows event {seq} after {before}, a {kinds.get(before + 1)}")
    faults += [f"{who} has shown event {seq}, which there is not" for seq, id_ in events if ids.get(seq) != id_]
    return faults


def _too_early(stored: Stored, claims: Claims) -> list[str]:
    """Return what was shown before the required listener had been called.

    What a hub that took over has found is committed by that; and one that was stopped calls its listener later.
    """
    faults = []
    for run, events in claims.seen.items():
        for seq, _, at in events:
            sure = claims.sure.get(seq)
            # The first fence behind it: by then it counts, whatever became of the listener.
            fenced = next((when for _, following, when in stored.fences if following > seq), None)
            if sure is not None and at < sure and (fenced is None or at < fenced):
                faults.append(f"{run} has shown event {seq} {sure - at:.6f} s before it was committed")
    return faults[:20]
