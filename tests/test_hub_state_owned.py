"""The index of entries with owners and deadlines, against a list that is searched from end to end."""

from __future__ import annotations

from typing import Any

import attrs
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hubwire._state.owned import Owned


@attrs.frozen
class Entry:
    id: int
    owner: str
    place: str | None = None
    deadline_ns: int | None = None
    progress: int = 0
    gone: str = ""


def index(*entries: Entry) -> Owned[int, Entry]:
    owned: Owned[int, Entry] = Owned(groups=("owner", "place"), mark="gone")
    for entry in entries:
        owned.restore(entry.id, entry, entry.deadline_ns)
    return owned


class AgainstAList(RuleBasedStateMachine):
    """Any changes in any order; the model is the entries in the order in which they were added."""

    def __init__(self) -> None:
        super().__init__()
        self.owned = index()
        self.entries: list[Entry] = []
        self.left_behind: list[int] = []
        self.ids = 0

    @rule(owner=st.sampled_from("ab"), place=st.sampled_from(["x", "y", None]), deadline=st.sampled_from([None, 1, 2]))
    def add(self, owner: str, place: str | None, deadline: int | None) -> None:
        self.ids += 1
        entry = Entry(self.ids, owner, place, deadline)
        self.owned.add(entry.id, entry, entry.deadline_ns)
        self.entries.append(entry)

    @rule(which=st.integers(0, 20))
    def change(self, which: int) -> None:
        for chosen in self.entries[which : which + 1]:
            self.owned.change(chosen.id, progress=chosen.progress + 1)
            self.entries[which] = attrs.evolve(chosen, progress=chosen.progress + 1)

    @rule(which=st.integers(0, 20))
    def remove(self, which: int) -> None:
        for chosen in self.entries[which : which + 1]:
            assert self.owned.remove(chosen.id) == chosen
            self.entries.remove(chosen)
            self.left_behind = [each for each in self.left_behind if each != chosen.id]

    @rule(
        field=st.sampled_from(["owner", "place"]),
        value=st.sampled_from(["a", "b", "x", None]),
        mark=st.sampled_from("12"),
    )
    def leave_behind(self, field: str, value: str | None, mark: str) -> None:
        self.owned.leave_behind(field, value, mark=mark)
        left = [each.id for each in self.entries if value is not None and getattr(each, field) == value]
        self.left_behind += [each for each in left if each not in self.left_behind]
        self.entries = [
            attrs.evolve(each, gone=each.gone or mark) if each.id in left else each for each in self.entries
        ]

    @invariant()
    def it_finds_what_the_list_has(self) -> None:
        owned = self.owned
        assert list(owned) == self.entries
        assert len(owned) == len(self.entries)
        for entry in self.entries:
            assert entry.id in owned
            assert owned[entry.id] == owned.find(entry.id) == entry
        for field in ("owner", "place"):
            values = {value for each in self.entries if (value := getattr(each, field)) is not None}
            oldest = [next(each for each in self.entries if getattr(each, field) == value) for value in values]
            assert sorted(owned.oldest(field), key=lambda each: each.id) == sorted(oldest, key=lambda each: each.id)
            for value in ("a", "b", "x", "y", None):
                ids = [each.id for each in self.entries if value is not None and getattr(each, field) == value]
                assert list(owned.ids(field, value)) == ids

    @invariant()
    def what_is_due_is_what_the_list_says(self) -> None:
        timed = [each for each in self.entries if each.deadline_ns is not None and each.id not in self.left_behind]
        moments = [each.deadline_ns or 0 for each in self.entries if each.deadline_ns is not None]
        assert self.owned.next_due_ns() == (0 if self.left_behind else min(moments, default=None))
        assert list(self.owned.left_behind) == self.left_behind
        for now_ns in (0, 1, 2):
            passed = sorted((each.deadline_ns or 0, each.id) for each in timed if (each.deadline_ns or 0) <= now_ns)
            due = [*self.left_behind, *(entry_id for _, entry_id in passed)]
            for limit in (1, 3, 100):
                assert [each.id for each in self.owned.due(now_ns, limit)] == due[:limit]

    def teardown(self) -> None:
        assert index(*self.entries) == self.owned


TestAgainstAList = AgainstAList.TestCase
TestAgainstAList.settings = settings(max_examples=100, stateful_step_count=30)


def test_removed_entries_leave_no_trace() -> None:
    """The heap of deadlines lets go of its dead when they are the most."""
    owned = index(*(Entry(number, f"owner {number % 7}", f"place {number}", number) for number in range(1000)))
    for number in range(1000):
        owned.remove(number)
    held = vars(owned)
    assert not held["_by_id"]
    assert held["_groups"] == {"owner": {}, "place": {}}
    assert len(held["_deadlines"]) == 0


def test_indexes_are_equal_in_all_parts() -> None:
    """Tests that compare a machine with a replayed and a restored one rely on this."""
    entry = Entry(1, "a", "x", 5)
    others: list[dict[str, Any]] = [{"owner": "b"}, {"place": None}, {"deadline_ns": 6}, {"progress": 1}, {"gone": "1"}]
    for change in others:
        assert index(entry) != index(attrs.evolve(entry, **change))
    assert index(entry, Entry(2, "a")) != index(Entry(2, "a"), entry)
    assert repr(index(entry)) != repr(index(attrs.evolve(entry, progress=1)))
    later, broken = index(), index(entry)
    later.add(1, entry, 6)
    broken._groups["owner"].clear()
    assert index(entry) not in (later, broken)
