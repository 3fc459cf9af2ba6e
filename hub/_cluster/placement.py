"""Placement: which node is to lead which hub, as each node finds it from what it has heard of the others.

It only says who tries first. That two nodes find it differently costs a moment, and no event.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping

__all__ = ("order", "placed", "too_many")


def order(hub: str, nodes: Collection[str]) -> list[str]:
    """Return the nodes in the order in which they are to lead a hub: by rendezvous hashing.

    Each node finds the same order. When one goes, or comes, no other two change places.
    """
    return sorted(nodes, key=lambda node: (_weight(hub, node), node), reverse=True)


def placed(hubs: Mapping[str, Collection[str]], leads: Mapping[str, Collection[str]]) -> dict[str, str]:
    """Return which node is to lead each hub that none leads: the first in its order that has room.

    ``hubs``: by hub, the nodes that can lead it; ``leads``: by node, those that it does;
    two may say so of one hub for a moment. No node gets more than one hub
    more than another one, where all nodes can lead all hubs.
    """
    nodes = sorted({node for some in hubs.values() for node in some})
    if not nodes:
        return {}
    count = dict.fromkeys(nodes, 0)
    for node in count:
        count[node] = len(leads.get(node, ()))
    led = {hub for some in leads.values() for hub in some}
    floor, more = divmod(len(hubs), len(nodes))
    found: dict[str, str] = {}
    for hub in sorted(hubs):
        if hub in led or not hubs[hub]:
            continue
        full = sum(1 for each in count.values() if each > floor)
        ranked = order(hub, hubs[hub])
        with_room = [node for node in ranked if count[node] < floor + (full < more)]
        node = with_room[0] if with_room else min(ranked, key=count.__getitem__)
        count[node] += 1
        found[hub] = node
    return found


def too_many(leading: int, hubs: int, nodes: int) -> bool:
    """Tell whether a node leads so many hubs that it is to hand one over: more than its part, and one."""
    return nodes > 0 and leading > -(-hubs // nodes) + 1


def _weight(hub: str, node: str) -> bytes:
    return hashlib.blake2b(f"{len(hub)}:{hub}{node}".encode(), digest_size=8).digest()
