"""Who asks: by a cookie, by a token in a header, or by what the program's own function says."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import inspect
import secrets
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from hubwire.errors import ConfigurationError
from hubwire.guests import GuestTask
from hubwire.own_log import OwnLog
from hubwire.ports import Clock

from ._http import Problem
from ._limits import Tries
from .access import Access, Person

__all__ = ("Sessions", "address_of")

_AUTHENTICATE_SECONDS = 10.0
_COOKIE_CHARS_MAX = 1000

_log = OwnLog("dashboard")


def address_of(scope: Mapping[str, Any]) -> str:
    """Return the address from which a request comes; of IPv6 the network, of which one machine has all addresses."""
    client = scope.get("client")
    host = str(client[0]) if client else ""
    return ":".join(host.split(":")[:4]) if host.count(":") > 1 else host


class Sessions:
    """Signs people in and out, and says of whom a request is.

    A session is in the cookie alone, signed with what its person signs in with and with the salt of the sessions: it
    ends with the token, and with the program, if no file keeps the salt. That file keeps who has signed out, too: else
    a cookie that another one has taken would be good again after a restart.
    """

    def __init__(self, access: Access, tries: Tries, clock: Clock) -> None:
        self._access = access
        self._tries = tries
        self._clock = clock
        self._ended = access.ended

    async def open(self) -> None:
        """Know who has signed out, before a cookie is looked at or made."""
        try:
            await self._ended.open()
        except ConfigurationError as error:
            _log.failure("the file of sessions cannot be used", error)
            raise Problem(503, "ended", "nobody can sign in now", "look at the log of the program") from error

    # -- who asks --

    async def person_of(self, request: Request) -> Person:
        """Return of whom a request is. Refuses one of nobody's."""
        person = await self._found(request)
        if person is None and self._access.authenticate is not None:
            raise Problem(
                401,
                "sign_in_elsewhere",  # the page has no field for a token then
                "nobody is signed in",
                "sign in where the program that serves this has its login, then load the page again",
            )
        if person is None:
            raise Problem(
                401,
                "not_signed_in",
                "nobody is signed in",
                "open the address with its #token=…, or send the token as Authorization: Bearer …",
            )
        return person

    async def _found(self, request: Request) -> Person | None:
        if self._access.authenticate is not None:
            return await self._recognised(self._access.authenticate, request)
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return await self.by_token(token.strip(), address_of(request.scope))
        return self._of_cookie(request.cookies.get(self.cookie_name(request), ""))

    async def lasts(self, request: Request, person: Person) -> bool:
        """Tell whether a request that was answered once is still one of this person, who may do the same as then."""
        if self._access.authenticate is not None:
            return await self._recognised(self._access.authenticate, request) == person
        if "authorization" in request.headers:
            return True
        return self._of_cookie(request.cookies.get(self.cookie_name(request), "")) is not None

    @staticmethod
    async def _recognised(authenticate: Any, request: Request) -> Person | None:
        async def ask() -> Any:
            answer = authenticate(request.scope)
            return await answer if inspect.isawaitable(answer) else answer

        guest = GuestTask("the function that authenticates")
        try:
            found = await guest.call(ask, seconds=_AUTHENTICATE_SECONDS)
        except Exception as error:  # noqa: BLE001 - it is the program's own code: whom it cannot recognise is nobody
            _log.problem("Access(authenticate=...) raised, and a request is refused", error)
            return None
        finally:
            guest.end()
        if found is not None and not isinstance(found, Person):
            _log.problem(
                "Access(authenticate=...) returned no Person, and a request is refused", type=type(found).__name__
            )
            return None
        return found

    async def by_token(self, token: str, address: str) -> Person | None:
        """Return whose token it is; a wrong one counts as a try to sign in, and too many are refused."""
        self._tries.check(address)
        person = self._access.by_token(token)
        if person is None:
            await self._tries.fail(address, token)
        return person

    # -- the cookie --

    @staticmethod
    def cookie_name(request: Request) -> str:
        """Return the name of the cookie: browsers send those of one port to all others of the machine."""
        scope = request.scope
        place = f"{(scope.get('server') or ('', 0))[1]}{scope.get('root_path', '')}"
        number = hashlib.blake2b(place.encode(errors="replace"), digest_size=4).hexdigest()
        return f"__Host-hubwire-{number}" if request.url.scheme == "https" else f"hubwire-{number}"

    def cookie(self, request: Request, person: Person) -> str:
        """Return the header that signs a person in."""
        ends = self._seconds() + int(self._access.session_seconds)
        content = f"{ends}|{secrets.token_urlsafe(16)}|{person.name}".encode()
        value = base64.urlsafe_b64encode(self._signature(person, content) + content).decode().rstrip("=")
        return self._header(request, value, int(self._access.session_seconds))

    async def sign_out(self, request: Request) -> str:
        """End the session of a request; return the header that takes the cookie away."""
        value = request.cookies.get(self.cookie_name(request), "")
        if self._of_cookie(value) is not None:
            raw = _raw(value)
            try:
                await self._ended.end(hashlib.sha256(raw).digest(), _ends_at(raw))
            except OSError as error:
                _log.problem("a sign-out cannot be kept, and is forgotten with the next start", error)
        return self._header(request, "", 0)

    def _seconds(self) -> int:
        return self._clock.now_ns() // 1_000_000_000

    def _header(self, request: Request, value: str, seconds: int) -> str:
        secure = "; Secure" if request.url.scheme == "https" else ""
        return f"{self.cookie_name(request)}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}"

    def _of_cookie(self, value: str) -> Person | None:
        if not value or len(value) > _COOKIE_CHARS_MAX or not value.isascii():
            return None
        try:
            raw = _raw(value)
        except (binascii.Error, ValueError):
            return None
        signature, content = raw[:32], raw[32:]
        ends, _, rest = content.decode(errors="replace").partition("|")
        person = self._access.named(rest.partition("|")[2])
        if person is None or not hmac.compare_digest(signature, self._signature(person, content)):
            return None
        if hashlib.sha256(raw).digest() in self._ended or int(ends) <= self._seconds():
            return None
        return person

    def _signature(self, person: Person, content: bytes) -> bytes:
        token = (person.token or "").encode()
        key = hashlib.sha256(b"hubwire dashboard session\n" + self._ended.salt + token).digest()
        return hmac.digest(key, content, "sha256")


def _raw(value: str) -> bytes:
    """Return what a cookie says. Several texts say the same: a session is known by this alone."""
    return base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))


def _ends_at(raw: bytes) -> int:
    """Return when a session ends that was signed here."""
    return int(raw[32:].partition(b"|")[0])
