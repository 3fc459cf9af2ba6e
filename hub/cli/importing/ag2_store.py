"""A whole store of AG2's hub: channels with their envelopes, agents, tasks, its audit log, and every other file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .ag2_audit import AG2Audit, fact_of
from .conversation import Conversation, Draft, Speaker, check_sizes
from .decoding import Digest, encoded
from .fields import Fields, Wrong, as_text, is_clean
from .format import Opened, Options, chat_of
from .moments import take_moment

__all__ = ("AG2Store",)


class AG2Store:
    """``ag2-store``. Its items are made by :mod:`hubwire.cli.importing.ag2_source`."""

    name = "ag2-store"
    sign = "files of AG2's store"

    def recognises(self, value: Any, _: Options) -> bool:
        return isinstance(value, dict) and set(value) in (
            {"channel", "metadata", "names", "wal"},
            {"record"},
            {"path", "content"},
        )

    def facts(self, value: Any) -> Iterator[Conversation]:
        if not isinstance(value, dict) or not self.recognises(value, Options()):
            keys = ", ".join(sorted(value)) if isinstance(value, dict) else "no keys"
            raise Wrong(f"is no part of a store of AG2, as it has {keys}; name the directory of the store")
        texts = [
            value.get("path", ""),
            value.get("channel", ""),
            *Fields(value.get("names", {}), "has as names").left.values(),
        ]
        if not all(isinstance(text, str) for text in texts):
            raise Wrong("is no part of a store of AG2: its path, its channel or a name is no text")
        if "record" in value:
            yield from AG2Audit().facts(value["record"])
        elif "path" in value:
            yield self._of_file(value)
        elif value["wal"]:
            yield chat_of(_Channel(value["names"]), value, Options(), f"channel {value['channel']}")
        else:
            yield self._of_file({"path": f"/channels/{value['channel']}/metadata.json", "content": value["metadata"]})

    def _of_file(self, value: dict[str, Any]) -> Conversation:
        fact = fact_of("0/file", "ag2.file.imported", value, {}, None)
        content = encoded(value)
        check_sizes([fact], len(content))
        kept = {f"file.{value['path'].rpartition('/')[2]}": 1}
        return Conversation(format=self.name, key=Digest().add(content), parts=(fact,), kept=kept, has_channel=False)


class _Channel:
    """A channel: its write-ahead log has an envelope a line."""

    name = "ag2-store"
    sign = ""

    def __init__(self, names: dict[str, str]) -> None:
        self._names = names

    def recognises(self, _: Any, __: Options) -> bool:
        return False

    def open(self, value: Any, _: Options, __: Draft) -> Opened:
        fields = Fields(value)
        fields.take("names")  # they are what the agents are called
        messages = fields.items("wal")
        metadata = fields.take("metadata")
        left = {
            "channel": fields.take("channel"),
            **(metadata if isinstance(metadata, dict) else {"metadata": metadata}),
        }
        return Opened(messages, Fields(left))

    def put(self, draft: Draft, number: int, message: Any) -> None:
        fields = Fields(message)
        at = take_moment(fields)
        sender = as_text(fields.take("sender_id") or "")
        name = self._names.get(sender) or sender or "unknown"
        if name != sender:
            fields.left["sender_id"] = sender
        data = fields.peek("event_data")
        content: dict[str, Any] = {}
        if isinstance(data, dict) and isinstance(data.get("text"), str):
            content["text"] = data["text"]
            left = {key: value for key, value in data.items() if key != "text"}
            fields.take("event_data")
            if left:
                fields.left["event_data"] = left
        draft.say(number, Speaker("agent", name if is_clean(name) else sender), content, fields.left, at=at)
