"""Webhooks: a listener that posts events to a URL, and what their receiver needs.

:class:`Webhook` needs ``pip install 'hubwire[webhooks]'`` behind a proxy, :mod:`.signing` needs
``pip install 'hubwire[sign]'`` for Ed25519, and nothing else.
"""

from __future__ import annotations

from ._circuit import CircuitState
from .signing import Verified, new_key_pair, new_secret, verify, verify_sha256
from .webhook import Sha256Header, Webhook, WebhookStatistics

__all__ = (
    "CircuitState",
    "Sha256Header",
    "Verified",
    "Webhook",
    "WebhookStatistics",
    "new_key_pair",
    "new_secret",
    "verify",
    "verify_sha256",
)
