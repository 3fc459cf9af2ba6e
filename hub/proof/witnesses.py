"""Witnesses of a log: who is told of its checkpoints, so that it cannot have another history later.

A :class:`CheckpointWitness` is a port. :class:`HttpWitness` cosigns; a :class:`StoreWitness` and a
:class:`FunctionWitness` keep copies, which prove nothing by a signature: who verifies compares the log with them.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import attrs

from .._values import Value
from ..errors import CheckpointInvalid, ConfigurationError, WitnessDisagrees, WitnessFailed
from ..ports import KnowledgeStore, normalize_path
from .cosigning import as_witness_key, shown
from .note import Checkpoint, Note, NoteSignature, VerifierKey
from .tree import is_consistent

__all__ = ("CheckpointWitness", "FunctionWitness", "StoreWitness", "WitnessPolicy", "WitnessRequest")

_NAME_CHARS_MAX = 200
_WITNESSES_MAX = 50
"""A note has at most 100 signatures."""


@attrs.frozen(eq=False, repr=False)
class WitnessRequest(Value):
    """What a witness is told."""

    note: Note
    """The checkpoint, as the log has signed and stored it."""
    checkpoint: Checkpoint
    """What it says."""
    prove: Callable[[int], Awaitable[Sequence[bytes]]] = attrs.field(repr=False, eq=False)
    """``await prove(size)`` gives the hashes which show that the log goes on from its first ``size`` records."""
    is_archived: bool = False
    """Whether the log keeps this checkpoint for good: one an hour, one for each segment, and the last one."""
    handovers: Callable[[], Awaitable[Sequence[Any]]] | None = attrs.field(default=None, repr=False, eq=False)
    """Gives requests for the checkpoints by which the log has handed over to other keys, the oldest first: for a
    witness that does not know the key which has signed this one."""


@runtime_checkable
class CheckpointWitness(Protocol):
    """Is told of the checkpoints of logs, the newest only, one at a time: a port.

    ``witness`` may raise anything, and has the seconds of its policy: it is asked again later, and the log goes on.
    """

    @property
    def name(self) -> str:
        """By what people know it: in messages, in the health of a hub and in the log."""
        ...

    @property
    def vkey(self) -> VerifierKey | None:
        """The key by which it cosigns; None for one that keeps a copy."""
        ...

    async def witness(self, request: WitnessRequest) -> NoteSignature | None:
        """Take note of a checkpoint; return the cosignature, or None from one that keeps a copy.

        Raises :class:`~hubwire.errors.WitnessDisagrees` if it knows a log of that name from which this one does not go
        on, and :class:`~hubwire.errors.WitnessFailed`.
        """
        ...


@attrs.frozen(init=False, eq=False, repr=False)
class WitnessPolicy(Value):
    """Who witnesses a log, how many of them are enough, and what becomes of the log without them."""

    witnesses: tuple[CheckpointWitness, ...]
    quorum: int
    on_missing: Literal["open", "closed"]
    grace_seconds: float
    interval_seconds: float
    seconds_max: float

    def __init__(
        self,
        witnesses: Iterable[CheckpointWitness],
        *,
        quorum: int = 1,
        on_missing: Literal["open", "closed"] = "open",
        grace_seconds: float = 60.0,
        interval_seconds: float = 10.0,
        seconds_max: float = 10.0,
    ) -> None:
        """``quorum`` of ``witnesses`` are enough, by default one.

        They are told of the newest checkpoint each ``interval_seconds`` at most, all at the same time, beside the
        writing of the log. A call has ``seconds_max``; who fails is asked again after 1 s, and then after twice as
        long each time, up to a minute.

        A log of which ``quorum`` witnesses have not seen the newest checkpoint for ``grace_seconds`` is *unwitnessed*:
        it says so once, in a record ``log.unwitnessed``, in a line of the program's log and in the health of its hub.
        ``on_missing`` is what follows. ``"open"``: nothing more, the log goes on. ``"closed"``: an event or a record
        of yours asks the witnesses once more, for ``seconds_max``, and is refused with
        :class:`~hubwire.errors.NotWitnessed` before it is written; on a hub where the log is REQUIRED, that stops the
        hub. What was appended within ``grace_seconds``, counted anew when the log is opened, is stored and not
        witnessed then: ``await audit.witnessed()`` waits for it. Raises
        :class:`~hubwire.errors.ConfigurationError`.
        """
        found = _witnesses_of(witnesses)
        if type(quorum) is not int or not 1 <= quorum <= len(found):
            raise ConfigurationError(
                f"WitnessPolicy(): quorum is how many of the {len(found)} witnesses are enough, from 1 on, not"
                f" {shown(quorum)}"
            )
        if type(on_missing) is not str or on_missing not in ("open", "closed"):
            raise ConfigurationError(f"WitnessPolicy(): on_missing is 'open' or 'closed', not {shown(on_missing)}")
        given = {"grace_seconds": grace_seconds, "interval_seconds": interval_seconds, "seconds_max": seconds_max}
        for name, value in given.items():
            if type(value) not in (int, float) or not 0 <= value < math.inf or (name == "seconds_max" and not value):
                raise ConfigurationError(f"WitnessPolicy(): {name} is a number of seconds, not {shown(value)}")
        self.__attrs_init__(found, quorum, on_missing, *map(float, given.values()))


def _witnesses_of(given: Any) -> tuple[CheckpointWitness, ...]:
    wanted = "witnesses are a list of one or more, such as [HttpWitness(url, vkey)]"
    if type(given) not in (list, tuple, set, frozenset):
        raise ConfigurationError(f"WitnessPolicy(): {wanted}, not {type(given).__name__}")
    found: tuple[CheckpointWitness, ...] = tuple(given)
    if not 0 < len(found) <= _WITNESSES_MAX:
        raise ConfigurationError(f"WitnessPolicy(): {wanted}, and at most {_WITNESSES_MAX}; these are {len(found)}")
    names = [_name_of(each, wanted) for each in found]
    if (twice := {name for name in names if names.count(name) > 1}) != set():
        raise ConfigurationError(
            f"WitnessPolicy(): two witnesses have the name {min(twice)!r:.120}: one counts once; name them differently"
        )
    return found


def _name_of(witness: Any, wanted: str) -> str:
    try:
        is_one = not isinstance(witness, type) and callable(witness.witness)
        name, vkey = witness.name, witness.vkey
    except Exception as error:
        raise ConfigurationError(f"WitnessPolicy(): {wanted}, not of {type(witness).__name__}") from error
    if not is_one or not (vkey is None or type(vkey) is VerifierKey):
        raise ConfigurationError(f"WitnessPolicy(): {wanted}, not of {type(witness).__name__}")
    if vkey is not None:
        as_witness_key(vkey)
    return checked_name(f"WitnessPolicy(): a {type(witness).__name__}", name)


def checked_name(call: str, name: object) -> str:
    """Return the name of a witness."""
    if type(name) is not str or not 0 < len(name) <= _NAME_CHARS_MAX or not name.isprintable():
        raise ConfigurationError(f"{call}: name is a line of text of at most {_NAME_CHARS_MAX} characters")
    return name


class FunctionWitness:
    """Hands each checkpoint to an async function of yours, as the text that others read: print it, mail it, post it.

    It counts as witnessed when the function returns.
    """

    def __init__(self, function: Callable[[str], Awaitable[object]], *, name: str = "function") -> None:
        if not callable(function) or isinstance(function, type):
            raise ConfigurationError(f"FunctionWitness(): function is an async function, not {type(function).__name__}")
        self._function = function
        self._name = checked_name("FunctionWitness()", name)

    def __repr__(self) -> str:
        return f"FunctionWitness(name={self._name!r})"

    @property
    def name(self) -> str:
        """By what people know it."""
        return self._name

    @property
    def vkey(self) -> None:
        """None: it signs nothing."""
        return

    async def witness(self, request: WitnessRequest) -> None:
        """Call the function."""
        answer = self._function(str(request.note))
        if inspect.isawaitable(answer):
            await answer


class StoreWitness:
    """Copies checkpoints to another store: ``checkpoint`` there is the newest one, ``checkpoints`` has those for good.

    It refuses what does not go on from its own newest one: :class:`~hubwire.errors.WitnessDisagrees`. Let the store be
    one that the log's own machine cannot change later, such as a bucket with versions, or with a lock on objects.
    """

    def __init__(self, store: KnowledgeStore, path: str = "/witnessed", *, name: str | None = None) -> None:
        """``path`` is the directory for the copies of one log. Raises :class:`~hubwire.errors.ConfigurationError`."""
        if isinstance(store, type) or not all(callable(getattr(store, each, None)) for each in ("read_bytes", "write")):
            raise ConfigurationError(f"StoreWitness(): store is one such as FileStore, not {type(store).__name__}")
        if type(path) is not str:
            raise ConfigurationError(f"StoreWitness(): path is that of a directory, not {type(path).__name__}")
        self._store = store
        self._path = normalize_path(path)
        self._name = checked_name("StoreWitness()", f"copies in {self._path}" if name is None else name)

    def __repr__(self) -> str:
        return f"StoreWitness({self._store!r:.200}, path={self._path!r})"

    @property
    def name(self) -> str:
        """By what people know it."""
        return self._name

    @property
    def vkey(self) -> None:
        """None: it signs nothing."""
        return

    async def witness(self, request: WitnessRequest) -> None:
        """Compare a checkpoint with the newest copy, and copy it."""
        newest, checkpoint = f"{self._path}/checkpoint", request.checkpoint
        content = await self._store.read_bytes(newest)
        if content is not None:
            await self._compare(content, newest, request)
        text = str(request.note)
        if request.is_archived:
            await self._store.write(f"{self._path}/checkpoints/{checkpoint.size:020}", text)
        if content != text.encode():
            await self._store.write(newest, text)

    async def _compare(self, content: bytes, place: str, request: WitnessRequest) -> None:
        checkpoint = request.checkpoint
        try:
            known = Checkpoint.parse(Note.parse(content).text)
        except CheckpointInvalid as error:
            raise WitnessFailed(f"the copy {place} of {self._name} is damaged: {error}") from error
        if known.origin != checkpoint.origin:
            raise WitnessFailed(
                f"the copies in {self._path} are of the log {known.origin!r:.120}; give this log another path"
            )
        if known.size > checkpoint.size:
            raise more_than(self._name, known.size, checkpoint)
        proof = await request.prove(known.size) if known.size else ()
        if not is_consistent(known.size, known.root, checkpoint.size, checkpoint.root, proof):
            raise other_than(self._name, known.size, checkpoint)


def more_than(name: str, size: int, checkpoint: Checkpoint) -> WitnessDisagrees:
    """Return the error for a log that has less than a witness has seen."""
    return WitnessDisagrees(
        f"{name} has seen {size} records of the log {checkpoint.origin!r:.120}, which has {checkpoint.size}: it was"
        " restored from an older copy, or written anew. Give the hub the store with the newest records",
        size=size,
    )


def other_than(name: str, size: int, checkpoint: Checkpoint) -> WitnessDisagrees:
    """Return the error for a log that does not go on from what a witness has seen."""
    return WitnessDisagrees(
        f"{name} has seen {size} records of the log {checkpoint.origin!r:.120}, and they are not the first {size} of"
        f" the {checkpoint.size} that it has: it was changed, or is another log of that name",
        size=size,
    )
