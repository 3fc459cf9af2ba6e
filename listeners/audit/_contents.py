"""Which fields of records are erasable, and what is done with them before a record is appended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import msgspec

from hubwire import codec
from hubwire.erasable import DIGEST_CHARS, commit
from hubwire.errors import ConfigurationError, InvalidRecord, LogRolledBack, NotWitnessed, StoreFull
from hubwire.patterns import Patterns
from hubwire.ports import KnowledgeStore

from ._pages import Pages
from .blobs import BODY_BYTES_MAX, cut, has_own_keys

__all__ = ("Contents", "ErasableFields", "policy_of")

T = TypeVar("T")

ErasableFields = Iterable[str] | Mapping[str, Iterable[str]]
"""Names of fields, or those of each kind: a pattern, and its fields."""

_FIELDS_MAX = 64
_CHARS_MAX = 256
_KINDS_REMEMBERED = 4096

_KEPT = frozenset(
    {
        *(
            "at",
            "kind",
            "seq",
            "id",
            "hub",
            "d",
            "h",
            "c",
            "cut",
            "v",
            "path",
            "tenant",
            "actor",
            "source",
            "source_id",
        ),
        *("agent_id", "channel_id", "task_id", "turn_id", "session_id", "correlation_id", "causation_id"),
        *("traceparent", "occurred_at", "severity", "outcome", "depth"),
    }
)
"""By these, records are checked and found, and what is to be erased is selected: they have to stay."""

_fields_of = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


class _Policy:
    """Says which fields of a kind are erasable."""

    def __init__(self, rules: Sequence[tuple[Patterns | None, tuple[str, ...]]]) -> None:
        self._rules = rules
        self._known: dict[bytes, tuple[str, ...]] = {}

    def fields_of(self, kind: Any) -> tuple[str, ...]:
        """Return the fields of a kind that is given as JSON; None for a record without."""
        text = b"" if kind is None else bytes(kind)
        found = self._known.get(text)
        if found is None:
            found = self._fields(msgspec.json.decode(text) if text[:1] == b'"' else "")
            if len(self._known) < _KINDS_REMEMBERED and len(text) < _CHARS_MAX:
                self._known[text] = found
        return found

    def _fields(self, kind: str) -> tuple[str, ...]:
        names = [name for pattern, fields in self._rules if pattern is None or pattern.matches(kind) for name in fields]
        return tuple(_outermost(sorted(set(names))))


def _outermost(names: Sequence[str]) -> list[str]:
    """Return the names without those that are in another one."""
    return [name for name in names if not any(name.startswith(f"{other}.") for other in names)]


def policy_of(erasable: Any) -> _Policy | None:
    """Return what an audit log was given. Raises :class:`~hubwire.errors.ConfigurationError`."""
    if erasable is None:
        return None
    if type(erasable) is dict or isinstance(erasable, Mapping):
        try:
            rules = list(islice(dict(erasable).items(), _FIELDS_MAX + 1))
        except Exception as error:
            raise _refusal(f"a mapping that cannot be read ({error!r:.80})") from error
        if not 0 < len(rules) <= _FIELDS_MAX:
            raise _refusal(f"{len(rules)} kinds")
        return _Policy([(Patterns(kind, any_text=True), _checked(fields)) for kind, fields in rules])
    return _Policy([(None, _checked(erasable))])


def _checked(fields: Any) -> tuple[str, ...]:
    if isinstance(fields, (str, bytes, bytearray, memoryview)):
        raise _refusal(f"{fields!r:.80}")
    try:
        names = tuple(islice(iter(fields), _FIELDS_MAX + 1))
    except Exception as error:
        raise _refusal(f"an object of class {type(fields).__name__}") from error
    if not 0 < len(names) <= _FIELDS_MAX:
        raise _refusal(f"{len(names) or 'no'} fields")
    for name in names:
        if type(name) is not str or not 0 < len(name) <= _CHARS_MAX or not all(name.split(".")) or "$" in name:
            raise _refusal(f"{name!r:.80}" if type(name) is str else f"an object of class {type(name).__name__}")
        if name.partition(".")[0] in _KEPT:
            raise ConfigurationError(
                f"erasable: the field {name!r:.80} cannot be erased: records are checked and found by it, so it stays."
                " Let it be a pseudonym, and the field that says who that is be erasable, or be kept elsewhere"
            )
    return names


def _refusal(given: str) -> ConfigurationError:
    return ConfigurationError(
        f"erasable is 1 to {_FIELDS_MAX} names of fields, such as ['content', 'data.email'], or those of each kind,"
        f" such as {{'envelope.posted': ['content'], 'tool.*': ['arguments', 'result']}}, not {given}"
    )


class _Committed(NamedTuple):
    """A record that has commitments."""

    fields: dict[str, Any]
    names: list[str]
    """Of the fields that are commitments."""
    lines: list[bytes]
    """What stands on the page for them."""

    def record(self, page: str) -> bytes:
        """Return the record as it is appended."""
        fields, own = self.fields, msgspec.Raw(b'%b"%b"}' % (_own(tuple(self.names)), page.encode()))
        if next(iter(fields)) > "$c":  # they are in their order, and so is this before them; all is escaped
            return _encode({"$c": own, **fields})
        return codec.encode_fields({**fields, "$c": own})


@lru_cache(_KINDS_REMEMBERED)
def _own(names: tuple[str, ...]) -> bytes:
    """Return the beginning of what a record says of its commitments, up to the name of their page."""
    return codec.encode_fields({"fields": names})[:-1] + b',"page":'


class Contents:
    """Puts the contents of records on pages, and commitments in their place."""

    def __init__(self, policy: _Policy, store: KnowledgeStore, path: str, records: Callable[[], int]) -> None:
        self.pages: Pages = Pages(store, path, records)
        self.pending: set[str] = set()
        """The digests of contents that are on a page, or on their way, while the log has no record that names them."""
        self.uncertain: set[str] = set()
        """Pages with contents of which it is not known whether the log has got the record."""
        self._policy = policy
        self._store = store
        self._path = path

    async def append(self, bodies: list[bytes], append: Callable[[list[bytes]], Awaitable[T]]) -> T:
        """Put the contents of records on a page, and append the records, with commitments, and cut if they are long.

        The contents are durable before. If the log takes none of the records, they are taken out again later.
        """
        short, page, digests = await self._shortened(bodies)
        try:
            result = await append(short)
        except (InvalidRecord, LogRolledBack, NotWitnessed, StoreFull):  # of others it is not known whether it did
            self.pages.abandon(page, digests)
            raise
        except BaseException:
            self.uncertain |= {page} if digests else set()
            raise
        finally:
            self.pending -= digests
        return result

    async def _shortened(self, bodies: list[bytes]) -> tuple[list[bytes], str, set[str]]:
        """Put the contents of records on a page; return the records to append, the page, and what is on it."""
        short = [await self._cut(body) if has_own_keys(body) else body for body in bodies]
        made = [self._commit(body) if body is before else None for body, before in zip(short, bodies, strict=True)]
        lines = [line for each in made if each is not None for line in each.lines]
        digests = {line[:DIGEST_CHARS].decode() for line in lines}
        self.pending |= digests
        page = ""
        try:
            page = await self.pages.put(b"".join(lines), digests) if lines else ""
            for number, each in enumerate(made):
                if each is not None:
                    short[number] = each.record(page)
                if len(short[number]) > BODY_BYTES_MAX:
                    short[number] = await self._cut(short[number], has_commitments=each is not None)
        except BaseException:
            self.pending -= digests
            if page:  # else the pages know
                self.pages.abandon(page, digests)
            raise
        return short, page, digests

    async def _cut(self, body: bytes, *, has_commitments: bool = False) -> bytes:
        return await cut(self._store, self._path, body, has_commitments=has_commitments)

    def _commit(self, body: bytes) -> _Committed | None:
        """Put commitments in the place of erasable contents; None for a record that has none."""
        raw: dict[str, Any] = _fields_of(body)
        names, lines = [], []
        for name in self._policy.fields_of(raw.get("kind")):
            if (line := _commit_at(raw, name)) is not None:
                names.append(name)
                lines.append(line)
        return _Committed(raw, names, lines) if names else None

    async def take_out(self) -> None:
        """Take out what no record names."""
        while self.pages.abandoned:
            page, digests = self.pages.abandoned.popitem()
            await self.pages.erase(page, {digest: {} for digest in digests})


def _commit_at(raw: dict[str, Any], name: str) -> bytes | None:
    """Put a commitment in the place of a field; return the line of the page, or None if there is no such field."""
    first, _, rest = name.partition(".")
    value = raw.get(first)
    if value is None or (content := bytes(value)) == b"null":
        return None
    if rest:
        if content[:1] != b"{":
            return None
        inner: dict[str, Any] = _fields_of(content)
        line = _commit_at(inner, rest)
        if line is not None:
            raw[first] = msgspec.Raw(codec.encode_fields(inner))
        return line
    made, line = commit(content)
    raw[first] = msgspec.Raw(made)
    return line
