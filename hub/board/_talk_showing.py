"""From what a board remembers of channels to what it shows, at a given moment."""

from __future__ import annotations

import attrs

from ._agents import Agents
from ._channels import EVERYONE
from ._entries import ApprovalEntry, CallEntry, ChannelEntry, ExpectationEntry, LineEntry, SpanEntry
from ._reading import time_of
from ._showing import activity_of
from ._talk_views import (
    Activity,
    CallView,
    ChannelView,
    DoingView,
    ExpectationView,
    LineView,
    LinkView,
    Transcript,
)

__all__ = ("TalkShowing",)

_TROUBLED = ("rejected", "violated")


@attrs.frozen
class TalkShowing:
    """Makes views as of ``now``, in seconds since 1970."""

    agents: Agents
    now: float
    approvals: dict[str, list[ApprovalEntry]]
    """Those that wait, by channel."""

    def _names(self, agent_ids: list[str]) -> tuple[str, ...]:
        return tuple(map(self.agents.name, agent_ids))

    def channel(self, entry: ChannelEntry) -> ChannelView:
        participants = list(entry.participants)
        trouble = next((each for each in reversed(entry.lines) if each.failed or each.sort in _TROUBLED), None)
        return ChannelView(
            channel_id=entry.channel_id,
            topic=entry.topic,
            type=entry.type,
            tenant=entry.tenant,
            state=entry.state,
            reason=entry.reason,
            creator_id=entry.creator_id,
            participants=tuple(participants),
            participant_names=self._names(participants),
            participants_not_shown=entry.participants_more,
            invited=tuple(entry.invited),
            parent_id=entry.parent_id,
            created_at=entry.created_at,
            ended_at=entry.ended_at,
            last_at=entry.last_at,
            posts=entry.posts,
            acked=entry.acked,
            rejected=entry.rejected,
            failed=entry.failed,
            violations=entry.violations,
            calls=entry.calls,
            calls_failed=entry.calls_failed,
            input_tokens=entry.input_tokens,
            output_tokens=entry.output_tokens,
            approvals_waiting=len(self.approvals.get(entry.channel_id, ())),
            last=self.line(entry.lines[-1]) if entry.lines else None,
            last_trouble=None if trouble is None else self.line(trouble),
            expectations=tuple(map(self._expectation, entry.expectations)),
        )

    def transcript(self, entry: ChannelEntry) -> Transcript:
        return Transcript(
            channel=self.channel(entry),
            lines=tuple(map(self.line, entry.lines)),
            lines_not_shown=entry.lines_more,
            doing=tuple(self._doing(entry)),
            links=self.links(entry.links),
            links_not_shown=entry.links_more,
        )

    def _doing(self, entry: ChannelEntry) -> list[DoingView]:
        """Return what is going on in a channel now: of each agent the innermost that it has begun there."""
        found: list[DoingView] = []
        for agent_id in entry.participants:
            spans = [
                each for each in self.agents.open.get(agent_id, {}).values() if each.channel_id == entry.channel_id
            ]
            calls = [each for each in spans if each.family != "turn"]
            if spans:
                found.append(self._at_work(agent_id, self._activity((calls or spans)[-1])))
        waiting = self.approvals.get(entry.channel_id, ())
        return found + [self._at_work(each.agent_id, activity_of(each, self.now)) for each in waiting]

    def _at_work(self, agent_id: str, activity: Activity) -> DoingView:
        return DoingView(agent_id=agent_id, agent=self.agents.name(agent_id), doing=activity)

    def _activity(self, span: SpanEntry) -> Activity:
        begun = time_of(span.started_at)
        return Activity(
            family=span.family,
            id=span.span_id,
            name=span.name,
            preview=span.preview,
            channel_id=span.channel_id,
            since_at=span.started_at,
            seconds=0.0 if begun is None else max(0.0, self.now - begun),
            seconds_left=None,
        )

    def _expectation(self, entry: ExpectationEntry) -> ExpectationView:
        return ExpectationView(
            name=entry.name,
            on_violation=entry.on_violation,
            state="troubled" if entry.trouble else "violated" if entry.violations else "kept",
            violations=entry.violations,
            last_violated_at=entry.last_at,
            violators=self._names(entry.violators),
            trouble=entry.trouble,
        )

    def line(self, entry: LineEntry) -> LineView:
        said, acked = time_of(entry.at), time_of(entry.acked_at) if entry.acked_at else None
        return LineView(
            seq=entry.seq,
            at=entry.at,
            sort=entry.sort,
            agent_id=entry.agent_id,
            agent=self.agents.name(entry.agent_id),
            to=self._names(entry.to),
            text=entry.text,
            recipients=entry.recipients,
            acked=entry.acked,
            acked_seconds=None if said is None or acked is None else max(0.0, acked - said),
            failed=entry.failed,
            calls=dict(entry.calls),
            items=tuple(map(_call, entry.items)),
        )

    def links(self, links: dict[str, int]) -> tuple[LinkView, ...]:
        found = []
        for key, count in sorted(links.items(), key=lambda item: (-item[1], item[0])):
            from_id, _, to_id = key.partition("\n")
            to_agent = "everyone" if to_id == EVERYONE else self.agents.name(to_id)
            from_agent = self.agents.name(from_id)
            found.append(LinkView(from_id=from_id, from_agent=from_agent, to_id=to_id, to_agent=to_agent, count=count))
        return tuple(found)


def _call(entry: CallEntry) -> CallView:
    return CallView(
        seq=entry.seq,
        tool=entry.tool,
        arguments=entry.arguments,
        outcome=entry.outcome,
        detail=entry.detail,
        seconds=None if entry.took_ms is None else entry.took_ms / 1000,
    )
