"""The filters of the verbs that select records by them: ``query``, and those that hand records on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import attrs
from cyclopts import Parameter

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from ..query import Selection

__all__ = ("Filters", "TailFilters")


def _of(what: str) -> Parameter:
    return Parameter(help=f"Only records of this {what}. Can be repeated.")


@Parameter(name="*")
@attrs.frozen(kw_only=True)
class Filters:
    """Which records are wanted. A verb that takes it has all of its options."""

    kind: Annotated[
        tuple[str, ...], Parameter(help="Only records of this kind; * stands for any text: 'tool.*'. Can be repeated.")
    ] = ()
    agent: Annotated[
        tuple[str, ...], Parameter(help="Only records of this agent: its name, its id, or the end of its id.")
    ] = ()
    channel: Annotated[
        tuple[str, ...], Parameter(help="Only records of this channel: its topic, its id, or the end of its id.")
    ] = ()
    topic: Annotated[
        tuple[str, ...], Parameter(help="Only what was published on this topic; * is any text: 'build.*'.")
    ] = ()
    task: Annotated[tuple[str, ...], _of("task")] = ()
    turn: Annotated[tuple[str, ...], _of("turn")] = ()
    session: Annotated[tuple[str, ...], _of("session")] = ()
    tenant: Annotated[tuple[str, ...], _of("tenant")] = ()
    correlation: Annotated[tuple[str, ...], _of("correlation id")] = ()
    actor: Annotated[tuple[str, ...], _of("actor")] = ()
    source: Annotated[tuple[str, ...], _of("source")] = ()
    outcome: Annotated[tuple[str, ...], Parameter(help="Only records of this outcome: success, failure, denied.")] = ()
    severity: Annotated[tuple[str, ...], Parameter(help="Only of this severity: info, warning, error.")] = ()
    where: Annotated[
        tuple[str, ...],
        Parameter(help="Only records whose KEY is VALUE, as KEY=VALUE; data.order=7 looks into data. Can be repeated."),
    ] = ()
    text: Annotated[
        str | None, Parameter(allow_leading_hyphen=True, help="Only records with this text in them, in any case.")
    ] = None
    since: Annotated[
        str | None,
        Parameter(allow_leading_hyphen=True, help="From this time on: 2026-11-21T10:00, -10m, -1h30m, today."),
    ] = None
    until: Annotated[str | None, Parameter(allow_leading_hyphen=True, help="Before this time, in the same forms.")] = (
        None
    )
    zone: Annotated[
        str | None, Parameter(help="The zone of times that name none: Europe/Berlin. By default UTC, as records have.")
    ] = None

    def selection(self, verb: str) -> Selection:
        """Return the selection that these filters are; errors name the verb."""
        from ..query import Selection

        given = attrs.asdict(self, recurse=False, filter=lambda _, value: value not in ((), None))
        if self.where:
            given["where"] = _pairs(self.where)
        return Selection.of(**given, call=verb)


@Parameter(name="*")
@attrs.frozen(kw_only=True)
class TailFilters(Filters):
    """The filters of a tail: an outcome is told by the kind of an event, too."""

    outcome: Annotated[
        tuple[str, ...],
        Parameter(help="Only of this outcome: ok, failed, refused, denied, expired, abandoned, late, open."),
    ] = ()


def _pairs(texts: tuple[str, ...]) -> dict[str, list[str]]:
    pairs: dict[str, list[str]] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise ConfigurationError(f"--where is KEY=VALUE, such as risk_level=high, not {text!r:.80}")
        pairs.setdefault(key, []).append(value)
    return pairs
