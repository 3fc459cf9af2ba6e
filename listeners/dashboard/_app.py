"""The application: what each request goes through before it is answered, and what answers it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.routing import Match, Route

from hubwire.errors import (
    AccessDenied,
    CallerError,
    ConfigurationError,
    ForwardingFailed,
    HubClosed,
    HubError,
    NotFound,
    NotLeading,
    Overloaded,
)
from hubwire.own_log import OwnLog

from . import (
    _actions,
    _board_api,
    _checks,
    _export_api,
    _history,
    _listeners_api,
    _openapi,
    _session_api,
    _stream_api,
)
from ._asked import Asked, Endpoint
from ._http import Problem, Reply, problem_reply
from ._limits import Rate
from ._pages import Pages
from ._parts import Parts
from ._security import SECURITY_HEADERS, check_origin
from ._sessions import address_of
from .access import Person

__all__ = ("App",)

_HEADER_BYTES_MAX = 32 * 1024
_HEADERS_MAX = 100
_TENANT_CHARS_MAX = 200
_PUBLIC = frozenset(("/healthz", "/readyz"))
"""What those who watch over processes ask, who are nobody: they say no more than a word."""

_PARTS = (
    _session_api,
    _stream_api,
    _board_api,
    _history,
    _export_api,
    _actions,
    _listeners_api,
    _checks,
)

_log = OwnLog("dashboard")


class App:
    """Answers requests."""

    def __init__(self, parts: Parts, *, rate: tuple[float, int]) -> None:
        self.parts: Parts = parts
        self._pages = Pages()
        self._rate = Rate(*rate)
        places = list(_all_endpoints())
        self.endpoints: tuple[Endpoint, ...] = (*places, _openapi.endpoint_for(places))
        self._routes = [(Route(each.path, _unused, methods=[each.method]), each) for each in self.endpoints]

    # -- ASGI --

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return

        async def send_secured(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *SECURITY_HEADERS]}
            await send(message)

        self.parts.counts.requests += 1
        request = Request(scope, receive)
        try:
            reply = await self._answer(request)
        except Exception as error:  # noqa: BLE001 - a request that fails is answered, and the others go on
            reply = self._problem(error)
        if not any(name == b"cache-control" for name, _ in reply.raw_headers):
            reply.headers["Cache-Control"] = "no-store"
        await reply(scope, receive, send_secured)

    async def _live(self, receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await self.parts.close()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return

    def _problem(self, error: Exception) -> Reply:
        problem = _as_problem(error)
        if problem.status < 500:
            self.parts.counts.refused += 1
        elif problem.code == "failed":
            self.parts.counts.failed += 1
            _log.failure("a request to the dashboard failed", error)
        return problem_reply(problem)

    # -- one request --

    async def _answer(self, request: Request) -> Reply:
        scope = request.scope
        _check_size(scope)
        self.parts.hosts.check(request.headers.get("host", ""))
        path = _path_of(scope)
        if path not in _PUBLIC:
            self._rate.check(address_of(scope))
        has_cookie = self.parts.sessions.cookie_name(request) in request.cookies
        check_origin(request.method, request.headers, has_cookie=has_cookie)
        if path not in _PUBLIC:
            await self.parts.sessions.open()
        if path == "/api/session" and request.method == "POST":
            return await _session_api.sign_in(self.parts, request)
        if path.startswith("/api/") or path in ("/metrics", *_PUBLIC):
            return await self._ask(request, path)
        if request.method not in ("GET", "HEAD"):
            raise Problem(405, "not_found", f"there is nothing to {request.method[:20]} here", headers={"Allow": "GET"})
        if not path:
            return RedirectResponse(f"{scope.get('root_path', '')}/", 307)
        return await self._pages.reply(request, path.removeprefix("/"))

    async def _ask(self, request: Request, path: str) -> Reply:
        endpoint, parameters = self._found(request, path)
        if path in _PUBLIC:
            person = Person(name="nobody")
        else:
            person = await self.parts.sessions.person_of(request)
        if not person.may(endpoint.role):
            raise Problem(
                403,
                "not_allowed",
                f"{person.name} has the role {person.role}, and this needs {endpoint.role}",
                "sign in as a person of that role",
            )
        request.scope["path_params"] = parameters
        tenant, contents = _tenant_of(request, person), self.parts.shows_contents(person)
        asked = Asked(parts=self.parts, request=request, person=person, tenant=tenant, contents=contents)
        return await endpoint.handler(asked)

    def _found(self, request: Request, path: str) -> tuple[Endpoint, Mapping[str, Any]]:
        allowed = []
        for route, endpoint in self._routes:
            match, child = route.matches({**request.scope, "path": path, "root_path": ""})
            if match is Match.FULL:
                return endpoint, child["path_params"]
            if match is Match.PARTIAL:
                allowed.append(endpoint.method)
        if allowed:
            allow = ", ".join(sorted(set(allowed)))
            raise Problem(405, "not_found", f"{path[:80]} takes {allow} alone", headers={"Allow": allow})
        raise Problem(404, "not_found", f"there is nothing at {path[:80]!r}", "api/openapi.json says what there is")


def _all_endpoints() -> Iterator[Endpoint]:
    for part in _PARTS:
        yield from part.endpoints()


async def _unused(_: Request) -> Reply:
    raise AssertionError("routes only say which endpoint it is")


def _path_of(scope: Any) -> str:
    """Return the path below where the application is mounted."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path[len(root) :] if root and path.startswith(root) else path


def _check_size(scope: Any) -> None:
    headers = scope.get("headers", ())
    size = sum(len(name) + len(value) for name, value in headers) + len(scope.get("query_string", b""))
    if size > _HEADER_BYTES_MAX or len(headers) > _HEADERS_MAX:
        raise Problem(431, "too_large", "the headers of the request are too large", "send fewer, or delete cookies")


def _tenant_of(request: Request, person: Person) -> str | None:
    """Return the tenant that a request is about: the one that it names, or the first that the person may see."""
    named = request.query_params.get("tenant") or None
    if named is not None and (len(named) > _TENANT_CHARS_MAX or not named.isprintable()):
        raise Problem(400, "invalid", "tenant is no name of a tenant")
    if person.tenants is None:
        return named
    if named is None:
        return person.tenants[0]
    if named not in person.tenants:
        raise Problem(403, "not_allowed", f"{person.name} does not see the tenant {named[:80]!r}")
    return named


def _as_problem(error: Exception) -> Problem:
    if isinstance(error, Problem):
        return error
    text = str(error)[:500]
    if isinstance(error, NotLeading):
        return Problem(409, "not_leading", text, "open the dashboard of the hub that leads")
    if isinstance(error, HubClosed):
        return Problem(503, "ended", text, "the hub is not running", headers={"Retry-After": "2"})
    if isinstance(error, Overloaded):
        return Problem(503, "overloaded", text, "try again later", headers={"Retry-After": "2"})
    if isinstance(error, AccessDenied):
        return Problem(403, "not_allowed", text)
    if isinstance(error, NotFound):
        return Problem(404, "not_found", text)
    if isinstance(error, (ConfigurationError, CallerError)):
        return Problem(400, "invalid", text)
    if isinstance(error, ForwardingFailed):
        what = "look whether it has happened" if error.may_have_happened else "try again later"
        return Problem(503, "not_forwarded", text, what, headers={"Retry-After": "2"})
    if isinstance(error, HubError):
        return Problem(503, "ended", text, "look at the log of the program")
    return Problem(500, "failed", "the dashboard has failed at this request", "look at the log of the program")
