"""Channels: who takes part, what was said, who talks to whom, and which expectations were not kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from ._agents import Agents
from ._entries import CallEntry, ChannelEntry, ExpectationEntry, LineEntry
from ._kept import Kept
from ._limits import BoardLimits
from ._reading import TEXT_MAX, gist, identifier, names, number, optional, short, text_or, whole, words
from ._runs import Runs

__all__ = ("Channels", "ChannelsKept")

EVERYONE = "*"
"""Who an envelope is to that many agents got."""
_WIDE = 16
_NAMED_MAX = 8
_CALLS_MAX = 12
"""How many calls of one line are remembered one by one."""
_ARGUMENTS_MAX = 100
_EXPECTATIONS_MAX = 20


@attrs.define(eq=False)
class ChannelsKept:
    """What a snapshot has of them."""

    going: list[ChannelEntry]
    ended: list[ChannelEntry]
    not_shown: int
    links: dict[str, int]
    links_more: int


class Channels:
    """All channels that events tell of, and what goes through inboxes without one."""

    def __init__(self, limits: BoardLimits, agents: Agents, runs: Runs) -> None:
        self._limits = limits
        self._agents = agents
        self._runs = runs
        self.kept: Kept[ChannelEntry] = Kept(limits.channels, limits.channels_ended)
        self.links: dict[str, int] = {}
        """Of the whole hub, by sender and recipient."""
        self.links_more: int = 0
        self._lines: dict[str, LineEntry] = {}
        """By envelope, the line of the transcript that it has."""

    def handlers(self) -> Mapping[str, Callable[[Any], None]]:
        return {
            "channel.created": self._created,
            "channel.opened": self._opened,
            "channel.invited": self._invited,
            "channel.accepted": self._joined,
            "channel.participant_joined": self._joined,
            "channel.declined": self._declined,
            "channel.participant_removed": self._removed,
            "channel.closing": self._closing,
            "channel.closed": self._closed,
            "channel.expired": self._expired,
            "envelope.posted": self._posted,
            "envelope.rejected": self._rejected,
            "envelope.dispatch_failed": self._not_reached,
            "envelope.acked": self._acked,
            "envelope.dead_lettered": self._failed,
            "envelope.dropped": self._failed,
            "tool.called": self._tool_called,
            "tool.completed": self._tool_completed,
            "tool.failed": self._tool_failed,
            "tool.abandoned": self._tool_abandoned,
            "model.completed": self._model_completed,
            "expectation.violated": self._violated,
            "expectation.failed": self._troubled,
            "expectation.handler_failed": self._troubled,
        }

    def lose(self, at: str) -> None:
        """All channels have ended: there is another hub."""
        for entry in list(self.kept.going.values()):
            self._end(entry, "closed", at, "the hub was replaced by another one")

    # -- their lives --

    def _created(self, event: Any) -> None:
        channel_id, invited = identifier(event.channel_id), names(event.invited)
        entry = ChannelEntry(
            channel_id,
            words(event.topic),
            text_or(event.manifest_type, "conversation"),
            "pending",
            event.at,
            event.tenant,
            optional(event.agent_id),
            parent_id=optional(event.parent_id),
            last_at=event.at,
        )
        roles = event.roles if isinstance(event.roles, dict) else {}
        for agent_id in names(event.participants):
            if agent_id not in invited:
                self._take_in(entry, agent_id, text_or(roles.get(agent_id)))
        expectations = event.expectations
        for each in expectations[:_EXPECTATIONS_MAX] if isinstance(expectations, (tuple, list)) else ():
            if isinstance(each, dict):
                name, then = text_or(each.get("name"), "?"), text_or(each.get("on_violation"))
                entry.expectations.append(ExpectationEntry(name, then))
        self._left(self.kept.add(channel_id, entry))

    def _take_in(self, entry: ChannelEntry, agent_id: str, role: str = "") -> None:
        if agent_id in entry.participants or len(entry.participants) < self._limits.participants:
            entry.participants[agent_id] = role
        else:
            entry.participants_more += 1

    def _of(self, event: Any) -> ChannelEntry:
        """Return the channel of an event; one that is not known is so from now on."""
        channel_id = identifier(event.channel_id)
        entry = self.kept.find(channel_id)
        if entry is None:
            entry = ChannelEntry(channel_id, "", "", "open", event.at, event.tenant, last_at=event.at)
            self._left(self.kept.add(channel_id, entry))
        return entry

    def _left(self, entry: ChannelEntry | None) -> None:
        for line in () if entry is None else entry.lines:
            self._lines.pop(line.envelope_id, None)

    def _opened(self, event: Any) -> None:
        self._of(event).state = "open"

    def _invited(self, event: Any) -> None:
        entry, agent_id = self._of(event), identifier(event.agent_id)
        if agent_id not in entry.invited and len(entry.invited) < self._limits.participants:
            entry.invited.append(agent_id)

    def _joined(self, event: Any) -> None:
        entry, agent_id = self._of(event), identifier(event.agent_id)
        if agent_id in entry.invited:
            entry.invited.remove(agent_id)
        if agent_id not in entry.participants:
            self._went(event, entry, "joined", agent_id)
        self._take_in(entry, agent_id, text_or(getattr(event, "role", "")))

    def _declined(self, event: Any) -> None:
        entry, agent_id = self._of(event), identifier(event.agent_id)
        if agent_id in entry.invited:
            entry.invited.remove(agent_id)

    def _removed(self, event: Any) -> None:
        entry, agent_id = self._of(event), identifier(event.agent_id)
        self._went(event, entry, "left", agent_id)
        if entry.participants.pop(agent_id, None) is None and entry.participants_more:
            entry.participants_more -= 1

    def _went(self, event: Any, entry: ChannelEntry, sort: str, agent_id: str) -> None:
        """An agent came or went: those that did so one after the other are one line."""
        line = entry.lines[-1] if entry.lines else None
        if line is None or line.sort != sort:
            line = LineEntry(event.seq, event.occurred_at or event.at, sort, None, "")
            self._write(entry, line, entry.last_at or event.at)
        line.recipients += 1
        if len(line.to) < _NAMED_MAX:
            line.to.append(agent_id)

    def _closing(self, event: Any) -> None:
        entry = self._of(event)
        entry.state, entry.reason = "closing", words(event.reason, TEXT_MAX)

    def _closed(self, event: Any) -> None:
        self._end(self._of(event), "closed", event.at, words(event.reason, TEXT_MAX))

    def _expired(self, event: Any) -> None:
        self._end(self._of(event), "expired", event.at, words(event.reason, TEXT_MAX))

    def _end(self, entry: ChannelEntry, state: str, at: str, reason: str) -> None:
        entry.state, entry.ended_at, entry.reason = state, at, reason
        self._left(self.kept.end(entry.channel_id, entry))

    # -- what is said in them --

    def _posted(self, event: Any) -> None:
        envelope_id, recipients = identifier(event.envelope_id), names(event.recipients)
        sender = optional(event.agent_id)
        self._agents.posted(event, recipients)
        said = gist(event.content)
        self._runs.posted(event, envelope_id, said)
        to = recipients if len(recipients) <= _WIDE else [EVERYONE]
        if sender is not None:
            self.links_more += _link(self.links, sender, to, self._limits.links * 10)
        if event.channel_id is None:
            return
        entry = self._of(event)
        entry.posts += 1
        if sender is not None:
            entry.links_more += _link(entry.links, sender, to, self._limits.links)
        at = event.occurred_at or event.at
        line = LineEntry(event.seq, at, "said", sender, said, [], len(recipients), envelope_id)
        if event.audience is not None:
            line.to = names(event.audience, _NAMED_MAX)
        self._lines[envelope_id] = line
        self._write(entry, line, event.at)

    def _write(self, entry: ChannelEntry, line: LineEntry, at: str) -> None:
        entry.last_at = at
        entry.lines.append(line)
        if len(entry.lines) > self._limits.lines:
            entry.lines_more += 1
            self._lines.pop(entry.lines.pop(0).envelope_id, None)

    def _rejected(self, event: Any) -> None:
        if event.channel_id is None:
            return
        entry, reason = self._of(event), words(event.reason, TEXT_MAX)
        entry.rejected += 1
        line = LineEntry(event.seq, event.occurred_at or event.at, "rejected", optional(event.agent_id), reason)
        self._write(entry, line, event.at)

    def _not_reached(self, event: Any) -> None:
        self._agents.of(identifier(event.recipient_id))
        self._failed(event)

    def _acked(self, event: Any) -> None:
        """A recipient has handled an envelope."""
        line = self._lines.get(event.envelope_id) if type(event.envelope_id) is str else None
        if line is not None:
            line.acked += 1
            line.acked_at = event.occurred_at or event.at
        if event.channel_id is not None:
            self._of(event).acked += 1

    def _failed(self, event: Any) -> None:
        """An envelope did not reach a recipient, or was given up by it."""
        line = self._lines.get(event.envelope_id) if type(event.envelope_id) is str else None
        if line is not None:
            line.failed += 1
        if event.channel_id is not None:
            self._of(event).failed += 1

    def _tool_called(self, event: Any) -> None:
        """An agent has called a tool: calls one after the other are one line."""
        if event.channel_id is None:
            return
        entry, agent_id, tool = self._of(event), optional(event.agent_id), words(event.tool)
        line = entry.lines[-1] if entry.lines else None
        if line is None or line.sort != "calls" or line.agent_id != agent_id:
            line = LineEntry(event.seq, event.occurred_at or event.at, "calls", agent_id, "")
            self._write(entry, line, event.at)
        if tool in line.calls or len(line.calls) < _NAMED_MAX:
            line.calls[tool] = line.calls.get(tool, 0) + 1
        line.recipients += 1
        entry.calls += 1
        if len(line.items) < _CALLS_MAX:
            said = "" if event.arguments is None else short(gist(event.arguments), _ARGUMENTS_MAX)
            line.items.append(CallEntry(text_or(event.call_id), event.seq, tool, said))

    def _tool_completed(self, event: Any) -> None:
        self._tool_ended(event, "ok", "")

    def _tool_abandoned(self, event: Any) -> None:
        self._tool_ended(event, "abandoned", text_or(event.reason, "", TEXT_MAX))

    def _tool_failed(self, event: Any) -> None:
        text = text_or(event.error_message, text_or(event.error_type), TEXT_MAX)
        line = self._tool_ended(event, "failed", text)
        if line is not None:
            line.failed += 1
            line.text = text
        if event.channel_id is not None:
            self._of(event).calls_failed += 1

    def _tool_ended(self, event: Any, outcome: str, detail: str) -> LineEntry | None:
        """Return the line that the call stands in, or else the newest one with calls of the agent."""
        if event.channel_id is None:
            return None
        lines = [each for each in self._of(event).lines if each.sort == "calls" and each.agent_id == event.agent_id]
        for line in reversed(lines):
            for call in line.items:
                if call.outcome == "open" and call.call_id == event.call_id:
                    call.outcome, call.detail = outcome, detail
                    call.took_ms = number(getattr(event, "duration_ms", None))
                    return line
        return lines[-1] if lines else None

    def _model_completed(self, event: Any) -> None:
        if event.channel_id is not None:
            entry = self._of(event)
            entry.input_tokens += whole(event.input_tokens)
            entry.output_tokens += whole(event.output_tokens)

    # -- expectations --

    def _violated(self, event: Any) -> None:
        entry, expectation = self._expectation(event)
        violators = names(event.violators, _NAMED_MAX)
        expectation.violations += 1
        expectation.last_at, expectation.violators = event.at, violators
        entry.violations += 1
        line = LineEntry(event.seq, event.occurred_at or event.at, "violated", None, expectation.name, violators)
        self._write(entry, line, event.at)

    def _troubled(self, event: Any) -> None:
        reason = words(event.reason, TEXT_MAX)
        self._expectation(event)[1].trouble = reason

    def _expectation(self, event: Any) -> tuple[ChannelEntry, ExpectationEntry]:
        entry, name = self._of(event), text_or(event.expectation, "?")
        place = whole(getattr(event, "place", None), -1)
        if 0 <= place < len(entry.expectations) and entry.expectations[place].name == name:
            return entry, entry.expectations[place]
        for each in entry.expectations:
            if each.name == name:
                return entry, each
        found = ExpectationEntry(name, text_or(getattr(event, "on_violation", "")))
        if len(entry.expectations) < _EXPECTATIONS_MAX:
            entry.expectations.append(found)
        return entry, found

    # -- snapshots --

    def snapshot(self) -> ChannelsKept:
        going, ended = list(self.kept.going.values()), list(self.kept.ended.values())
        return ChannelsKept(going, ended, self.kept.not_shown, dict(self.links), self.links_more)

    def restore(self, kept: ChannelsKept) -> None:
        self.kept.going = {entry.channel_id: entry for entry in kept.going}
        self.kept.ended = {entry.channel_id: entry for entry in kept.ended}
        self.kept.not_shown = kept.not_shown
        self.links, self.links_more = kept.links, kept.links_more
        for entry in self.kept:
            for line in entry.lines:
                if line.envelope_id:
                    self._lines[line.envelope_id] = line


def _link(links: dict[str, int], sender: str, to: list[str], most: int) -> int:
    """Count an envelope for each recipient; return how many were not counted, because there are too many links."""
    more = 0
    for each in to:
        key = f"{sender}\n{each}"
        if key in links:
            links[key] += 1
        elif len(links) < most:
            links[key] = 1
        else:
            more += 1
    return more
