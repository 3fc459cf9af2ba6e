"""What a redactor is made of, checked, and the stamp that says what that is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from ..errors import ConfigurationError
from ..events._shown import nearest, shown
from ._arguments import items
from ._pseudonyms import KEY_BYTES_MIN, placeholder, pseudonyms
from .rules import RedactionRule

__all__ = ("FAMILIES", "left_out", "replacement_of", "rules_of", "stamp_of")

VERSION = 1
"""Of the rules of the package: raised when what they find changes."""

FAMILIES: tuple[str, ...] = (
    *("account", "address", "birth", "card", "email", "iban", "id", "ip", "name", "phone"),
    *("auth", "cookie", "key", "password", "secret", "session", "token"),
    *("anthropic", "aws", "basic", "bearer", "github", "gitlab", "google", "huggingface", "jwt", "npm", "openai"),
    *("private_key", "pypi", "sas", "sendgrid", "service", "slack", "stripe", "url", "vault"),
)
"""What the rules of the package find."""


def rules_of(rules: object) -> tuple[RedactionRule, ...]:
    own = items("Redactor", "rules", rules, "a list of RedactionRule")
    names = set()
    for rule in own:
        if type(rule) is not RedactionRule:
            raise ConfigurationError(f"Redactor: rules is a list of RedactionRule, not of {shown(rule)}")
        if rule.name in names:
            raise ConfigurationError(f"Redactor: two rules have the name {rule.name!r}; give each its own")
        names.add(rule.name)
    return own


def left_out(without: object) -> tuple[str, ...]:
    left = items("Redactor", "without", without, "a list of families")
    for family in left:
        if type(family) is not str or family not in FAMILIES:
            raise ConfigurationError(
                f"Redactor: without has no family {shown(family)}; there are {', '.join(sorted(FAMILIES))}; "
                f"{nearest(family, FAMILIES)}"
            )
    return tuple(sorted(set(left)))


def replacement_of(mode: object, key: object) -> Callable[[str, str], str]:
    if type(mode) is str and mode == "replace":
        if key is not None:
            raise ConfigurationError('Redactor: key is for mode="pseudonym"; leave it out, or give the mode')
        return placeholder
    if type(mode) is not str or mode != "pseudonym":
        raise ConfigurationError(f"Redactor: mode is 'replace' or 'pseudonym', not {shown(mode)}")
    if type(key) is not bytes or len(key) < KEY_BYTES_MIN:
        what = f"{len(key)} bytes" if type(key) is bytes else type(key).__name__
        raise ConfigurationError(
            f"Redactor: key is at least {KEY_BYTES_MIN} random bytes, not {what}; make them by "
            "secrets.token_bytes(32), and keep them: another key makes other pseudonyms"
        )
    return pseudonyms(key)


def stamp_of(own: tuple[RedactionRule, ...], left: tuple[str, ...], mode: str, key: bytes | None) -> str:
    """Return the version of the rules of the package; and, of what is different from it, a digest."""
    if not own and not left and mode == "replace":
        return f"hubwire/{VERSION}"
    described = [mode, *left]
    for rule in own:
        code = getattr(getattr(rule.find, "__code__", None), "co_code", b"")
        described += (rule.name, rule.pattern or "", getattr(rule.find, "__qualname__", ""), code.hex(), *rule.keys)
    digest = hashlib.sha256("\0".join(described).encode())
    digest.update(hashlib.sha256(b"stamp\0" + (key or b"")).digest() if key else b"")
    return f"hubwire/{VERSION}+{digest.hexdigest()[:12]}"
