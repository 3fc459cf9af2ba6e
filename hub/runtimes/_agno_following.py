"""What Agno's wrapped methods have in common: a run or call, told to all recorders there are."""

from __future__ import annotations

import functools
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from .recorder import Recorder

__all__ = ("ABOVE", "HEARING", "AgnoRecorder", "Following", "outermost")

ABOVE: ContextVar[str | None] = ContextVar("hubwire.runtimes.agno.above", default=None)
"""The run or tool call that this code belongs to."""


class AgnoRecorder(Recorder):
    """A recorder of all agents and teams of the process."""

    def count_failure(self, method: str, error: BaseException) -> None:
        """Count what has failed inside of a wrapper; the run goes on all the same."""
        self.failed(method, error)


HEARING: list[AgnoRecorder] = []
"""The recorders that are open."""


@contextmanager
def outermost() -> Iterator[None]:
    """What is run inside belongs to no run outside: the hub's own turn is its context."""
    token = ABOVE.set(None)
    try:
        yield
    finally:
        ABOVE.reset(token)


def _nothing() -> None:
    pass


class Following:
    """A run, model call or tool call that is told to all recorders there were at its beginning."""

    def __init__(self, key: str) -> None:
        self.key = key
        self._recorders = tuple(HEARING)

    def tell(self, said: Callable[[AgnoRecorder], None]) -> None:
        for recorder in self._recorders:
            try:
                said(recorder)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 - the run must go on, whatever an object of it does
                recorder.count_failure("agno", error)

    def hear(self, heard: Callable[[Any], None], item: Any) -> None:
        try:
            heard(item)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - the run must go on, whatever an object of it does
            for recorder in self._recorders:
                recorder.count_failure("agno", error)

    def failed(self, error: object, kind: str | None = None) -> None:
        self.tell(lambda recorder: recorder.fail(self.key, error, kind=kind))

    def left(self) -> None:
        self.tell(lambda recorder: recorder.discard(self.key, _LEFT))

    @contextmanager
    def inside(self, ends: type[Exception] | tuple[()] = ()) -> Iterator[None]:
        """What is done inside belongs to it; what is raised is its failure, but for ``ends``."""
        token = ABOVE.set(self.key)
        try:
            yield
        except ends:
            raise
        except BaseException as error:
            self.failed(error)
            raise
        finally:
            ABOVE.reset(token)

    def read(self, steps: Any) -> Any:
        """Return a generator. One that is dropped is left, also where the loop is closed that would have closed it."""
        weakref.finalize(steps, self.left).atexit = False
        return steps

    def steps(
        self,
        source: Any,
        heard: Callable[[Any], None],
        done: Callable[[], None],
        begin: Callable[[], None] = lambda: None,
    ) -> Iterator[Any]:
        """Hand on what a generator yields; between the steps, the code of its reader belongs to no run."""
        begin()
        step = functools.partial(next, source)
        try:
            while True:
                try:
                    with self.inside(StopIteration):
                        item = step()
                except StopIteration:
                    break
                self.hear(heard, item)
                try:
                    sent = yield item
                    step = functools.partial(next, source) if sent is None else functools.partial(source.send, sent)
                except GeneratorExit:
                    self.left()
                    raise
                except BaseException as error:  # noqa: BLE001 - its reader throws this into it
                    step = functools.partial(source.throw, error)
        finally:
            if hasattr(source, "close"):
                source.close()
        done()

    async def asteps(
        self,
        source: Any,
        heard: Callable[[Any], None],
        done: Callable[[], None],
        begin: Callable[[], None] = lambda: None,
    ) -> AsyncIterator[Any]:
        """Likewise for an async one."""
        begin()
        step = functools.partial(anext, source)
        try:
            while True:
                try:
                    with self.inside(StopAsyncIteration):
                        item = await step()
                except StopAsyncIteration:
                    break
                self.hear(heard, item)
                try:
                    sent = yield item
                    step = functools.partial(anext, source) if sent is None else functools.partial(source.asend, sent)
                except GeneratorExit:
                    self.left()
                    raise
                except BaseException as error:  # noqa: BLE001 - its reader throws this into it
                    step = functools.partial(source.athrow, error)
        finally:
            if hasattr(source, "aclose"):
                await source.aclose()
        done()


_LEFT = "what it yields was read no further"
