"""The meter: how much each tenant of a shared hub puts, and where its quotas end."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from .. import codec
from ..errors import QuotaExceeded
from ..events import (
    AgentRegistered,
    ApprovalRequested,
    ChannelCreated,
    EnvelopePosted,
    Event,
    TaskStarted,
    TimerSet,
    TopicSubscribed,
)
from ..events._shown import shown
from ..limits import TenantLimits
from ..ports import Clock

__all__ = ("OTHERS", "Meter")

OTHERS = "(others)"
"""Under this name are the numbers of those tenants that are not told apart."""

TENANTS_MAX = 1000
"""How many are told apart: names may come from outside, without an end."""

BUCKETS_MAX = 10_000
"""Of how many tenants it is remembered what they have used of a minute."""

REPORTS_MAX = 100
"""How many breaches are reported in a second, one of each tenant and quota; more are counted."""

_MINUTE = 60.0
_REPORT_SECONDS = 1.0

BEGINNINGS = frozenset(
    {AgentRegistered, ApprovalRequested, ChannelCreated, EnvelopePosted, TaskStarted, TimerSet, TopicSubscribed}
)
"""What makes more work. What ends work counts, and is not refused: to stop has to be possible."""


class _Counts:
    __slots__ = ("breaches", "bytes", "events")

    def __init__(self) -> None:
        self.events = self.bytes = self.breaches = 0


class _Bucket:
    """What is left of a number per minute: it fills again all the time, and may be overdrawn by what is not refused."""

    __slots__ = ("at", "level")

    def __init__(self, capacity: float, at: float) -> None:
        self.level = capacity
        self.at = at

    def fill(self, capacity: float, now: float) -> None:
        self.level = min(capacity, self.level + max(0.0, now - self.at) * capacity / _MINUTE)
        self.at = now


class Meter:
    """Counts by tenant, and refuses what is beyond a quota."""

    def __init__(
        self,
        clock: Clock,
        limits: TenantLimits | Mapping[str, TenantLimits] | None,
        present: Mapping[str, Callable[[str], int]],
    ) -> None:
        """``present``: for ``agents_max`` and ``channels_max``, how many a tenant has now."""
        self._clock = clock
        self._of_each: Mapping[str, TenantLimits] = {}
        self._of_others: TenantLimits | None = None
        if isinstance(limits, TenantLimits):
            self._of_others = limits
        elif limits is not None:
            self._of_each, self._of_others = limits, limits.get("*")
        self._present = present
        every = [*self._of_each.values(), self._of_others]
        self._weighs = any(each is not None and each.bytes_per_minute is not None for each in every)
        self._refuses = limits is not None
        self._counts: dict[str, _Counts] = {}
        self._buckets: OrderedDict[tuple[str, str], _Bucket] = OrderedDict()
        self._reports: dict[tuple[str, str], tuple[float, int]] = {}
        """When a breach was reported last, and by which event."""

    def numbers(self) -> Iterable[tuple[str, int, int, int]]:
        """Yield of each tenant, in the order of their names: its events, their bytes, and its breaches."""
        for tenant, each in sorted(self._counts.items()):
            yield tenant, each.events, each.bytes, each.breaches

    def numbers_of(self, tenant: str) -> tuple[int, int, int]:
        """Return the events of one tenant, their bytes, and its breaches; 0 for one that is not told apart."""
        each = None if tenant == OTHERS else self._counts.get(tenant)
        return (0, 0, 0) if each is None else (each.events, each.bytes, each.breaches)

    # -- counting --

    def count(self, events: Sequence[Event]) -> None:
        """Count events that are put, whether their tenant had any left of its quota or not."""
        for tenant, (number, size) in self._sums(events).items():
            counts = self._counts_of(tenant)
            counts.events += number
            counts.bytes += size
            if (limits := self._limits_of(tenant)) is None:
                continue
            for dimension, used in (("events_per_minute", number), ("bytes_per_minute", size)):
                if (capacity := getattr(limits, dimension)) is not None:
                    self._bucket(tenant, dimension, capacity).level -= used

    def _sums(self, events: Sequence[Event]) -> dict[str, tuple[int, int]]:
        sums: dict[str, tuple[int, int]] = {}
        for event in events:
            if (tenant := event.tenant) is not None:
                number, size = sums.get(tenant, (0, 0))
                sums[tenant] = number + 1, size + (len(codec.encode(event)) if self._weighs else 0)
        return sums

    def _counts_of(self, tenant: str) -> _Counts:
        counts = self._counts.get(tenant)
        if counts is None:
            name = tenant if len(self._counts) < TENANTS_MAX else OTHERS
            counts = self._counts.setdefault(name, _Counts())
        return counts

    def _limits_of(self, tenant: str) -> TenantLimits | None:
        return self._of_each.get(tenant, self._of_others)

    def _bucket(self, tenant: str, dimension: str, capacity: float) -> _Bucket:
        key, now = (tenant, dimension), self._clock.monotonic()
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(capacity, now)
            if len(self._buckets) > 2 * BUCKETS_MAX:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(key)
            bucket.fill(capacity, now)
        return bucket

    # -- refusing --

    def breach(self, events: Sequence[Event], *, are_own: bool) -> QuotaExceeded | None:
        """Return the error for events of a command that are beyond a quota; None if they may be put."""
        if not self._refuses or (are_own and BEGINNINGS.isdisjoint(map(type, events))):
            return None
        for tenant, (number, size) in self._sums(events).items():
            if (limits := self._limits_of(tenant)) is not None:
                found = self._of_rates(tenant, limits, number, size) or self._of_things(tenant, limits, events)
                if found is not None:
                    self._counts_of(tenant).breaches += 1
                    return found
        return None

    def _of_rates(self, tenant: str, limits: TenantLimits, number: int, size: int) -> QuotaExceeded | None:
        for dimension, used in (("events_per_minute", number), ("bytes_per_minute", size)):
            capacity = getattr(limits, dimension)
            if capacity is None:
                continue
            level = self._bucket(tenant, dimension, capacity).level
            wanted = min(used, capacity)  # what is larger than the quota has all of it, when none of it is used
            if level < wanted:
                seconds = math.ceil((wanted - level) * _MINUTE / capacity * 1000) / 1000
                return _exceeded(tenant, dimension, capacity, round(capacity - level) + used, seconds)
        return None

    def _of_things(self, tenant: str, limits: TenantLimits, events: Sequence[Event]) -> QuotaExceeded | None:
        for dimension, kind in (("agents_max", AgentRegistered), ("channels_max", ChannelCreated)):
            most = getattr(limits, dimension)
            if most is None:
                continue
            coming = sum(type(event) is kind and event.tenant == tenant for event in events)
            if coming and (there := self._present[dimension](tenant) + coming) > most:
                return _exceeded(tenant, dimension, most, there, None)
        return None

    def to_report(self, refused: QuotaExceeded, put: Callable[[Event], Event]) -> None:
        """Report a breach by ``quota.breached``, if it was not within the last second; its ``seq`` is in the error."""
        key, now = (refused.tenant, refused.dimension), self._clock.monotonic()
        known = self._reports.get(key)
        if known is None or now - known[0] >= _REPORT_SECONDS:
            if len(self._reports) >= REPORTS_MAX:
                recent = {each: one for each, one in self._reports.items() if now - one[0] < _REPORT_SECONDS}
                self._reports = recent
            if len(self._reports) >= REPORTS_MAX:
                return
            known = self._reports[key] = now, put(_reported(refused)).seq
        refused.seq = known[1]


def _exceeded(tenant: str, dimension: str, limit: float, value: float, seconds: float | None) -> QuotaExceeded:
    when = "end one first" if seconds is None else f"try again in {seconds:g} s"
    refused = QuotaExceeded(
        f"tenant {shown(tenant)} would have {value:,} of {limit:,} that {dimension} allows; {when}",
        tenant=tenant,
        dimension=dimension,
        limit=limit,
        value=value,
    )
    refused.retry_after_seconds = seconds
    return refused


def _reported(refused: QuotaExceeded) -> Event:
    from ..events.administration import QuotaBreached  # noqa: PLC0415 - few hubs have quotas

    detail: dict[str, Any] = {"limit": refused.limit, "value": refused.value}
    return QuotaBreached(
        tenant=refused.tenant,
        actor=refused.tenant,
        dimension=refused.dimension,
        retry_after_seconds=refused.retry_after_seconds,
        detail=detail,
    )
