"""What the groups of commands of a hub have in common: how they show themselves."""

from __future__ import annotations

from typing import Final

__all__ = ("Group",)

_NAMES: Final = {"InboxCommands": "inboxes", "DeadLetterCommands": "dead_letters"}


class Group:
    """A group of commands, as ``hub.agents``, which shows what there is in it."""

    def __repr__(self) -> str:
        kind = type(self)
        name = _NAMES.get(kind.__name__) or f"{kind.__name__.removesuffix('Commands').lower()}s"
        commands = (each for each in dir(kind) if not each.startswith("_"))
        return f"<hub.{name}: {', '.join(commands)}>"
