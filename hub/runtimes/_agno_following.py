"""What Agno's wrapped methods have in common: a run or call, told to all recorders there are."""

from __future__ import annotations

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

    asked: set[str]
    """The keys of the questions that the hub has answered, and whose run has not gone on yet."""

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


class Following:
    """A run, model call or tool call that is told to all recorders there were at its beginning."""

    def __init__(self, key: str) -> None:
        self.key = key
        self._recorders = tuple(HEARING)

    def tell(self, said: Callable[[AgnoRecorder], None]) -> None:
        for recorder in self._recorders:
            try:
                said(recorder)
            except Exception as error:  # noqa: BLE001 - the run must go on
                recorder.count_failure("agno", error)

    def hear(self, heard: Callable[[Any], None], item: Any) -> None:
        try:
            heard(item)
        except Exception as error:  # noqa: BLE001 - the run must go on
            for recorder in self._recorders:
                recorder.count_failure("agno", error)

    def failed(self, error: object, kind: str | None = None) -> None:
        self.tell(lambda recorder: recorder.fail(self.key, error, kind=kind))

    def left(self) -> None:
        self.tell(lambda recorder: recorder.discard(self.key, "what it yields was read no further"))

    @contextmanager
    def inside(self) -> Iterator[None]:
        """What is done inside belongs to it; what is raised is its failure."""
        token = ABOVE.set(self.key)
        try:
            yield
        except (StopIteration, StopAsyncIteration):
            raise
        except BaseException as error:
            self.failed(error)
            raise
        finally:
            ABOVE.reset(token)

    def steps(self, source: Any, heard: Callable[[Any], None], done: Callable[[], None]) -> Iterator[Any]:
        """Hand on what a generator yields; between the steps, the code of its reader belongs to no run."""
        try:
            while True:
                try:
                    with self.inside():
                        item = next(source)
                except StopIteration:
                    break
                self.hear(heard, item)
                yield item
        except GeneratorExit:
            self.left()
            raise
        finally:
            if hasattr(source, "close"):
                source.close()
        done()

    async def asteps(self, source: Any, heard: Callable[[Any], None], done: Callable[[], None]) -> AsyncIterator[Any]:
        """Likewise for an async one."""
        try:
            while True:
                try:
                    with self.inside():
                        item = await anext(source)
                except StopAsyncIteration:
                    break
                self.hear(heard, item)
                yield item
        except GeneratorExit:
            self.left()
            raise
        finally:
            if hasattr(source, "aclose"):
                await source.aclose()
        done()
