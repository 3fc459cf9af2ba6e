"""The dashboard: a web page and a JSON interface on a live hub, or on a log without one; the extra ``web`` brings it.

``async with Dashboard(hub).serve(port=8765) as url:`` serves it beside a program; a :class:`Dashboard` is also an
application in ASGI, to be mounted in one's own.
"""

from __future__ import annotations

from .access import Access, Authenticating, Person, Role
from .dashboard import Dashboard, DashboardStatistics, serve
from .serving import Serving

__all__ = ("Access", "Authenticating", "Dashboard", "DashboardStatistics", "Person", "Role", "Serving", "serve")
