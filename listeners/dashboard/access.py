"""Who may look at a dashboard, and do what."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import attrs

from hubwire.errors import ConfigurationError

from ._ended import Ended

__all__ = ("ROLES", "Access", "Authenticating", "Person", "Role")

Role = Literal["read", "operate", "admin"]
"""``read`` sees, ``operate`` decides approvals and dead letters besides, ``admin`` may do all that there is."""

ROLES: tuple[Role, ...] = get_args(Role)

TOKEN_CHARS_MIN = 20
_TOKEN_CHARS_MAX = 500
_NAME_CHARS_MAX = 100
_PEOPLE_MAX = 10_000
_SESSION_SECONDS = 12 * 3600.0


@attrs.frozen(kw_only=True)
class Person:
    """A person who may look at a dashboard.

    ``name`` is what approvals and the log say of who has decided. ``token`` is what signs in, 20 characters or more:
    ``secrets.token_urlsafe(32)``; None for a person that a function of the program's own has recognised. ``tenants``:
    the only ones whose events the person sees; None: all. ``contents``: whether the person sees what agents say, and
    the arguments of tools; None: as the dashboard has it.

    Raises :class:`~hubwire.errors.ConfigurationError` for what is none of these.
    """

    name: str
    role: Role = "read"
    token: str | None = attrs.field(default=None, repr=False)
    tenants: tuple[str, ...] | None = None
    contents: bool | None = None

    def __attrs_post_init__(self) -> None:
        if not _is_text(self.name, _NAME_CHARS_MAX) or not self.name.isprintable():
            raise ConfigurationError(f"Person(): name is 1 to {_NAME_CHARS_MAX} printable characters")
        if type(self.role) is not str or self.role not in ROLES:
            raise ConfigurationError(f"Person(): role of {self.name} is one of {', '.join(ROLES)}")
        if self.contents is not None and type(self.contents) is not bool:
            raise ConfigurationError(f"Person(): contents of {self.name} is True, False or None")
        if self.token is not None and not _is_token(self.token):
            raise ConfigurationError(
                f"Person(): the token of {self.name} is {TOKEN_CHARS_MIN} to {_TOKEN_CHARS_MAX} printable ASCII"
                " characters without spaces; make one by secrets.token_urlsafe(32)"
            )
        tenants: Any = self.tenants
        if tenants is not None:
            if type(tenants) not in (tuple, list, frozenset, set) or not tenants:
                raise ConfigurationError(f"Person(): tenants of {self.name} is a tuple of names, or None for all")
            if not all(_is_text(each, _NAME_CHARS_MAX * 2) for each in tenants):
                raise ConfigurationError(f"Person(): each of tenants of {self.name} is the name of a tenant")
            object.__setattr__(
                self, "tenants", tuple(tenants) if type(tenants) in (tuple, list) else tuple(sorted(tenants))
            )

    def may(self, role: Role) -> bool:
        """Tell whether the person has this role, or one that includes it."""
        return ROLES.index(self.role) >= ROLES.index(role)


Authenticating = Callable[[Mapping[str, Any]], "Person | Awaitable[Person | None] | None"]
"""Is called with the ``scope`` of each request, as ASGI has it, and returns who it comes from; None for no one."""


class Access:
    """Who may look at a dashboard: people with tokens, or those whom a function of the program's own recognises.

    ``people`` sign in with their tokens, and stay so for ``session_seconds``. ``authenticate``, for a program with a
    login of its own, is called for each request instead. With neither, a token is made for one person of the role
    ``operate``: :attr:`made_token`.

    Sessions end with the program, and all sign in again. With ``sessions_file``, a path, they last over a restart: the
    file keeps what signs them, and who has signed out, so that a cookie of before is good no more. It is made, and its
    owner alone may read it.

    Raises :class:`~hubwire.errors.ConfigurationError` if two people have one name or one token, or one has no token, or
    if the file cannot be used.
    """

    def __init__(
        self,
        people: Iterable[Person] = (),
        *,
        authenticate: Authenticating | None = None,
        session_seconds: float = _SESSION_SECONDS,
        sessions_file: str | Path | None = None,
    ) -> None:
        if type(session_seconds) not in (int, float) or not 60 <= session_seconds <= 365 * 86_400:
            raise ConfigurationError("Access(): session_seconds is a number of seconds, from 60 to a year")
        if authenticate is not None and not callable(authenticate):
            raise ConfigurationError("Access(): authenticate is a function of a request's scope that returns a Person")
        if sessions_file is not None and not (isinstance(sessions_file, (str, Path)) and str(sessions_file)):
            raise ConfigurationError("Access(): sessions_file is a path, or None: then sessions end with the program")
        found = _people(people)
        if authenticate is not None and sessions_file is not None:
            raise ConfigurationError("Access(): with authenticate, sessions are the program's: give no sessions_file")
        if authenticate is not None and found:
            raise ConfigurationError("Access(): give people with tokens, or a function that authenticates, not both")
        self.made_token: str | None = None
        """The token that was made, because none was given."""
        if authenticate is None and not found:
            self.made_token = secrets.token_urlsafe(32)
            found = [Person(name="operator", role="operate", token=self.made_token)]
        self.authenticate: Authenticating | None = authenticate
        self.session_seconds: float = float(session_seconds)
        self.ended: Ended = Ended(None if sessions_file is None else Path(sessions_file))
        """The sessions that have ended before their time."""
        self._by_name = {person.name: person for person in found}
        self._digests = [(_digest(person.token or ""), person) for person in found]

    def by_token(self, token: str) -> Person | None:
        """Return whose token it is; None if it is no one's. It takes as long whichever it is."""
        digest, found = _digest(token), None
        for each, person in self._digests:
            if hmac.compare_digest(each, digest):
                found = person
        return found

    def named(self, name: str) -> Person | None:
        """Return the person of a name; None if there is none any more."""
        return self._by_name.get(name)


def _people(people: Any) -> list[Person]:
    if isinstance(people, (str, bytes, Person)):
        raise ConfigurationError("Access(): people is a list of Person(name=..., token=..., role=...)")
    try:
        found = list(people)
    except TypeError as error:
        raise ConfigurationError("Access(): people is a list of Person(name=..., token=..., role=...)") from error
    if len(found) > _PEOPLE_MAX:
        raise ConfigurationError(f"Access(): at most {_PEOPLE_MAX:,} people have tokens; use authenticate=")
    names: set[str] = set()
    tokens: set[str] = set()
    for each in found:
        if not isinstance(each, Person):
            raise ConfigurationError("Access(): each of people is a Person(name=..., token=..., role=...)")
        if each.token is None:
            raise ConfigurationError(f"Access(): {each.name} has no token to sign in with")
        if each.name in names or each.token in tokens:
            raise ConfigurationError(f"Access(): another person has the name or the token of {each.name}")
        names.add(each.name)
        tokens.add(each.token)
    return found


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()


def _is_text(value: object, chars_max: int) -> bool:
    return type(value) is str and 0 < len(value) <= chars_max


def _is_token(value: object) -> bool:
    return (
        type(value) is str
        and TOKEN_CHARS_MIN <= len(value) <= _TOKEN_CHARS_MAX
        and value.isascii()
        and value.isprintable()
        and " " not in value
    )
