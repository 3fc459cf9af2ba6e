"""Dashboard: the application that is mounted or served."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import attrs

from hubwire import Hub
from hubwire.clock import SystemClock
from hubwire.errors import ConfigurationError
from hubwire.late_types import late_type
from hubwire.ports import Clock, KnowledgeStore, normalize_path

from .._methods import has_methods
from .access import Access

if TYPE_CHECKING:
    from hubwire.redaction import Redactor

    from ._app import App
    from ._parts import Parts
    from .serving import Serving
else:
    Redactor = late_type("hubwire.redaction", "Redactor")
    Serving = late_type("hubwire.listeners.dashboard.serving", "Serving")

__all__ = ("Dashboard", "DashboardStatistics", "serve")

_STREAMS_MAX = 1000
_RATE = (100.0, 500)
"""Requests of one address: so many a second, and so many at once."""


@attrs.frozen(kw_only=True)
class DashboardStatistics:
    """The state of a dashboard. Numbers count since it was made, unless they say otherwise."""

    streams: int
    """How many clients read now."""
    streams_opened: int
    streams_refused: int
    """How many were refused, because ``streams_max`` was reached."""
    slow_dropped: int
    """How many were dropped, because they did not read what they were sent."""
    events_sent: int
    """To all clients together."""
    bytes_sent: int
    requests: int
    requests_refused: int
    requests_failed: int
    """How many failed by an error of the dashboard's own: the log of the program says which."""
    requests_malformed: int
    """How many were no HTTP, or asked for another protocol, where :meth:`Dashboard.serve` serves it."""
    sign_ins: int
    sign_ins_failed: int


