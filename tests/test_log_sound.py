"""The check of many lines at once says what the check of each says."""

from __future__ import annotations

import random

import pytest

from hubwire import codec
from hubwire.errors import InvalidRecord
from hubwire.log._sound import count_sound, head_of


def lines_of(rng: random.Random) -> list[bytes]:
    lines: list[bytes] = []
    while len(lines) < 12:
        bodies = [b'{"kind":"a.done","n":%d,"seq":%d}' % (rng.randrange(99), number) for number in range(3)]
        lines += [line[:-1] for line in codec.seal_all(bodies, rng.randrange(len(lines) + 1), len(lines))]
    return lines


def one_by_one(lines: list[bytes], *, is_due: bool) -> tuple[int, bool, str | None]:
    for number, line in enumerate(lines):
        try:
            is_due = codec.check_line(line, number, is_due=is_due)
        except InvalidRecord as error:
            return number, is_due, str(error)
    return len(lines), is_due, None


@pytest.mark.parametrize("seed", range(40))
def test_all_lines_are_checked_as_each_is(seed: int) -> None:
    """Sound ones, and with a bit flipped, a line moved, doubled, missing, or without its checksum."""
    rng = random.Random(seed)
    lines = lines_of(rng)
    at = rng.randrange(len(lines))
    match seed % 6:
        case 1:
            line = bytearray(lines[at])
            line[rng.randrange(len(line))] ^= 1 << rng.randrange(8)
            lines[at] = bytes(line)
        case 2:
            lines.insert(at, lines.pop())
        case 3:
            lines.insert(at, lines[at])
        case 4:
            del lines[at]
        case 5:
            lines[at] = codec.seal(codec.unseal(lines[at])[0], 0)
    count, is_due, error = count_sound(lines, 0, is_due=False)
    assert (count, is_due, None if error is None else str(error)) == one_by_one(lines, is_due=False)


def test_the_head_of_a_line_is_that_of_its_fields() -> None:
    head = head_of(b'{"a":[1,{"seq":9}],"hub":"h","kind":"a.done","seq":4,"d":0}')
    assert (head.kind, head.seq, head.hub) == ("a.done", 4, "h")
    for bad in (b"[]", b"1", b'{"a":', b"", b'{"kind":"\xff"}'):
        with pytest.raises(InvalidRecord):
            head_of(bad)
