"""An arbiter's rule: what is private and what strangers have written do not both reach what goes out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

from ._foreign.arguments import Call, has_method
from .arbiter import ALLOW, Allow, Arbiter, Command, Deny
from .context import current
from .errors import ConfigurationError
from .events import Event
from .ports import KnowledgeStore
from .provenance import provenance_of
from .query import Selection, query

__all__ = ("PrivateUntrustedOutbound",)

_RULE: Final = Call("PrivateUntrustedOutbound()", ConfigurationError)
_REMEMBERED_MAX: Final = 100_000
_PRIVATE, _UNTRUSTED = "private", "untrusted"
_TOOLS: Final = ("tool.called", "tool.completed", "tool.failed")


class PrivateUntrustedOutbound:
    """Refuses an outbound act in a run that has met both private contents and contents of strangers.

    An agent that reads what strangers wrote may do what they say; with private contents and a way out, it may carry
    them off. Any two of the three are allowed, in any order. The third is refused if it is the one that goes out::

        rule = PrivateUntrustedOutbound(
            private=["read_mail", "memory"], untrusted=["fetch_*", "web"], outbound=["send_*", "agent:mailer"]
        )
        Hub(store, arbiter=rule)

    Each is a list of globs, case-sensitive. ``private`` and ``untrusted`` are names of tools, and words of
    :data:`~hubwire.provenance.PROVENANCES`, which envelopes and tool results carry. ``outbound`` are names of tools and
    of actions that are to be approved; with ``agent:`` before it, of an agent that is posted to or asked, and with
    ``topic:``, of what is published on. Refused are the beginning of a call that the hub records (``tool.called``), a
    question for approval, a post, a publication and an ask. What a runtime does without asking the hub is recorded, and
    not stopped.

    A run is a correlation, or else a channel. Of what is in neither, each is a run of its own. ``then`` is an arbiter
    that decides about what this rule allows. It remembers the 100,000 newest runs; after a restart, :meth:`learn` lets
    it read the others' from a log. An agent that can begin a new correlation by itself begins a new run: give it its
    correlation from outside.

    Raises :class:`~hubwire.errors.ConfigurationError` for what are no globs.
    """

    def __init__(
        self,
        *,
        private: Iterable[str],
        untrusted: Iterable[str],
        outbound: Iterable[str],
        then: Arbiter | None = None,
    ) -> None:
        self._globs = {_PRIVATE: _globs("private", private), _UNTRUSTED: _globs("untrusted", untrusted)}
        self._outbound = _globs("outbound", outbound)
        if then is not None and not has_method(then, "authorize"):
            raise _RULE.refusal("then", then, "an arbiter, or None", "write RuleArbiter(...)")
        self._then = then
        self._met: OrderedDict[str, dict[str, str]] = OrderedDict()
        """By run, what it has met, and as what."""

    def authorize(self, command: Command) -> Allow | Deny | Awaitable[Allow | Deny]:
        """Return whether the command is allowed; remember what it brings into its run."""
        event = command.content if command.name == "emit" and isinstance(command.content, Event) else None
        run = _run_of(event, command)
        met = self._met.get(run, {})
        for kind, name in self._brought(command, event):
            met = self._remember(run, kind, name)
        if _PRIVATE in met and _UNTRUSTED in met:
            for name in _ways_out(command, event):
                if _matches(name, self._outbound):
                    return Deny(
                        f"{name!r:.200} goes out, and this run has met what is private ({met[_PRIVATE]}) and what"
                        f" strangers wrote ({met[_UNTRUSTED]}); let a person do it, or a run that has not met both"
                    )
        return ALLOW if self._then is None else self._then.authorize(command)

    async def learn(self, store: KnowledgeStore, path: str = "/audit") -> int:
        """Read from a log what runs have met, before the hub starts on it; return how many runs are remembered.

        Without it, runs that were under way before a restart begin anew. ``path`` is that of an audit log, or
        ``/journal``. Memory is bounded; the newest runs count. Raises what :func:`hubwire.query.query` raises.
        """
        async for found in query(store, path, Selection(), call="PrivateUntrustedOutbound.learn()"):
            fields = found.fields
            if "seq" in fields:
                run = _run(fields.get("correlation_id"), fields.get("channel_id"))
                for kind, name in self._said(fields.get("kind"), fields.get("tool"), provenance_of(fields)):
                    self._remember(run, kind, name)
        return len(self._met)

    def _brought(self, command: Command, event: Event | None) -> Iterator[tuple[str, str]]:
        if event is not None:
            yield from self._said(event.kind, getattr(event, "tool", None), provenance_of(event))
        else:
            yield from self._said("", None, provenance_of({"metadata": command.facts}))

    def _said(self, kind: object, tool: object, words: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Iterate over what an event brings into its run: as private or untrusted, and by which name."""
        names = list(words)
        if kind in _TOOLS and isinstance(tool, str):
            names.append(tool)
        for name in names:
            for meant, globs in self._globs.items():
                if _matches(name, globs):
                    yield meant, name

    def _remember(self, run: str, kind: str, name: str) -> dict[str, str]:
        met = self._met.setdefault(run, {}) if run else {}
        met.setdefault(kind, name[:200])
        if run:
            self._met.move_to_end(run)
            if len(self._met) > _REMEMBERED_MAX:
                self._met.popitem(last=False)
        return met


def _globs(name: str, given: object) -> tuple[str, ...]:
    globs = _RULE.items(name, given, of="globs")
    if not globs:
        raise _RULE.refusal(name, given, "a list of globs, not empty", "without one of the three, no run is refused")
    return tuple(_RULE.text(f"each of {name}", glob, wanted="a glob", is_empty_ok=False) for glob in globs)


def _matches(name: str, globs: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)


def _run_of(event: Event | None, command: Command) -> str:
    context = current()
    correlation = context.correlation_id if event is None else event.correlation_id or context.correlation_id
    return _run(correlation, command.channel_id or context.channel_id)


def _run(correlation: object, channel: object) -> str:
    if isinstance(correlation, str) and correlation:
        return f"correlation {correlation}"
    return f"channel {channel}" if isinstance(channel, str) and channel else ""


def _ways_out(command: Command, event: Event | None) -> Iterator[str]:
    """Iterate over the names under which a command goes out."""
    if event is not None:
        if event.kind == "tool.called":
            yield str(getattr(event, "tool", ""))
    elif command.name == "request":
        content: Any = command.content
        action = content.get("action") if isinstance(content, Mapping) else content
        yield str(action)
    elif command.name in ("send", "publish", "ask", "dispatch"):
        if (topic := command.facts.get("topic")) is not None:
            yield f"topic:{topic}"
        for name in command.others or (command.present if command.name == "send" else ()):
            yield f"agent:{name}"
