"""Facts of a shared memory: written, read, held in quarantine; and those of them that are instructions to agents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from ..errors import ConfigurationError
from ._declare import event
from ._event import Event
from ._severity import Severity
from ._shown import is_a, shown

__all__ = (
    "FactRead",
    "FactWritten",
    "InstructionAudited",
    "InstructionPromoted",
    "InstructionQuarantined",
    "QuarantineAdmitted",
    "QuarantineReleased",
    "instruction_event",
    "is_instruction_fact",
)

_INSTRUCTION = "instruction"


def is_instruction_fact(entity: str, relation: str, interpret_as: str | None = None) -> bool:
    """Tell whether a fact is an instruction to agents, so that what becomes of it has to be recorded.

    It is if it is to be interpreted as ``instruction``, or if the URI of its entity or of its relation begins with
    ``instruction:``. Raises :class:`~hubwire.errors.ConfigurationError` for what is no text.
    """
    return _is_instruction("is_instruction_fact()", {"entity": entity, "relation": relation}, interpret_as)


def _is_instruction(call: str, uris: Mapping[str, Any], interpret_as: Any) -> bool:
    given = {**uris, "interpret_as": "" if interpret_as is None else interpret_as}
    for name, value in given.items():
        if not is_a(value, str):
            raise ConfigurationError(f"{call}: {name} must be text, not {shown(value)}; write it out with str(...)")
    prefix = f"{_INSTRUCTION}:"
    # A subclass of text may answer for itself as it likes.
    return str.__str__(given["interpret_as"]) == _INSTRUCTION or any(
        str.startswith(uri, prefix) for uri in uris.values()
    )


@event("fact.written")
class FactWritten(Event):
    """``actor`` wrote a fact: ``relation`` of ``entity``. Its value is not recorded.

    ``oidc_sub`` is the subject of the identity provider, ``attested_key_id`` the key that has signed the fact.
    """

    fact_id: str
    entity: str = ""
    relation: str = ""
    interpret_as: str | None = None
    scope: str | None = None
    oidc_sub: str | None = None
    attested_key_id: str | None = None
    detail: Mapping[str, Any] | None = None

    @property
    def is_instruction(self) -> bool:
        """Whether the fact is an instruction: see :func:`is_instruction_fact`."""
        return is_instruction_fact(self.entity, self.relation, self.interpret_as)


@event("fact.read")
class FactRead(Event):
    """``actor`` read a fact, or ``count`` of them: then ``fact_id`` may be empty."""

    fact_id: str = ""
    count: int = 1
    scope: str | None = None
    oidc_sub: str | None = None
    attested_key_id: str | None = None
    detail: Mapping[str, Any] | None = None


@event("quarantine.admitted")
class QuarantineAdmitted(Event):
    """A fact came into quarantine, where no agent reads it until it is released."""

    fact_id: str
    reason: str = ""
    scope: str | None = None
    oidc_sub: str | None = None
    attested_key_id: str | None = None
    detail: Mapping[str, Any] | None = None


@event("quarantine.released")
class QuarantineReleased(Event):
    """A fact came out of quarantine: agents may read it."""

    fact_id: str
    reason: str = ""
    scope: str | None = None
    oidc_sub: str | None = None
    attested_key_id: str | None = None
    detail: Mapping[str, Any] | None = None


@event("instruction.audited")
class InstructionAudited(Event):
    """A fact that is an instruction was written, read or used, as ``detail`` says. See :func:`instruction_event`."""

    fact_id: str
    fact_entity: str
    fact_relation: str
    fact_interpret_as: str | None = None
    scope: str | None = None
    oidc_sub: str | None = None
    attested_key_id: str | None = None
    detail: Mapping[str, Any] | None = None


@event("instruction.quarantined", severity=Severity.WARNING)
class InstructionQuarantined(Event):
    """A fact that is an instruction was put into quarantine: no agent follows it. See :func:`instruction_event`."""

    fact_id: str
    fact_entity: str
    fact_relation: str
    fact_interpret_as: str | None = None
    scope: str | None = None
    oidc_sub: str | None = None
    attested_key_id: str | None = None
    detail: Mapping[str, Any] | None = None


@event("instruction.promoted")
class InstructionPromoted(Event):
    """A fact that is an instruction left quarantine: agents may follow it. See :func:`instruction_event`."""

    fact_id: str
    fact_entity: str
    fact_relation: str
    fact_interpret_as: str | None = None
    scope: str | None = None
    oidc_sub: str | None = None
    attested_key_id: str | None = None
    detail: Mapping[str, Any] | None = None


Instruction = TypeVar("Instruction", InstructionAudited, InstructionQuarantined, InstructionPromoted)

_KINDS = (InstructionAudited, InstructionQuarantined, InstructionPromoted)


def instruction_event(
    kind: type[Instruction],
    *,
    fact_id: str,
    fact_entity: str,
    fact_relation: str,
    fact_interpret_as: str | None = None,
    actor: str,
    source: str | None = None,
    detail: Mapping[str, Any] | None = None,
    **others: Any,
) -> Instruction | None:
    """Return the event of a fact that is an instruction; None for any other fact, of which none is to be recorded.

    ``kind`` is the class of one of the three kinds of ``instruction``. ``source`` is that of the event, by default
    ``actor``. ``others`` are further fields of the class, such as ``scope``. Emit what is returned::

        if (event := instruction_event(InstructionAudited, ...)) is not None:
            await hub.emit(event)

    Raises :class:`~hubwire.errors.ConfigurationError` for another class, and for what is no text.
    """
    if not any(kind is each for each in _KINDS):
        names = ", ".join(each.__name__ for each in _KINDS)
        raise ConfigurationError(f"instruction_event() makes events of {names}, not of {shown(kind)}")
    uris = {"fact_entity": fact_entity, "fact_relation": fact_relation}
    if not _is_instruction("instruction_event()", uris, fact_interpret_as):
        return None
    try:
        return kind(
            fact_id=fact_id,
            fact_entity=fact_entity,
            fact_relation=fact_relation,
            fact_interpret_as=fact_interpret_as,
            actor=actor,
            source=actor if source is None else source,
            detail=detail,
            **others,
        )
    except TypeError as error:
        raise ConfigurationError(f"instruction_event(): {error}; give it fields of {kind.__name__}") from None
