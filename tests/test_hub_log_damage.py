"""What damage a log refuses when it is opened, and that no record is lost in silence."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import example, given, settings, strategies as st

from hubwire import codec
from hubwire.errors import LogDamaged
from support import files_of, store_of
from support.recovered import (
    SEGMENT,
    Files,
    both,
    log_on,
    records,
    refuses,
    written,
)


def vouched_for(content: bytes) -> int:
    """Return how many bytes of a segment hold records that a later one tells to be durable."""
    lines = content.splitlines(keepends=True)
    durable = max(codec.unseal(line.rstrip(b"\n"))[1] for line in lines)
    return sum(map(len, lines[:durable]))


async def test_a_flipped_byte_is_refused() -> None:
    """The refusal leaves the store as it was."""
    files = await written([1, 2, 1], chained=True)
    content = files[SEGMENT]
    for offset in range(vouched_for(content)):
        for bit in (1, 0x80) if offset % 5 else (1, 2, 4, 8, 16, 32, 64, 128):
            spoilt = bytearray(content)
            spoilt[offset] ^= bit
            error = await refuses({SEGMENT: bytes(spoilt)}, chained=True)
            assert error is not None, (offset, bit)
            assert error.path == SEGMENT
            assert error.byte_offset is not None
            assert error.byte_offset <= offset
            assert offset < error.byte_offset + max(map(len, content.splitlines())) + 1
            assert "restore" in str(error)


@both
async def test_a_flipped_bit_anywhere_is_refused(chained: bool) -> None:
    """Also in the newest batch, for which no later record vouches."""
    files = await written([1, 2, 1], chained=chained)
    content = files[SEGMENT]
    for offset in range(len(content)):
        for bit in (1, 4, 0x80):
            spoilt = bytearray(content)
            spoilt[offset] ^= bit
            assert await refuses({SEGMENT: bytes(spoilt)}, chained=chained) is not None, (offset, bit)


@both
@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: [lines[0], *lines[2:]],
        lambda lines: [*lines[:2], *lines[3:]],
        lambda lines: [lines[1], lines[0], *lines[2:]],
        lambda lines: [lines[0], lines[0], *lines[1:]],
        lambda lines: [b"\0" * len(lines[0]), *lines[1:]],
        lambda lines: [lines[0][:-1], *lines[1:]],
        lambda lines: [lines[0], b"\n", *lines[1:]],
        lambda lines: [lines[0], lines[1][:20], *lines[3:]],
        lambda lines: lines[1:],
    ],
    ids=["missing", "one of a batch", "swapped", "twice", "zeros", "joined", "empty line", "hole", "first"],
)
async def test_damage_in_the_middle_is_refused(chained: bool, damage: Any) -> None:
    content = (await written([1, 3, 1, 2], chained=chained))[SEGMENT]
    spoilt = b"".join(damage(content.splitlines(keepends=True)))
    error = await refuses({SEGMENT: spoilt}, chained=chained)
    assert error is not None


async def test_a_false_count_of_durable_records_is_damage() -> None:
    content = (await written([1, 1], chained=False))[SEGMENT]
    error = await refuses({SEGMENT: content.replace(b',"d":1,', b',"d":7,')}, chained=False)
    assert error is not None
    assert "was durable, as later records say" in str(error)


harm = st.tuples(
    st.sampled_from(["flip", "zero", "cut", "truncate", "double", "random"]),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.integers(1, 600),
    st.binary(max_size=50),
)


def do_harm(files: Files, kind: str, which: int, where: int, length: int, rubbish: bytes) -> None:
    """Spoil one file in one place."""
    path = sorted(files)[which % len(files)]
    content = bytearray(files[path] or b"\0")
    start = where % len(content)
    end = min(len(content), start + length)
    match kind:
        case "flip":
            content[start] ^= 1 << length % 8
        case "zero":
            content[start:end] = bytes(end - start)
        case "cut":
            del content[start:end]
        case "truncate":
            del content[start:]
        case "double":
            content[start:start] = content[start:end]
        case _:
            content[start:end] = rubbish
    files[path] = bytes(content)


# A segment with so many records too many that it seems to be followed by the one after the next.
@pytest.mark.slow
@example([3, 1, 3, 1], 300, [("flip", 0, 0, 1, b""), ("double", 0, 0, 290, b""), ("double", 0, 0, 435, b"")])
@settings(max_examples=400)
@given(
    st.lists(st.integers(1, 3), min_size=1, max_size=6),
    st.sampled_from([1 << 20, 700, 300]),
    st.lists(harm, min_size=1, max_size=3),
)
def test_no_record_is_lost_silently(
    batches: list[int], segment_bytes: int, harms: list[tuple[str, int, int, int, bytes]]
) -> None:
    """No damage loses a record that an intact one vouches for without an error."""

    async def run() -> None:
        files = await written(batches, chained=True, segment_bytes=segment_bytes)
        lines = [line for path in sorted(files) for line in files[path].splitlines(keepends=True)]
        for each in harms:
            do_harm(files, *each)
        intact = [line for line in lines if any(line in content for content in files.values())]
        durable = max((codec.unseal(line[:-1])[1] for line in intact), default=0)
        store = await store_of(files)
        log = log_on(store, chained=True, segment_bytes=segment_bytes)
        try:
            await log.open()
        except LogDamaged:
            assert await files_of(store) == files
            return
        assert log.records >= durable
        await log.repair()
        try:
            found = [record.line + b"\n" for record in await records(store)]
        except LogDamaged:
            # Opening reads the last two segments; who reads the others is told.
            assert len(files) > 2
            return
        last_two = int(sorted(files)[-2:][0].removesuffix(".jsonl")[-20:])
        known = last_two + (last_two > 0)  # what comes first in what is read follows something that is not
        assert found[known:] == lines[known : log.records]

    asyncio.run(run())
