"""Checks: whether the log is whole, whether the hub is well, and what it has counted."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from hubwire import Hub
from hubwire.errors import HubError

from ._asked import Asked, Endpoint
from ._http import Problem, Reply, json_reply

__all__ = ("endpoints",)


async def _verify(asked: Asked) -> Reply:
    return json_reply(asked.parts.verifying.view())


async def _start_verifying(asked: Asked) -> Reply:
    _all_tenants(asked)
    await asked.parts.verifying.start()
    return json_reply(asked.parts.verifying.view(), status=202)


async def _stop_verifying(asked: Asked) -> Reply:
    _all_tenants(asked)
    await asked.parts.verifying.stop()
    return json_reply(asked.parts.verifying.view())


def _all_tenants(asked: Asked) -> None:
    if asked.tenant is not None:
        raise Problem(403, "not_allowed", "this is of the whole hub, not of a tenant")


def hub_of(asked: Asked) -> Hub:
    """Return the hub. Raises :class:`~._http.Problem` where the dashboard is of a log."""
    hub = asked.parts.source.hub
    if hub is None:
        raise Problem(
            409,
            "no_hub",
            "this dashboard reads a log: there is no hub to ask",
            "serve the hub itself: Dashboard(hub).serve(), or hubwire run --dashboard",
        )
    return hub


async def _statistics(asked: Asked) -> Reply:
    _all_tenants(asked)
    return json_reply(_plain(hub_of(asked).statistics()))


async def _health(asked: Asked) -> Reply:
    _all_tenants(asked)
    return json_reply(_plain(hub_of(asked).health()))


def _plain(value: Any) -> Any:
    return msgspec.to_builtins(value, enc_hook=str)


async def _healthz(_: Asked) -> Reply:
    """The process answers: that is all that is asked."""
    return Response("ok\n", media_type="text/plain")


async def _readyz(asked: Asked) -> Reply:
    hub = asked.parts.source.hub
    try:
        is_well = asked.parts.source.problem is None and (hub is None or hub.health().healthy)
    except HubError:
        is_well = False
    return Response("ok\n" if is_well else "not ready\n", 200 if is_well else 503, media_type="text/plain")


def endpoints() -> tuple[Endpoint, ...]:
    """Return the places of the interface that this file answers."""
    return (
        Endpoint("GET", "/api/verify", _verify, says="how far the audit log was verified, and what was found"),
        Endpoint("POST", "/api/verify", _start_verifying, says="begin to verify the audit log"),
        Endpoint("DELETE", "/api/verify", _stop_verifying, says="stop verifying"),
        Endpoint("GET", "/api/statistics", _statistics, says="what the hub has counted"),
        Endpoint("GET", "/api/health", _health, says="whether the hub is well, and why not"),
        Endpoint("GET", "/healthz", _healthz, says="whether the process answers"),
        Endpoint("GET", "/readyz", _readyz, says="whether the hub works"),
    )
