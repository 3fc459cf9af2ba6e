"""Skills of agents: used, authored, rated."""

from __future__ import annotations

from ._declare import event
from ._event import Event

__all__ = ("SkillAuthored", "SkillRated", "SkillUsed")


@event("skill.used")
class SkillUsed(Event):
    """An agent used a skill. ``outcome`` says how that ended; None if it is not known."""

    skill: str
    version: str = ""
    duration_ms: float | None = None
    triggered_automatically: bool = True


@event("skill.authored")
class SkillAuthored(Event):
    """An agent wrote a skill, from ``tool_count`` calls of ``unique_tools``. ``source_path`` is where it is kept."""

    skill: str
    version: str = ""
    source_path: str = ""
    tool_count: int = 0
    unique_tools: tuple[str, ...] = ()
    confirmed_by_user: bool = False


@event("skill.rated")
class SkillRated(Event):
    """A skill was rated, as ``good``, ``neutral`` or ``bad`` for example, by ``rated_by``."""

    skill: str
    rating: str = "neutral"
    reason: str = ""
    rated_by: str = "user"
