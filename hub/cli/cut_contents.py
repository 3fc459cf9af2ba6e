"""Erasable contents of an audit log that is cut: those of records that are cut off, and what these said was erased."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import attrs

from hubwire.listeners.audit.cut_off import contents_behind, erasures_behind, say_erased_again, take_out

from ..ports import KnowledgeStore
from .copying import files_below, is_journal
from .lost import Lost
from .output import plural

__all__ = ("Around", "around_cut")

Step = tuple[str, Callable[[], Awaitable[None]]]


@attrs.define
class Around:
    """What is done before logs are cut, and after it."""

    before: list[Step] = attrs.field(factory=list)
    after: list[Step] = attrs.field(factory=list)


async def around_cut(
    store: KnowledgeStore, lost: Lost, ends: Mapping[str, int], reason: str, *, is_cut: bool = False
) -> Around:
    """Return what cutting logs before these records does to erasable contents; ``is_cut``: it is done already.

    The contents of what is cut off go with it: no erasure would find them any more. They are set aside before. Where
    what is cut off says of contents of earlier records that they were erased, the log has to say it again.
    """
    around = Around()
    for log, end in ends.items():
        names = await store.list(f"{log}/erasable")
        if not names or await is_journal(store, log, [path async for path in files_below(store, log)]):
            continue
        lines = await contents_behind(store, log, None if is_cut else end)
        if lines:
            count = plural(sum(each.count(b"\n") for each in lines.values()), "erasable content")
            line = f"set {count} of {log} aside that no record before {end} names"
            around.before.append((line, partial(_set_aside, lost, log, lines)))
            around.after.append((f"take {count} off the pages of {log}", partial(take_out, store, log)))
        if unsaid := await erasures_behind(store, log, end, is_cut=is_cut):
            said = f"say again in {log} that {plural(unsaid, 'content')} of earlier records"
            said += " was erased" if unsaid == 1 else " were erased"
            basis = f"the record that said so was cut off: {reason}"
            again = partial(say_erased_again, store, log, end, by="hubwire repair", basis=basis)
            around.after.append((said, again))
    return around


async def _set_aside(lost: Lost, log: str, lines: Mapping[str, bytes]) -> None:
    for page, content in lines.items():
        await lost.put(f"{log}/erasable/{page}", content)
