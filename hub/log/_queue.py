"""The commands of a log, append, open and close, in the order of the calls."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from .._reraise import repeat

__all__ = ("Append", "Close", "Command", "Group", "Open", "Queue", "Repair")

_BATCH_BYTES = 1024 * 1024


@attrs.define(eq=False, repr=False)
class Command:
    """A call that waits until it is carried out."""

    future: asyncio.Future[int]
    """Settled with the number of records before the command: for an append, the index of its first record."""

    def settle(self, records: int) -> None:
        """Let the call return, unless it was cancelled."""
        if self._is_awaited:
            self.future.set_result(records)

    def fail(self, error: Exception) -> None:
        """Let the call raise a copy of ``error``, unless it was cancelled."""
        if self._is_awaited:
            self.future.set_exception(repeat(error))

    @property
    def _is_awaited(self) -> bool:
        """Whether a call still waits: it was not cancelled, nor lost with an event loop that was closed."""
        return not self.future.done() and not self.future.get_loop().is_closed()


@attrs.define(eq=False, repr=False)
class Append(Command):
    """Append records. An append of none waits for its place in the order, and is done."""

    bodies: Sequence[bytes]
    seq: int | None
    hub: str | None
    opening: Mapping[str, Any] | None = None
    """What ``log.opened`` has to say before these records."""

    @property
    def is_shared(self) -> bool:
        """Whether it is of several calls."""
        return False


class Group(Append):
    """Records of many calls, one of each, that came one after the other. It grows until it is full, or written."""

    __slots__ = ("futures", "is_prepared", "size")

    def __init__(self, future: asyncio.Future[int], body: bytes) -> None:
        super().__init__(future, [body], None, None)
        self.bodies: list[bytes]
        self.futures: list[asyncio.Future[int]] = [future]
        """Each is settled with the index of its record."""
        self.size: int = len(body)
        """How many bytes its records had when they came."""
        self.is_prepared: bool = False
        """Whether its records are as they are to be stored."""

    @property
    def is_shared(self) -> bool:
        return len(self.futures) > 1

    def add(self, future: asyncio.Future[int], body: bytes) -> None:
        """Take the record of one more call."""
        self.futures.append(future)
        self.bodies.append(body)
        self.size += len(body)

    def settle(self, records: int) -> None:
        """Let the calls return, but for those that were cancelled."""
        for index, future in enumerate(self.futures, records):
            if not future.done():
                future.set_result(index)

    def fail(self, error: Exception) -> None:
        """Let each of the calls raise a copy of ``error``."""
        for future in self.futures:
            Command(future).fail(error)


class Open(Command):
    """Open the log, if it is not open."""

    __slots__ = ()


class Repair(Command):
    """Carry out what the opening found to be done, if that is not done yet."""

    __slots__ = ()


class Close(Command):
    """Close the log."""

    __slots__ = ()


class Queue(deque[Command]):
    """Commands that wait, in the order of the calls."""

    __slots__ = ()

    @property
    def has_close(self) -> bool:
        return any(isinstance(command, Close) for command in self)

    def take_appends(self) -> list[Append]:
        """Take the appends at the head, about a megabyte of them."""
        batch, size, popleft = [], 0, self.popleft
        while self and size < _BATCH_BYTES and isinstance(command := self[0], Append):
            popleft()
            size += command.size if type(command) is Group else sum(map(len, command.bodies))
            batch.append(command)
        return batch

    def fail_all(self, error: Exception) -> None:
        """Fail all commands but closings, which stay: a log that could not be written is closed all the same."""
        commands = list(self)
        self.clear()
        for command in commands:
            if isinstance(command, Close):
                self.append(command)
            else:
                command.fail(error)
