"""The signers of the logs of tenants: each has a name of its own, in which its tenant is; and their witnesses."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from hubwire.errors import ConfigurationError
from hubwire.guests import failure_of
from hubwire.late_types import late_type

if TYPE_CHECKING:
    from hubwire.proof import CheckpointWitness, Signer, WitnessPolicy
else:
    CheckpointWitness = late_type("hubwire.proof", "CheckpointWitness")
    Signer = late_type("hubwire.proof", "Signer")
    WitnessPolicy = late_type("hubwire.proof", "WitnessPolicy")

__all__ = ("TenantSigner", "TenantSigners", "TenantWitness", "witnesses_for")

TenantSigner = Callable[[str | None], Signer]
TenantWitness = Callable[[str | None], WitnessPolicy | Sequence[CheckpointWitness] | None]


class TenantSigners:
    """Asks a function of the program's own for the signer of a tenant's log."""

    def __init__(self, function: TenantSigner | None, written: Callable[[str | None], str]) -> None:
        """``written`` gives the element of a path that stands for a tenant."""
        if function is not None and (not callable(function) or isinstance(function, type)):
            raise ConfigurationError(
                "signer is a function of the tenant, which returns the signer of its log, such as lambda tenant:"
                f" KeySigner.from_file(f'{{tenant}}.key'), not {type(function).__name__}: a key is of one log"
            )
        self._function = function
        self._written = written

    def signer_of(self, tenant: str | None) -> Signer | None:
        """Return the signer of a tenant's log; None if the logs are not signed.

        Raises :class:`~hubwire.errors.ConfigurationError` for what is none, or has the name of another log.
        """
        if self._function is None:
            return None
        from hubwire.proof import as_signer  # noqa: PLC0415 - logs without a signer need none of it

        shown = "no tenant" if tenant is None else f"the tenant {tenant!r:.80}"
        try:
            made: Any = self._function(tenant)
        except BaseException as error:
            failure = failure_of(error)
            raise ConfigurationError(
                f"the signer of the audit log of {shown} could not be had: {type(failure).__name__}: {failure!s:.200}"
            ) from error
        if inspect.iscoroutine(made):
            made.close()
        signer, element = as_signer(made), self._written(tenant)
        if element not in signer.vkey.name.split("/"):
            raise ConfigurationError(
                f"the key {signer.vkey} is to sign the audit log of {shown}, and {element!r:.160} is no element of its"
                f" name: a name stands for one log. Make one: hubwire keys new example.org/hub/{element:.160} --out"
                " FILE"
            )
        return signer


def witnesses_for(tenant: str | None, witnesses: Any) -> Any:
    """Return who witnesses the log of a tenant: the same for all, or what a function of the program's own returns."""
    if not callable(witnesses) or isinstance(witnesses, type):
        return witnesses  # an audit log looks at it
    try:
        made: Any = witnesses(tenant)
    except BaseException as error:
        failure, shown = failure_of(error), "no tenant" if tenant is None else f"the tenant {tenant!r:.80}"
        raise ConfigurationError(
            f"the witnesses of the audit log of {shown} could not be had: {type(failure).__name__}: {failure!s:.200}"
        ) from error
    if inspect.iscoroutine(made):
        made.close()
    return made
