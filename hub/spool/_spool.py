"""The spool that a program writes to."""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping
from functools import partial
from types import TracebackType
from typing import Any, Self

import attrs

from .. import codec
from .._foreign.arguments import Call, has_method
from .._foreign.guards import guarded_call
from .._values import Value
from ..clock import SystemClock
from ..context import current
from ..errors import CommandRejected, ConfigurationError
from ..events import Event, GenericEvent, UnknownEvent
from ..events._declare import check_kind, kind_class
from ..events._event import OWN_DOMAINS
from ..events._shown import is_a, shown
from ..events._stamp import stamp
from ..forks import register_at_fork
from ..own_log import OwnLog
from ..ports import Clock
from ._lines import LINE_BYTES_MAX
from ._writing import BYTES_MAX, FILE_BYTES_MAX, Writer

__all__ = ("DIRECTORY", "Spool", "SpoolStatistics", "directory_of")

_log = OwnLog("spool")

_SPOOL = Call("Spool()", ConfigurationError)
_APPEND = Call("spool.append()", CommandRejected)
DIRECTORY = "a path, as text or pathlib.Path"

_BYTES_LEAST = 4096


@attrs.frozen(kw_only=True, eq=False, repr=False)
class SpoolStatistics(Value):
    """What one :class:`Spool` has done, in this process."""

    written: int
    """How many events were written, each as durable as the spool is."""
    failures: int
    """How many were not."""
    lost: int
    """How many of these the next line will say; 0 when the last event was written, or they were counted elsewhere."""
    last_error: str | None
    """Why the last one that failed was not written."""


