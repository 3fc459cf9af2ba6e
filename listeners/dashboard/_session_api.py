"""Signing in and out, and who is signed in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from hubwire import installed_version

from ._http import Asked, Endpoint, Problem, Reply, json_body, json_reply, refused
from ._sessions import address_of
from .access import Person

if TYPE_CHECKING:
    from ._app import App

__all__ = ("endpoints", "sign_in")

_BODY_BYTES_MAX = 4096


async def sign_in(app: App, request: Request) -> Reply:
    """Sign in by a token."""
    if app.access.authenticate is not None:
        raise Problem(404, "not_found", "the program has a sign-in of its own", "sign in there")
    token = (await json_body(request, _BODY_BYTES_MAX)).get("token")
    if not isinstance(token, str) or not token:
        raise refused("there is no token", 'send {"token": "…"}')
    person = app.sessions.by_token(token, address_of(request.scope))
    if person is None:
        app.counts.sign_ins_failed += 1
        raise Problem(
            401, "not_signed_in", "the token is not one of this dashboard", "see where it was shown at the start"
        )
    app.counts.sign_ins += 1
    return json_reply(_session(app, person), headers={"Set-Cookie": app.sessions.cookie(request, person)})


def _session(app: App, person: Person) -> dict[str, Any]:
    hub_id = app.source.id
    return {
        "person": person.name,
        "role": person.role,
        "contents": app.shows_contents(person),
        "tenants": None if person.tenants is None else list(person.tenants),
        "source": app.source.sort,
        "hub": {"id": hub_id, "name": app.name or hub_id[-8:] or "hub", "version": installed_version()},
    }


async def _session_of(asked: Asked) -> Reply:
    return json_reply(_session(asked.app, asked.person))


async def _sign_out(asked: Asked) -> Reply:
    return Response(b"", 204, {"Set-Cookie": asked.app.sessions.sign_out(asked.request)})


def endpoints() -> tuple[Endpoint, ...]:
    """Return the places of the interface that are about the session."""
    return (
        Endpoint("GET", "/api/session", _session_of, says="who is signed in, and what is shown"),
        Endpoint("DELETE", "/api/session", _sign_out, says="sign out"),
    )
