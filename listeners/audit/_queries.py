"""The calls of an audit log that find records."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta, tzinfo
from typing import TYPE_CHECKING, Never

from hubwire.errors import ConfigurationError
from hubwire.late_types import late_type
from hubwire.ports import Clock, KnowledgeStore

from ._clocks import SteadyClock

if TYPE_CHECKING:
    from hubwire.query import ApprovalRow, Counts, Indexed, Moment, Query, Selection, Texts
else:
    ApprovalRow = late_type("hubwire.query", "ApprovalRow")
    Counts = late_type("hubwire.query", "Counts")
    Indexed = late_type("hubwire.query", "Indexed")
    Moment = late_type("hubwire.query", "Moment")
    Query = late_type("hubwire.query", "Query")
    Selection = late_type("hubwire.query", "Selection")
    Texts = late_type("hubwire.query", "Texts")

__all__ = ("Queryable",)


class Queryable:
    """What finds records of a log, also while it is written; it needs no permission, and never opens the log."""

    path: str
    _store: KnowledgeStore
    _clock: Clock

    @property
    def store(self) -> KnowledgeStore:
        """The store that the log is on, for readers of its records: :func:`hubwire.query.query`, ``LogReader``."""
        return self._store

    def query(
        self,
        selection: Selection | None = None,
        *,
        kind: Texts | None = None,
        agent: Texts | None = None,
        channel: Texts | None = None,
        task: Texts | None = None,
        turn: Texts | None = None,
        session: Texts | None = None,
        tenant: Texts | None = None,
        correlation: Texts | None = None,
        actor: Texts | None = None,
        source: Texts | None = None,
        topic: Texts | None = None,
        outcome: Texts | None = None,
        severity: Texts | None = None,
        where: Mapping[str, Texts] | None = None,
        text: str | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        zone: str | tzinfo | None = None,
        after: str | None = None,
        limit: int | None = None,
        newest_first: bool = False,
        **unknown: Never,
    ) -> Query:
        """Return the selected records, oldest first: an async iterator of :class:`~hubwire.query.Found`.

        The filters are those of :meth:`hubwire.query.Selection.of`, or are given as one ``selection``; a filter of
        another name is refused. ``since`` is inclusive, ``until`` exclusive, and ``-10m`` is seen from the clock of
        the log. ``after`` is the cursor of a record: the query goes on behind it. ``limit`` is how many come at most.
        It also raises what :func:`hubwire.query.query` raises.
        """
        from hubwire.query import Selection, query  # noqa: PLC0415 - a log that is only written does not need it

        chosen = Selection.of(
            kind=kind, agent=agent, channel=channel, task=task, turn=turn, session=session, tenant=tenant,
            correlation=correlation, actor=actor, source=source, topic=topic, outcome=outcome, severity=severity,
            where=where, text=text, since=since, until=until, zone=zone, clock=SteadyClock(self._clock),
            call="audit.query()", **unknown,
        )  # fmt: skip
        if selection is None:
            selection = chosen
        elif not chosen.is_everything:
            raise ConfigurationError("audit.query(): give a selection, or filters, not both")
        return query(
            self._store, self.path, selection, after=after, limit=limit, newest_first=newest_first, call="audit.query()"
        )

    async def count(
        self,
        selection: Selection | None = None,
        *,
        by: Texts = "kind",
        every: str | float | timedelta | None = None,
        zone: str | tzinfo | None = None,
    ) -> Counts:
        """Count the selected records by fields, and over time, as :func:`hubwire.query.count` does."""
        from hubwire.query import count  # noqa: PLC0415 - as above

        return await count(self._store, self.path, selection, by=by, every=every, zone=zone, call="audit.count()")

    def approvals(self, selection: Selection | None = None) -> AsyncIterator[ApprovalRow]:
        """Iterate over approvals, a row each, as :func:`hubwire.query.approvals` does."""
        from hubwire.query import approvals  # noqa: PLC0415 - as above

        return approvals(self._store, self.path, selection, call="audit.approvals()")

    async def index(self) -> Indexed:
        """Write the indexes that sealed segments lack, as :func:`hubwire.query.index_log` does."""
        from hubwire.query import index_log  # noqa: PLC0415 - as above

        return await index_log(self._store, self.path)
