"""measured: a store whose calls are timed, and which is otherwise as it was."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from functools import cache
from time import perf_counter
from typing import Any, Protocol, cast

from hubwire.errors import AlreadyExists, AppendConflict, ConfigurationError
from hubwire.guests import failure_of
from hubwire.own_log import OwnLog
from hubwire.ports import CompactableStore, CuttableStore, EagerStore, HoldableStore, KnowledgeStore, ReservingStore

__all__ = ("StoreRecord", "measured")

_METHODS = ("read", "read_bytes", "read_range", "size", "write", "append", "list", "exists", "delete", "on_change")
_OPERATIONS = {
    "append": "append",
    "read": "read",
    "read_bytes": "read",
    "read_range": "read",
    "write": "write",
    "delete": "delete",
    "cut": "cut",
    "compact": "compact",
}
"""The methods that are timed, and how their operation is called. The others are answers about the store."""
_PORTS: tuple[Any, ...] = (HoldableStore, EagerStore, CuttableStore, ReservingStore, CompactableStore)
_ANSWERS = (AppendConflict, AlreadyExists)
"""What a caller asked for by ``expect`` and ``if_absent``, and no failure of the store."""

_log = OwnLog("stores")


class StoreRecord(Protocol):
    """What is called after each call of a measured store, in the task that made it; it has to return at once.

    ``operation`` is ``append``, ``read``, ``write``, ``delete``, ``cut`` or ``compact``; ``size_bytes`` what was
    written; ``is_failure`` whether the store raised. One that raises is called no more.
    """

    def __call__(self, operation: str, path: str, seconds: float, size_bytes: int, *, is_failure: bool) -> object: ...


def measured(store: KnowledgeStore, record: StoreRecord) -> KnowledgeStore:
    """Return ``store`` with each call reported to ``record``, such as ``PrometheusMetrics().on_store_call``.

    It can do what ``store`` can, and costs a microsecond a call. What is wrapped around it, as by
    :func:`~hubwire.stores.compressed.compressed`, is not timed. Raises :class:`~hubwire.errors.ConfigurationError` for
    what is no store, or no function.
    """
    if isinstance(store, type) or not all(callable(getattr(store, name, None)) for name in _METHODS):
        raise ConfigurationError(
            f"measured(): store is a store, such as FileStore('./data'), not {type(store).__name__}"
        )
    if not callable(record) or isinstance(record, type):
        raise ConfigurationError(
            f"measured(): record is a function, such as PrometheusMetrics().on_store_call, not {type(record).__name__}"
        )
    return cast(KnowledgeStore, _class_of(tuple(port for port in _PORTS if isinstance(store, port)))(store, record))


class _Measured:
    def __init__(self, store: Any, record: StoreRecord) -> None:
        self._store = store
        self._record: StoreRecord | None = record

    def __repr__(self) -> str:
        return f"measured({self._store!r})"

    def __getattr__(self, name: str) -> Any:
        if name == "_store":
            raise AttributeError(name)
        return getattr(self._store, name)

    def took(self, operation: str, path: Any, began: float, size: int, error: BaseException | None) -> None:
        """Report a call."""
        if self._record is None:
            return
        is_failure = isinstance(error, Exception) and not isinstance(error, _ANSWERS)
        written = 0 if error is not None else size
        try:
            self._record(operation, str(path), perf_counter() - began, written, is_failure=is_failure)
        except BaseException as raised:  # noqa: BLE001 - it is a guest, and the call of the store has its own outcome
            self._record = None
            _log.problem("a function of measured() has failed, and is called no more", failure_of(raised))


def _timed(name: str) -> Callable[..., Awaitable[Any]]:
    operation = _OPERATIONS[name]

    async def call(self: _Measured, path: str, *args: Any, **kwargs: Any) -> Any:
        began, error = perf_counter(), None
        try:
            return await getattr(self._store, name)(path, *args, **kwargs)
        except BaseException as raised:
            error = raised
            raise
        finally:
            content = args[0] if args else kwargs.get("content")
            self.took(operation, path, began, _size(content) if name in ("append", "write") else 0, error)

    call.__name__ = name
    return call


def _begin_append(
    self: _Measured,
    path: str,
    content: bytes,
    *,
    expect: int | None = None,
    done: Callable[[int | None, BaseException | None], None],
) -> None:
    began = perf_counter()

    def timed(offset: int | None, error: BaseException | None) -> None:
        self.took("append", path, began, len(content), error)
        done(offset, error)

    self._store.begin_append(path, content, expect=expect, done=timed)


def _passed_on(name: str) -> Callable[..., Any]:
    def call(self: _Measured, *args: Any, **kwargs: Any) -> Any:
        return getattr(self._store, name)(*args, **kwargs)

    call.__name__ = name
    return call


def _size(content: object) -> int:
    if type(content) is str:
        return len(content) if content.isascii() else len(content.encode(errors="surrogatepass"))
    return len(content) if isinstance(content, (bytes, bytearray, memoryview)) else 0


@cache
def _class_of(ports: tuple[Any, ...]) -> type[_Measured]:
    """Return the class of a store that can do what the one below can: it is asked by its methods."""
    names = {*_METHODS, "aclose"}.union(
        *({name for name, _ in inspect.getmembers(port, inspect.isfunction) if name[0] != "_"} for port in ports)
    )
    body: dict[str, Any] = {name: _timed(name) if name in _OPERATIONS else _passed_on(name) for name in names}
    if "begin_append" in body:
        body["begin_append"] = _begin_append
    return type("MeasuredStore", (_Measured,), {**body, "__module__": __name__})
