"""The parts of a dashboard, which its places of the interface work with."""

from __future__ import annotations

import attrs

from hubwire.ports import Clock, KnowledgeStore

from ._boards import Boards
from ._limits import Tries
from ._logs import Logs
from ._rows import Rows
from ._security import Hosts
from ._sessions import Sessions
from ._source import Source
from ._stream import Streams
from ._verifying import Verifying
from .access import Access, Person

__all__ = ("Counts", "Parts")


@attrs.define
class Counts:
    """What was counted."""

    requests: int = 0
    refused: int = 0
    """Of them, those that were answered with an error of the client's."""
    failed: int = 0
    malformed: int = 0
    sign_ins: int = 0
    sign_ins_failed: int = 0


class Parts:
    """What there is behind the interface."""

    def __init__(
        self,
        source: Source,
        access: Access,
        hosts: Hosts,
        clock: Clock,
        *,
        name: str,
        show_content: bool,
        streams_max: int,
        keep: KnowledgeStore | None = None,
    ) -> None:
        self.source: Source = source
        self.access: Access = access
        self.hosts: Hosts = hosts
        self.clock: Clock = clock
        self.name: str = name
        self.show_content: bool = show_content
        self.counts: Counts = Counts()
        self.rows: Rows = Rows(source.names)
        self.boards: Boards = Boards(source, clock, keep)
        self.logs: Logs = Logs(source)
        self.verifying: Verifying = Verifying(source, self.logs, clock)
        self.streams: Streams = Streams(source, self.rows, self.verifying, streams_max=streams_max)
        self.sessions: Sessions = Sessions(access, Tries(), clock)

    def shows_contents(self, person: Person) -> bool:
        """Tell whether a person sees what agents say."""
        return self.show_content if person.contents is None else person.contents

    async def close(self) -> None:
        """End all streams, and all tasks. What is asked next begins anew."""
        await self.streams.close()
        await self.verifying.close()
        await self.boards.close()
        await self.source.close()