class Dashboard:
    """A web page and a JSON interface on a hub: an application in ASGI, to be served or mounted.

    ``async with Dashboard(hub).serve(port=8765) as url:`` serves it beside a program; ``Mount("/ops", dashboard)`` of
    Starlette and FastAPI has it in one's own, in the loop of the hub. It attaches what it needs to the hub itself, and
    never slows it: who reads too slowly is dropped.

    ``access``: who may look, and do what (:class:`Access`); without it, a token is made for one person with the role
    ``operate``. ``show_content``: whether people see what agents say and the arguments of tools; by default names and
    sizes alone, but for people with ``contents=True``. What is personal or secret is redacted in any case, by
    ``redactor``, a :class:`~hubwire.redaction.Redactor`: also from a log that was written without one. ``hosts``: the
    names under which it is served, besides those of this machine: requests for others are refused. ``name``: what the
    page calls the hub. ``streams_max``: how many clients may read at once. ``clock`` is that of sessions and of what is
    shown as of now.
    ``keep``: a store in which it keeps what it has folded, below ``/boards``, so that a page opens at once also where
    the log is long. Nothing is lost with it but time; who can read it reads what agents say; closing it is up to you.

    Raises :class:`~hubwire.errors.ConfigurationError` for a setting that cannot work, and where the packages of the
    extra ``web`` are not installed.
    """

    def __init__(
        self,
        hub: Hub,
        *,
        access: Access | None = None,
        show_content: bool = False,
        hosts: Iterable[str] = (),
        name: str = "",
        redactor: Redactor | Literal["default"] = "default",
        streams_max: int = _STREAMS_MAX,
        clock: Clock | None = None,
        keep: KnowledgeStore | None = None,
    ) -> None:
        from ..live import LiveTail  # noqa: PLC0415 - beside the parts that need the extra

        if not isinstance(hub, Hub):
            raise ConfigurationError(
                f"Dashboard(): hub is a Hub, not a {type(hub).__name__}; a log without one: Dashboard.of_log(store)"
            )
        redacts = _redactor(redactor)
        make = _made(access, show_content, hosts, name, streams_max, clock, keep)
        from ._source import HubSource  # noqa: PLC0415 - likewise

        tail = LiveTail(redactor=redacts, subscribers_max=100_000, secret=b"hubwire dashboard cursors")
        hub.attach(tail)
        self._app: App = make(HubSource(hub, tail, redacts))
        self._parts: Parts = self._app.parts

    @classmethod
    def of_log(
        cls,
        store: KnowledgeStore,
        *,
        path: str | None = None,
        access: Access | None = None,
        show_content: bool = False,
        hosts: Iterable[str] = (),
        name: str = "",
        redactor: Redactor | Literal["default"] = "default",
        streams_max: int = _STREAMS_MAX,
        clock: Clock | None = None,
        keep: KnowledgeStore | None = None,
    ) -> Dashboard:
        """Return the dashboard of a log, beside the hub that writes it or without one: it only reads.

        ``path``: the log within the store, by default its audit log, else its journal. The store stays the caller's to
        close. Other arguments are those of the class. What needs a hub, as deciding approvals, is refused.
        """
        if not has_methods(store, "read_bytes", "list", "on_change"):
            raise ConfigurationError("Dashboard.of_log(): store is a store, as FileStore('./data') or open_store(url)")
        path = None if path is None else normalize_path(path)
        redacts = _redactor(redactor)
        make = _made(access, show_content, hosts, name, streams_max, clock, keep)
        from ._log_source import LogSource  # noqa: PLC0415 - likewise

        found = cls.__new__(cls)
        found._app = make(LogSource(store, path, redacts))  # noqa: SLF001 - it is of this class
        found._parts = found._app.parts  # noqa: SLF001 - likewise
        return found

    def __repr__(self) -> str:
        return f"<Dashboard of {self._parts.source!r:.300}>"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request, as ASGI 3 has it."""
        await self._app(scope, receive, send)

    @property
    def access(self) -> Access:
        """Who may look; ``access.made_token`` is the token that was made, if none was given."""
        return self._parts.access

    def serve(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 8765,
        certfile: str | Path | None = None,
        keyfile: str | Path | None = None,
        insecure: bool = False,
    ) -> Serving:
        """Return what serves it, as ``async with dashboard.serve(port=8765) as url:``.

        ``url`` is what a person opens; where a token was made, it is in it. ``port=0`` takes a free one. Beyond this
        machine, with another ``host`` than one of the loopback, it needs ``certfile`` and ``keyfile``, or ``insecure``:
        tokens could be read on the way. It takes no signals, and stops at once when the block ends.

        Raises :class:`~hubwire.errors.ConfigurationError` for a host that needs TLS, or what cannot be bound or read.
        """
        from .serving import Serving  # noqa: PLC0415 - what is mounted is served by others

        return Serving(self, host=host, port=port, certfile=certfile, keyfile=keyfile, insecure=insecure)

    def add_host(self, name: str) -> None:
        """Let requests for another name in: that of the address which is served."""
        self._parts.hosts.add(name)

    def note_malformed(self) -> None:
        """Count a request that was none: for what serves it."""
        self._parts.counts.malformed += 1

    def end_streams(self) -> None:
        """Tell all clients that the server stops; they come again to the next one, from their places."""
        self._parts.streams.end_all()

    async def aclose(self) -> None:
        """End all clients and all tasks. The next request begins anew."""
        await self._parts.close()

    def statistics(self) -> DashboardStatistics:
        """Return the state of the dashboard, now."""
        counts, streams = self._parts.counts, self._parts.streams
        return DashboardStatistics(
            streams=len(streams),
            streams_opened=streams.counts.opened,
            streams_refused=streams.counts.refused,
            slow_dropped=streams.counts.slow,
            events_sent=streams.counts.events,
            bytes_sent=streams.counts.bytes,
            requests=counts.requests,
            requests_refused=counts.refused,
            requests_failed=counts.failed,
            requests_malformed=counts.malformed,
            sign_ins=counts.sign_ins,
            sign_ins_failed=counts.sign_ins_failed,
        )


async def serve(dashboard: Dashboard, **settings: Any) -> None:
    """Be the server of a dashboard until the task is cancelled.

    ``settings`` are those of :meth:`Dashboard.serve`.
    """
    serving = dashboard.serve(**settings)
    async with serving:
        await serving.wait()


def _redactor(given: object) -> Redactor:
    """Return what redacts: history is of records, which a function of events could not redact."""
    from hubwire.redaction import Redactor  # noqa: PLC0415 - beside the parts that need the extra

    if type(given) is str and given == "default":
        return Redactor.shared()
    if not isinstance(given, Redactor):
        raise ConfigurationError("Dashboard(): what it shows is redacted: redactor is a Redactor, or 'default'")
    return given


def _made(
    access: object,
    show_content: object,
    hosts: Any,
    name: object,
    streams_max: object,
    clock: Clock | None,
    keep: KnowledgeStore | None,
) -> Any:
    """Return what makes an application of a source, after its settings were checked."""
    if access is not None and not isinstance(access, Access):
        raise ConfigurationError("Dashboard(): access is an Access(people), or None for one with a token that is made")
    if type(show_content) is not bool:
        raise ConfigurationError("Dashboard(): show_content is True or False")
    if type(name) is not str or len(name) > 100 or not (name.isprintable() or not name):
        raise ConfigurationError("Dashboard(): name is at most 100 printable characters")
    if clock is not None and not has_methods(clock, "now_ns", "monotonic"):
        raise ConfigurationError("Dashboard(): clock is a Clock, with now_ns() and monotonic()")
    if keep is not None and not has_methods(keep, "read_bytes", "size", "write", "list", "delete"):
        raise ConfigurationError("Dashboard(): keep is a store, as FileStore('./boards') or open_store(url), or None")
    if type(streams_max) is not int or not 1 <= streams_max <= 100_000:
        raise ConfigurationError("Dashboard(): streams_max is a whole number from 1 to 100,000")
    try:
        from ._app import App  # noqa: PLC0415 - an extra
        from ._parts import Parts  # noqa: PLC0415 - an extra
        from ._security import Hosts  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigurationError(
            "Dashboard(): it needs the packages starlette and uvicorn; install them by: pip install 'hubwire[web]'"
        ) from error
    given = Hosts(hosts)
    settings: dict[str, Any] = {"name": name, "show_content": show_content, "streams_max": streams_max, "keep": keep}

    def make(source: Any) -> App:
        return App(Parts(source, access or Access(), given, clock or SystemClock(), **settings), rate=_RATE)

    return make
