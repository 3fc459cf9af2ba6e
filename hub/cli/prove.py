"""``hubwire prove``: proofs that a record is in a signed log."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import anyio

from hubwire.listeners import audit

from ..errors import ConfigurationError, ProofInvalid
from ..proof import InclusionProof
from .failures import CommandFailed
from .output import escape, escape_json, say
from .report import verifier_key
from .show import found_record, missing_record
from .target import AUDIT, READING_SECONDS, find_log, in_order, open_target

__all__ = ("check_proof", "misused", "prove")

_BYTES_MAX = 1_048_576


def misused(*, given: Mapping[str, object], with_: str) -> None:
    """Refuse words that mean nothing beside others."""
    for name, value in given.items():
        if value is not None:
            raise ConfigurationError(f"prove: with {with_}, {name} means nothing (see hubwire prove --help)")


def prove(
    wanted: str | None,
    target: str | None,
    *,
    out: str | None,
    has_line: bool,
    log: str | None,
    archive: str | None = None,
) -> None:
    """Write the proof of one record to a new file, or to the standard output."""
    if wanted is None or target is None:
        raise ConfigurationError("prove: name the event and the store, as in hubwire prove 7 ./data; or --check FILE")
    index, path, proof = anyio.run(_proof, *in_order(wanted, target), has_line, log, archive)
    if out is None:
        say(proof.removesuffix("\n"))
        return
    _write(out, proof)
    say(escape(f"{out} proves record {index} of {path}; check it by hubwire prove --check {out} --vkey KEY"))


async def _proof(
    wanted: str, target: str, has_line: bool, log: str | None, archive: str | None
) -> tuple[int, str, str]:
    store = open_target(target, READING_SECONDS, archive=archive)
    try:
        path = await find_log(store, log or AUDIT, target)
        what, found = await found_record(store, path, wanted)
        if found is None:
            raise await missing_record(store, path, target, what, wanted)
        proof = await audit.prove(store, found.index, path=path, with_line=has_line)
    finally:
        await store.aclose()
    return found.index, path, str(proof)


def _write(out: str, text: str) -> None:
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError as error:
        raise CommandFailed(f"{out} is there already; name another file") from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        opened.write(text)


def check_proof(file: str, vkey: str | None, line: str | None) -> None:
    """Check a proof, and print the record that it proves."""
    if vkey is None:
        raise ConfigurationError(
            "prove --check: give --vkey, the verifier key of the log; it comes from who keeps the log, as hubwire keys"
            " show prints it, and never with the proof"
        )
    key = verifier_key(vkey)
    assert key is not None
    proof = InclusionProof.parse(_read(file))
    if line is not None:
        record = _read(line).removesuffix(b"\n")
    elif proof.extra is not None:
        record = proof.extra
    else:
        raise ConfigurationError(f"prove --check: the record is not in {file}; give it by --line FILE")
    try:
        checkpoint = proof.verify(record, key)
    except ProofInvalid as error:
        raise CommandFailed(f"{file} does not hold: {error}") from error
    say(escape(f"the proof holds: this is record {proof.index} of {checkpoint.origin}, of which its key has signed"))
    say(f"{checkpoint.size:,} records, root {checkpoint.root.hex()}")
    say(escape_json(record.decode("utf-8", "replace")))


def _read(file: str) -> bytes:
    with Path(file).open("rb") as opened:
        content = opened.read(_BYTES_MAX + 1)
    if len(content) > _BYTES_MAX:
        raise CommandFailed(f"{file} has more than {_BYTES_MAX:,} bytes: it is no proof, and no record of a log")
    return content
