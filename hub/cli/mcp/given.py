"""The arguments of a tool as a model has given them: checked, and refused in words by which it can mend them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

from anyio import to_thread

from ..._foreign.arguments import Call, nearest, shown
from ...errors import ConfigurationError
from ...query import Selection
from ..sieve import OUTCOMES

__all__ = ("FILTERS", "Given")

FILTERS = (
    *("kind", "agent", "channel", "topic", "task", "turn", "session", "tenant", "correlation", "actor", "source"),
    *("outcome", "severity", "where", "text", "since", "until", "zone"),
)
_ALSO = {"success": "ok", "failure": "failed"}
"""How records say it themselves."""


class Given:
    """The arguments of one call of a tool; null stands for one that is not given."""

    def __init__(self, tool: str, arguments: Mapping[str, Any], known: Collection[str]) -> None:
        self.tool = tool
        self._call = Call(tool, ConfigurationError)
        for name in arguments:
            if name not in known:
                advice = nearest(name, known)
                raise self.refusal(
                    f"there is no argument {shown(name)}; there are {', '.join(known)}{f'; {advice}' if advice else ''}"
                )
        self._given = {name: value for name, value in arguments.items() if value is not None and value != ""}

    def __contains__(self, name: str) -> bool:
        return name in self._given

    def require(self, names: Collection[str]) -> None:
        """Refuse a call that lacks one of these."""
        if missing := [name for name in names if name not in self._given]:
            raise self.refusal(f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing")

    def text(self, name: str) -> str:
        """Return a text; a number in its place is taken as it is written."""
        value = self._given.get(name, "")
        return str(value) if type(value) is int else self._call.text(name, value)

    def flag(self, name: str) -> bool:
        value = self._given.get(name, False)
        if type(value) is str and value.lower() in ("true", "false"):
            return value.lower() == "true"
        return self._call.flag(name, value)

    def whole(self, name: str, otherwise: int, *, least: int, most: int) -> int:
        value = self._given.get(name, otherwise)
        if type(value) is str and value.isascii() and value.isdigit() and len(value) < 16:
            value = int(value)
        return self._call.whole(name, value, least=least, most=most)

    def choice(self, name: str, choices: Collection[str]) -> str:
        """Return one of some texts, by default the first."""
        return self._call.one_of(name, self._given.get(name, next(iter(choices))), choices)

    def refusal(self, message: str) -> ConfigurationError:
        return ConfigurationError(f"{self.tool}: {message}")

    # -- filters --

    async def selection(self) -> Selection:
        """Return which records are wanted, but for their outcome, which more than a field of them tells."""
        given = {name: self._given[name] for name in FILTERS if name in self._given and name != "outcome"}
        make = partial(Selection.of, **given, call=self.tool)
        return await to_thread.run_sync(make) if "zone" in given else make()  # zones are files

    def outcomes(self) -> tuple[str, ...]:
        """Return which outcomes are wanted; all, if none is given."""
        value = self._given.get("outcome", ())
        texts = (
            (value,) if type(value) is str else self._call.items("outcome", value, of="outcomes", most=len(OUTCOMES))
        )
        words = (_ALSO.get(each, each) if type(each) is str else each for each in texts)
        return tuple(self._call.one_of("outcome", each, OUTCOMES) for each in words)
