"""Skills: uses, outcomes, durations and ratings of each skill, bounded."""

from __future__ import annotations

from typing import Any

import pytest

from hubwire import Event, GenericEvent, Hub
from hubwire.clock import timestamp
from hubwire.errors import ConfigurationError
from hubwire.events import SkillAuthored, SkillRated, SkillUsed
from hubwire.listeners import Skills
from hubwire.listeners.skills import SkillStatistics
from hubwire.ports import HubListener
from hubwire.stores import MemoryStore
from hubwire.testing import HubListenerContract, ManualClock
from support.odd import ODD


class TestContract(HubListenerContract):
    @pytest.fixture
    def listener(self) -> HubListener:
        return Skills()


def used(skill: str, outcome: Any = None, duration_ms: float | None = None) -> Event:
    return SkillUsed(skill=skill, outcome=outcome, duration_ms=duration_ms)


@pytest.mark.parametrize("clock", [ManualClock(), None], ids=["by hand", "of the system"])
async def test_skills_are_counted(clock: ManualClock | None) -> None:
    skills, store = Skills(), MemoryStore()
    async with Hub(store, clock=clock, listeners=[skills]) as hub:
        authored = await hub.emit(SkillAuthored(skill="search"))
        for outcome in ("success", "success", "failure", "denied"):
            await hub.emit(used("search", outcome, 20.0))
        last = await hub.emit(used("search", None, 20.0))
        for rating in ("good", "good", "bad", "neutral"):
            await hub.emit(SkillRated(skill="search", rating=rating))
        await hub.emit(used("other.skill"))
        await hub.emit(GenericEvent(kind="number.said"))
        await hub.flush()
    assert list(skills.snapshot()) == ["search", "other.skill"]
    search, other = skills.snapshot().values()
    assert (search.used, search.succeeded, search.failed, search.success_rate) == (5, 2, 2, 0.5)
    assert (search.rated, search.rated_good, search.rated_bad, search.score) == (4, 2, 1, 1 / 3)
    assert (search.authored_at, search.last_used_at) == (authored.at, last.at)
    assert search.duration.count == 5
    assert search.duration.quantile_seconds(0.5) == search.duration.quantile_seconds(0.95) == 0.02
    assert (other.success_rate, other.score, other.authored_at, other.duration.count) == (None, None, None, 0)


async def test_numbers_are_made_again_from_the_journal() -> None:
    """After a restart, for who attaches it so."""
    store = MemoryStore()
    async with Hub(store) as hub:
        await hub.emit(used("search", "success"))
    skills = Skills()
    async with Hub(store) as hub:
        await hub.attach(skills, since="start").ready()
        await hub.emit(used("search", "failure"))
        await hub.flush()
    assert skills.snapshot()["search"].success_rate == 0.5


async def test_a_snapshot_of_skills_does_not_change_later() -> None:
    skills = Skills()
    await skills.on_events([used("search")])
    snapshot = skills.snapshot()
    await skills.on_events([used("search"), used("other")])
    assert [each.used for each in snapshot.values()] == [1]
    with pytest.raises(TypeError):
        snapshot["search"] = snapshot["search"]  # type: ignore[index]


async def test_skills_that_rarely_succeed_are_doubtful() -> None:
    """The worst first; one that was used a few times is not judged."""
    skills = Skills()
    for name, successes, failures in (("good", 4, 1), ("bad", 1, 4), ("worse", 0, 5), ("rare", 0, 4), ("edge", 2, 3)):
        await skills.on_events([used(name, "success")] * successes + [used(name, "failure")] * failures)
        await skills.on_events([used(name)] * 3)
    assert skills.doubtful() == ("worse", "bad", "edge")
    assert skills.doubtful(uses_min=4, success_rate_max=0) == ("rare", "worse")
    assert skills.doubtful(success_rate_max=1) == ("worse", "bad", "edge", "good")


async def test_invented_skills_take_bounded_memory() -> None:
    skills = Skills(names_max=10)
    for number in range(100_000):
        await skills.on_events([used(f"skill{number}", "failure")])
    await skills.on_events([used("x" * 129), used("skill3")])
    snapshot = skills.snapshot()
    assert len(snapshot) == 11
    assert (snapshot["other"].used, snapshot["skill3"].used) == (99_991, 2)
    assert skills.doubtful(uses_min=1) == tuple(f"skill{number}" for number in range(10))


@pytest.mark.parametrize("took", [-1, float("nan"), float("inf"), 1e300, None])
async def test_an_impossible_duration_of_a_use_is_left_out(took: Any) -> None:
    skills = Skills()
    await skills.on_events([used("search", None, took)])
    assert (skills.snapshot()["search"].used, skills.snapshot()["search"].duration.count) == (1, 0)


async def test_any_values_of_skills_are_survived() -> None:
    """Of events that a program makes of its own, past all checks of a hub."""
    skills = Skills()

    class Odd:
        kind = "skill.used"
        at = timestamp(0)
        outcome: Any = None

        def __init__(self, kind: str, value: Any) -> None:
            self.kind = kind
            self.skill = self.rating = self.outcome = self.duration_ms = value

    for make in ODD:
        for kind in ("skill.used", "skill.authored", "skill.rated", "skill.forgotten"):
            await skills.on_events([Odd(kind, make())])  # type: ignore[list-item]
            odd: Any = Odd(kind, make())
            odd.skill = "search"
            if type(odd.outcome) in (str, type(None), int, float):
                await skills.on_events([odd])
    assert all(type(each) is SkillStatistics for each in skills.snapshot().values())


@pytest.mark.parametrize("wrong", [0, -1, True, 1.5, "7", None])
def test_wrong_numbers_are_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^Skills\(\): names_max"):
        Skills(names_max=wrong)
    with pytest.raises(ConfigurationError, match=r"^Skills\.doubtful\(\): uses_min"):
        Skills().doubtful(uses_min=wrong)


@pytest.mark.parametrize("wrong", [-0.1, 1.1, True, "1", None, float("nan")])
def test_a_wrong_rate_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^Skills\.doubtful\(\): success_rate_max"):
        Skills().doubtful(success_rate_max=wrong)


async def test_two_hubs_may_share_a_skills_listener() -> None:
    skills = Skills()
    async with Hub(listeners=[skills]) as one, Hub(listeners=[skills]) as other:
        await one.emit(used("search"))
        await other.emit(used("search"))
        await one.flush()
        await other.flush()
    assert skills.snapshot()["search"].used == 2
