"""Webhooks: a listener that posts events to a URL, and what their receiver needs.

:class:`Webhook` needs ``pip install 'hubwire[webhooks]'``. :mod:`.signing` needs nothing, but for Ed25519
``pip install 'hubwire[sign]'``.
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
