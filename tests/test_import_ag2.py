"""A hub of AG2's writes its store and its audit log; all of it is imported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest

pytest.importorskip("ag2", reason="needs ag2, which the test extra installs")

import ag2.network
from ag2.knowledge import DiskKnowledgeStore, SqliteKnowledgeStore
from ag2.network import Envelope, Passport, Resume, Rule
from ag2.task import TaskMetadata, TaskSpec, TaskState
from blockbuster import BlockBuster

from hubwire import BaseHubListener
from support.importing import do_import, parts_of, topics_of

pytestmark = pytest.mark.slow  # hubs on disk, theirs and ours

TEXTS = ("hello", "ä\r\n\u2028", "x" * 70_000)


def said(channel_id: str, sender_id: str, text: str) -> Envelope:
    return Envelope(
        channel_id=channel_id, sender_id=sender_id, audience=None, event_type="ag2.msg.text", event_data={"text": text}
    )


class Accepts(BaseHubListener):
    """Accepts every invitation, for whom it is sent to."""

    def __init__(self, hub: ag2.network.Hub) -> None:
        self._hub = hub

    async def on_envelope_posted(self, envelope: Any, metadata: Any) -> None:
        if envelope.event_type == "ag2.channel.invite":
            accepted = said(envelope.channel_id, envelope.audience[0], "")
            accepted.event_type = "ag2.channel.invite.ack"
            await self._hub.post_envelope(accepted)


async def live(store: Any, *texts: str) -> None:
    """Let a hub of AG2's do a bit of everything that it keeps."""
    hub = await ag2.network.Hub.open(
        store, clock=lambda: "2026-11-21T00:00:00+00:00", ttl_sweep_interval=0, expectation_sweep_interval=0
    )
    async with hub:
        hub.register_listener(Accepts(hub))
        ids = []
        for name in ("planner", "coder"):
            passport = await hub.register_identity(Passport(name=name), Resume(), rule=Rule(), skill_md=f"# {name}")
            ids.append(passport.agent_id or "")
        made = await hub.create_channel(creator_id=ids[0], manifest_type="conversation", participants=ids)
        for text in texts:
            await hub.post_envelope(said(made.channel_id, ids[0], text))
        task = TaskMetadata(task_id="t-1", owner_id=ids[0], spec=TaskSpec(title="t"), state=TaskState.RUNNING)
        await hub.observe_task(task)
        await hub.checkpoint_task("t-1", {"step": 3})


async def read_all(store: Any, path: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for name in await store.list(path or "/"):
        below = f"{path}/{name.removesuffix('/')}"
        found |= await read_all(store, below) if name.endswith("/") else {below: await store.read(below)}
    return found


@pytest.fixture(autouse=True)
def _blocking_is_allowed(blockbuster: BlockBuster) -> None:
    """Their disk store blocks the loop at every call."""
    blockbuster.deactivate()


def lived(place: Path, kind: str) -> dict[str, str]:
    """Let a hub live on a store of AG2's; return the files that it left."""
    store: Any = DiskKnowledgeStore(str(place)) if kind == "disk" else SqliteKnowledgeStore(str(place))

    async def run() -> dict[str, str]:
        await live(store, *TEXTS)
        found = await read_all(store)
        if kind == "sqlite":
            store.close()
        return found

    return anyio.run(run)


def paths_in(files: dict[str, str]) -> set[str]:
    return {path for path in files if not path.startswith(("/channels/", "/audit/"))}


@pytest.mark.parametrize("kind", ["disk", "sqlite"])
def test_a_store_of_ag2_is_imported_whole(kind: str, tmp_path: Path) -> None:
    """Channels with what was said in them, the records of its audit log, and each other file as it is."""
    place, store = tmp_path / "theirs", tmp_path / "s"
    files = lived(place, kind)
    accounts = do_import(place, store)
    assert accounts["said"] == "theirs is ag2-store: files of AG2's store\n"
    (said_there,) = topics_of(store).values()
    assert [text for text in said_there if text in TEXTS] == list(TEXTS[:2])
    parts = parts_of(store)
    assert {part["data"]["record"]["path"] for part in parts if part["kind"] == "ag2.file.imported"} == paths_in(files)
    theirs = [json.loads(line) for line in files["/audit/audit.jsonl"].splitlines()]
    assert len([part for part in parts if part["source_id"].startswith("ag2-audit:")]) == len(theirs)
    assert do_import(place, store)["there"] == accounts["parts"]


def test_the_audit_log_of_ag2_is_a_format_of_its_own(tmp_path: Path) -> None:
    files = lived(tmp_path / "theirs", "disk")
    log, store = tmp_path / "theirs" / "audit" / "audit.jsonl", tmp_path / "s"
    theirs = [json.loads(line) for line in files["/audit/audit.jsonl"].splitlines()]
    accounts = do_import(log, store)
    assert accounts["format"] == "ag2-audit"
    parts = parts_of(store)
    assert [part["kind"] for part in parts] == [f"ag2.{record['kind'].replace('_', '.', 1)}" for record in theirs]
    assert [part.get("agent_id") for part in parts] == [record.get("agent_id") for record in theirs]
    assert {part["occurred_at"] for part in parts} == {"2026-11-21T00:00:00.000000Z"}
    # The whole store has nothing of it that is new.
    before = len(parts)
    do_import(tmp_path / "theirs", store)
    assert len([part for part in parts_of(store) if part["source_id"].startswith("ag2-audit:")]) == before