class Spool:
    """Leaves events in a directory, for a hub to take in, each once: see :class:`SpoolFeed`.

    Any number of processes and threads may write at a time; it needs no event loop and no hub, and never raises into
    its program: an event that cannot be written is counted, in ``failures``, and so is one that is no event. The first
    of several failures in a row is a warning in the log, and the next line that can be written says how many events
    are lost before it, which becomes an event of the hub: ``spool.events_lost``. Where no line follows until it is
    closed, or its process ends, they are counted in the file ``<directory>.lost``, and become a ``recording.dropped``.

    ``directory``: made when the first event comes, for the user alone; one that is gone later is not made again,
    because what was mounted there may come back. ``durability``: ``"fsync"``, so that what was appended survives the
    loss of power, or ``"flush"``, so that it survives the end of the process, also by a kill; a member of
    :class:`~hubwire.stores.Durability` says the same. ``bytes_max``: how much the directory may hold that was not
    taken; what comes beyond it is lost. ``file_bytes_max``: after so many bytes a writer goes on in another file, and
    the old one is deleted when it is taken. ``clock``: by which lines are dated.

    Raises :class:`~hubwire.errors.ConfigurationError` for arguments that are none, and for no state of the disk.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        durability: str = "fsync",
        bytes_max: int = BYTES_MAX,
        file_bytes_max: int = FILE_BYTES_MAX,
        clock: Clock | None = None,
    ) -> None:
        if clock is not None and not has_method(clock, "now_ns"):
            raise _SPOOL.refusal("clock", clock, "a Clock")
        self.directory: str = directory_of(_SPOOL, directory)
        self._writer = Writer(
            self.directory,
            sync=_SPOOL.one_of("durability", durability, ("fsync", "flush")) == "fsync",
            bytes_max=_SPOOL.whole("bytes_max", bytes_max, least=_BYTES_LEAST),
            file_bytes_max=_SPOOL.whole("file_bytes_max", file_bytes_max, least=_BYTES_LEAST),
            now_ns=(SystemClock() if clock is None else clock).now_ns,
            told=partial(_tell, self.directory),  # no reference to this: its writer is closed when it is gone
        )
        register_at_fork(self._writer)
        weakref.finalize(self, self._writer.close)

    def __repr__(self) -> str:
        return f"<Spool {shown(self.directory)}: {self._writer.written} written, {self._writer.failures} failures>"

    @property
    def failures(self) -> int:
        """How many events could not be written."""
        return self._writer.failures

    @property
    def last_error(self) -> str | None:
        """Why the last one of these could not; None if none failed."""
        return self._writer.last_error

    def statistics(self) -> SpoolStatistics:
        """Return the numbers of this spool, now."""
        writer = self._writer
        return SpoolStatistics(
            written=writer.written, failures=writer.failures, lost=writer.lost, last_error=writer.last_error
        )

    def append(self, event: Event | str, data: Mapping[str, Any] | None = None, /, **header: Any) -> int | None:
        """Write an event; return the number of its line in its file, or None if it was not written.

        ``event``: any event that a program may emit, or the kind of one without a declaration, with its ``data`` and
        fields of its header: ``spool.append("build.finished", {"ok": True}, agent_id="ci")``. What it leaves out of its
        context is taken from :mod:`hubwire.context`, and ``occurred_at`` is now. The number counts from 1, without a
        gap but for what others write to the file; with the default durability the event is on the medium then.

        It waits for the disk, so call it by ``asyncio.to_thread`` in an event loop. Called inside of another call, as
        by a signal handler, it returns None, and the event is written right after the other one. It raises only what a
        signal handler raises in it, as Ctrl-C does.
        """
        try:
            body = _encoded(event, data, header)
        except KeyboardInterrupt:  # it is meant for the program
            raise
        except BaseException as error:  # noqa: BLE001 - the event may be of a class that does what it wants
            self._writer.failed(error)
            return None
        return self._writer.append(body)

    def close(self) -> None:
        """Give the file back, so that another writer goes on in it, or a drain deletes it. May be called again.

        What is appended later opens one again. The end of the process does the same.
        """
        self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _tell(directory: str, error: BaseException) -> None:
    _log.problem(
        "a spool cannot write an event; what comes is lost until it can, and counted in its failures",
        directory=directory,
        error=f"{type(error).__name__}: {error}",
    )


def directory_of(call: Call, directory: object, argument: str = "directory") -> str:
    """Return a path as text, absolute, so that a change of the working directory does not move it."""
    try:
        path = directory if type(directory) is str else guarded_call(lambda: os.fspath(directory))  # type: ignore[call-overload]
    except Exception:  # noqa: BLE001 - it may be of a class that does what it wants
        raise call.refusal(argument, directory, DIRECTORY) from None
    text = call.text(argument, path, wanted=DIRECTORY, is_empty_ok=False)
    if "\0" in text:
        raise call.refusal(argument, text, "a path without NUL")
    return os.path.normpath(text if text.startswith("/") else f"{os.getcwd()}/{text}")  # noqa: PTH109 - it stays text


def _encoded(event: object, data: Any, header: Mapping[str, Any]) -> bytes:
    if is_a(event, str):
        if kind_class(str.__str__(event)) is not None:
            raise _APPEND.error(f"spool.append(): {shown(event)} is declared; append an event of its class")
        made: Event = GenericEvent(kind=str.__str__(event), data={} if data is None else data, **header)
    elif not is_a(event, Event):
        raise _APPEND.refusal("event", event, "an event, or the kind of one")
    elif data is not None or header:
        raise _APPEND.error("spool.append(): data and fields of the header go with a kind; an event has its own")
    else:
        made = event  # type: ignore[assignment]
    _check(made)
    return codec.encode(stamp(made, -1, "", "", "", current(), LINE_BYTES_MAX))


def _check(event: Event) -> None:
    """Raise for what no hub would take in: it is better known here than where it is taken."""
    cls = type(event)
    if cls is UnknownEvent or cls.command is not None:
        raise _APPEND.error(f"spool.append(): no program may emit {shown(event.kind)}; append a GenericEvent")
    check_kind(event.kind)
    if event.kind.partition(".")[0] in OWN_DOMAINS:
        raise _APPEND.error(f"spool.append(): {shown(event.kind)} is a kind of the hub's own; append another one")
