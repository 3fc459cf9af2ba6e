"""What tenants attach, and what becomes of it: each has its own, by its own names, and finds that of no other."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from hubwire import BaseActor, BaseHubListener, Duty, Event, GenericEvent, Hub, TenantHub, Turn, scope
from hubwire.errors import ConfigurationError, NotFound
from hubwire.events import EnvelopePosted
from hubwire.listeners import LiveTail
from hubwire.listeners.audit import AuditLog
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder

NOTED = "note.taken"


def note(number: int = 0) -> GenericEvent:
    return GenericEvent(kind=NOTED, data={"number": number})


def numbers(events: Any) -> list[int]:
    return [each.data["number"] for each in events if each.kind == NOTED]


async def noted_by_each(*hubs: Any) -> None:
    for number, hub in enumerate(hubs):
        await hub.emit(note(number))


async def test_a_tenants_function_hears_its_own_events() -> None:
    heard: list[Event] = []
    async with Hub() as hub:
        acme, globex = hub.for_tenant("acme"), hub.for_tenant("globex")
        acme.on("note.*", in_loop=True)(heard.append)
        await noted_by_each(acme, globex, hub)
        await hub.flush()
    assert numbers(heard) == [0]


async def test_listeners_of_tenants_may_have_one_name() -> None:
    async with Hub() as hub:
        acme, globex = hub.for_tenant("acme"), hub.for_tenant("globex")
        attachments = [each.attach(Recorder(), name="tell") for each in (acme, globex, hub)]
        assert [each.name for each in attachments] == ["acme/tell", "globex/tell", "tell"]
        assert [each.tenant for each in attachments] == ["acme", "globex", None]
        assert acme.attachments == (attachments[0],)
        assert hub.attachments == tuple(attachments)
        with pytest.raises(ConfigurationError, match="attached already"):
            acme.attach(Recorder(), name="tell")


@pytest.mark.parametrize(("one", "other"), [("a", "a/b"), ("a/b", "a%2fb"), ("x" * 90 + "1", "x" * 90 + "2")])
async def test_no_name_of_one_tenant_is_another_ones(one: str, other: str) -> None:
    async with Hub() as hub:
        names = [
            hub.for_tenant(each).attach(Recorder(), name=name).name for each in (one, other) for name in ("c", "b/c")
        ]
        assert len(set(names)) == 4
        assert not any(mine.startswith(theirs.removesuffix("b/c")) for mine in names[:2] for theirs in names[3:])


async def test_a_tenant_detaches_none_of_others() -> None:
    async with Hub() as hub:
        acme, globex = hub.for_tenant("acme"), hub.for_tenant("globex")

        def tell(_: Event) -> None: ...

        for each in (acme, globex, hub):
            each.on("note.*", name="tell")(tell)
            each.on("note.*", priority=1, name="first")(tell)
        theirs = globex.attachments
        for which in ("globex/tell", "globex/Chain", "nobody"):
            with pytest.raises(NotFound):
                await acme.detach(which)
        assert await acme.detach(theirs[0]) == 0
        assert await acme.detach("tell") == 1
        assert await acme.detach(tell) == 1
        assert not acme.attachments
        assert await globex.detach(pattern="*") == 2
        assert [each.name for each in hub.attachments] == ["tell", "Chain"]
        assert await hub.detach(pattern="*") == 2


async def test_functions_with_a_priority_are_each_tenants_own() -> None:
    """They are one listener for each tenant, and for the program; a name that they have is free elsewhere."""
    heard: list[str] = []
    async with Hub() as hub:
        acme, globex = hub.for_tenant("acme"), hub.for_tenant("globex")
        for name, each in (("acme", acme), ("globex", globex), ("hub", hub)):
            for priority in (1, 2):

                def tell(event: Event, name: str = name, priority: int = priority) -> None:
                    heard.append(f"{name} {priority} {event.tenant}")

                each.on("note.*", priority=priority, name=f"f{priority}", in_loop=True)(tell)
        await noted_by_each(acme, hub)
        await hub.flush()
        assert sorted(heard[:4]) == ["acme 1 acme", "acme 2 acme", "hub 1 acme", "hub 2 acme"]
        assert heard[4:] == ["hub 2 None", "hub 1 None"]
        assert await acme.detach(pattern="*") == 2
        acme.on("note.*", priority=1)(print)  # a new chain
        assert [each.name for each in acme.attachments] == ["acme/Chain"]


async def test_a_function_with_a_priority_is_asked_for_headers() -> None:
    heard: list[int] = []
    async with Hub() as hub:
        acme = hub.for_tenant("acme")
        planner = await acme.agents.register("planner")
        hub.on("note.*", priority=2, tenant="acme", in_loop=True)(lambda event: heard.append(event.data["number"]))
        hub.on("note.*", priority=1, agent=planner, in_loop=True)(lambda event: heard.append(-event.data["number"]))
        acme.on("note.*", priority=1, agent="planner", in_loop=True)(lambda event: heard.append(100))
        await acme.emit(note(1))
        await hub.emit(note(2))
        await hub.acting_as(planner).emit(note(3))
        await hub.flush()
    assert sorted(heard) == [-3, 1, 3, 100]


@pytest.mark.parametrize(
    "settings",
    [{"duty": Duty.REQUIRED}, {"tenant": "globex"}, {"overflow": "block"}, {"duty": Duty.REQUIRED, "priority": 1}],
    ids=str,
)
async def test_a_tenant_holds_up_no_others(settings: dict[str, Any]) -> None:
    async with Hub(MemoryStore()) as hub:
        acme = hub.for_tenant("acme")
        with pytest.raises(ConfigurationError):
            acme.on("note.*", **settings)(print)
        if settings == {"duty": Duty.REQUIRED}:
            with pytest.raises(ConfigurationError, match="commands of all tenants would wait"):
                acme.attach(AuditLog(MemoryStore()))
        assert not hub.attachments


async def test_a_listener_is_bound_to_the_tenants_view() -> None:
    class Bound(BaseHubListener):
        hub: Any = None

        def bind(self, hub: Any) -> None:
            self.hub = hub

    async with Hub() as hub:
        acme, listener = hub.for_tenant("acme"), Bound()
        acme.attach(listener)
        assert isinstance(listener.hub, TenantHub)
        with pytest.raises(ConfigurationError, match=r"tail\.subscribe\(tenant='acme'\)"):
            acme.attach(LiveTail())
        wrongs: tuple[dict[str, Any], ...] = ({"agent": "nobody"}, {"channel": "0" * 32})
        for wrong in wrongs:
            with pytest.raises(NotFound):
                acme.attach(Recorder(), **wrong)
        assert acme.attachments == hub.attachments
        assert len(hub.attachments) == 1


async def test_a_durable_listener_of_a_tenant_goes_on() -> None:
    """It is found by its name after a restart, and has its own events alone; its tenant may have it forgotten."""
    store = MemoryStore()
    seen: list[int] = []
    for start in range(2):
        async with Hub(store) as hub:
            acme, globex = hub.for_tenant("acme"), hub.for_tenant("globex")
            if start == 0:
                acme.attach(Recorder(), duty=Duty.DURABLE, name="tell")
                globex.attach(Recorder(), duty=Duty.DURABLE, name="tell")
                await hub.flush()
                assert await acme.detach("tell") == 1
            await noted_by_each(acme, globex, acme)
            if start == 1:
                recorder = Recorder()
                acme.attach(recorder, duty=Duty.DURABLE, name="tell")
                await hub.flush()
                seen = numbers(recorder.events)
                await acme.detach("tell")
                await acme.forget("tell")
                with pytest.raises(NotFound):
                    await acme.forget("tell")
                await globex.forget("globex/tell")
    assert seen == [0, 2, 0, 2]


# --- dead letters ---------------------------------------------------------------------------------------------------


async def test_a_tenant_has_its_own_dead_letters() -> None:
    """Those of its listeners and of its agents' inboxes: others are in no list, and their ids name none."""
    async with Hub(MemoryStore()) as hub:
        acme, globex = hub.for_tenant("acme"), hub.for_tenant("globex")
        is_broken = True

        def tell(event: Event) -> None:
            if is_broken:
                raise ValueError(str(event.tenant))

        for each in (acme, globex, hub):
            each.on("note.*", name="tell")(tell)
            agent = await each.agents.register("worker", rule={"inbox": {"deliveries_max": 1}})
            await each.channels.open([agent, await each.agents.register("boss")])
        for each in (acme, globex):
            worker, (channel,) = each.agents.find("worker"), each.channels.list()
            assert worker is not None
            await channel.post("boss", "work")
            await (await anext(worker.inbox())).nack()
        await noted_by_each(acme, globex)
        await hub.flush()
        everything = await hub.dead_letters.list()
        assert len(everything) == 6
        mine = await acme.dead_letters.list()
        assert {(each.attachment, each.origin) for each in mine} == {("acme/tell", "listener"), (None, "inbox")}
        assert [each.id for each in await acme.dead_letters.list(attachment="tell")] == [
            each.id for each in mine if each.attachment
        ]
        assert await acme.dead_letters.list(attachment="globex/tell") == []
        assert acme.dead_letters.statistics().by_attachment == {"acme/tell": 1}
        assert acme.dead_letters.statistics().inbox == 1
        for other in (each for each in everything if each.id not in {letter.id for letter in mine}):
            for call in (acme.dead_letters.get, acme.dead_letters.retry, acme.dead_letters.discard):
                with pytest.raises(NotFound, match="there is no dead letter"):
                    await call(other.id)
        is_broken = False
        results = await acme.dead_letters.retry_all()
        assert [each.outcome.value for each in results].count("delivered") == 1
        assert [each.outcome.value for each in results].count("redelivered") == 1
        assert await acme.dead_letters.discard_all() == 0
        assert await globex.dead_letters.discard_all() == 2
        assert {each.attachment for each in await hub.dead_letters.list()} == {"tell"}


async def test_letters_of_a_tenant_are_its_own_after_a_restart() -> None:
    store = MemoryStore()
    async with Hub(store) as hub:
        for name in ("a", "a/b"):

            @hub.for_tenant(name).on("note.*", name="tell")
            def tell(_: Event) -> None:
                raise ValueError

            await hub.for_tenant(name).emit(note())
        await hub.flush()
    async with Hub(store) as hub:
        assert [each.attachment for each in await hub.for_tenant("a").dead_letters.list()] == ["a/tell"]
        assert [each.attachment for each in await hub.for_tenant("a/b").dead_letters.list()] == ["a%2fb/tell"]
        assert await hub.for_tenant("b").dead_letters.list() == []


class Idle(BaseActor):
    async def on_envelope(self, turn: Turn) -> None: ...


# --- actors on demand -----------------------------------------------------------------------------------------------


async def test_actors_of_a_tenant_come_on_demand() -> None:
    """The rule is for its own agents: another tenant's of the same pattern is another one, and neither is the hub's."""
    made: list[str] = []

    def factory_of(tenant: str) -> Any:
        def factory(name: str) -> Any:
            made.append(f"{tenant} {name}")

            async def answer(turn: Turn) -> None:
                assert turn.hub.agents.find(name) is not None
                await turn.reply(f"{tenant} {turn.envelope.content}")

            return answer

        return factory

    async with Hub() as hub:
        acme, globex = hub.for_tenant("acme"), hub.for_tenant("globex")
        for name, each in (("acme", acme), ("globex", globex)):
            await each.agents.register("boss")
            each.spawn_on_demand("worker/*", factory_of(name))
        boss = await hub.agents.register("boss")
        for name, each in (("acme", acme), ("globex", globex)):
            answer: EnvelopePosted = await each.ask("boss", "worker/1", "hello")
            assert (answer.content, answer.tenant) == (f"{name} hello", name)
        with pytest.raises(NotFound):
            await hub.ask(boss, "worker/2", "hello")
        channel = await acme.channels.open(["boss", "worker/3"])
        await channel.post("boss", "hi")
        await anyio.wait_all_tasks_blocked()
        assert made == ["acme worker/1", "globex worker/1", "acme worker/3"]
        assert [each.name for each in acme.agents.list()] == ["boss", "worker/1", "worker/3"]
        assert [each.name for each in hub.agents.list() if each.name == "worker/1"] != []
        with pytest.raises(NotFound):
            await acme.ask("boss", "other", "hello")


async def test_one_tenants_names_stand_in_no_others_way() -> None:
    """The group that an actor is alone in has a name for people, and two of them may read alike."""
    async with Hub() as hub:
        for tenant, name in (("b of c", "a"), ("c", "a of b")):
            handle = await hub.for_tenant(tenant).spawn(Idle(), name=name)
            assert handle.agent.name == name


async def test_a_tenant_has_its_numbers() -> None:
    async with Hub() as hub:
        acme, other = hub.for_tenant("acme"), hub.for_tenant("(others)")
        assert acme.statistics().events == 0
        await acme.agents.register("planner")
        await acme.emit(note())
        assert (acme.statistics().events, acme.statistics().agents) == (2, 1)
        await other.emit(note())
        assert other.statistics().events == 0  # it is the name of all that are not told apart


def shown_by(items: Any) -> list[int]:
    return numbers([each.event for each in items])


# --- tails ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["tenant", "agent", "name", "channel"])
async def test_a_subscriber_gets_what_its_headers_say(how: str) -> None:
    async with Hub(MemoryStore()) as hub:
        tail = LiveTail(redactor=None)
        hub.attach(tail)
        acme = hub.for_tenant("acme")
        one, two = await acme.agents.register("one"), await hub.agents.register("two")
        channel = await hub.channels.open([two])
        await hub.emit(note(1))
        await hub.acting_as(one).emit(note(2))
        await hub.acting_as(two).emit(note(3))
        await hub.emit(GenericEvent(kind=NOTED, data={"number": 4}, channel_id=channel.id))
        given: dict[str, Any] = {"tenant": "acme", "agent": one.id, "name": "two", "channel": channel}
        subscriber = tail.subscribe(
            tail.cursor_after(-1), pattern="note.*", **{how.replace("name", "agent"): given[how]}
        )
        plain = tail.subscribe(tail.cursor_after(-1), pattern="note.*")
        assert shown_by(await plain.take()) == [1, 2, 3, 4]
        assert (
            shown_by(await subscriber.take())
            == {
                "tenant": [2],
                "agent": [2],
                "name": [3],
                "channel": [4],
            }[how]
        )


async def test_a_subscription_names_what_it_refuses() -> None:
    async with Hub() as hub:
        tail = LiveTail()
        hub.attach(tail)
        wrongs: tuple[Any, ...] = ({"tenant": ""}, {"agent": ""}, {"channel": object()}, {"tenant": 5})
        for wrong in wrongs:
            with pytest.raises(ConfigurationError, match=r"^tail\.subscribe\(\)"):
                tail.subscribe(**wrong)
        matcher = hub.matcher("note.*", tenant="acme")
        assert matcher.select([note()]) == []


# --- scopes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["emit", "emit_many", "batch", "acting"])
@pytest.mark.parametrize("what", ["agent", "channel", "task"])
async def test_a_scope_brings_nothing_of_another_tenant(how: str, what: str) -> None:
    """What an event does not say itself it inherits: that is checked as what it says."""
    async with Hub() as hub:
        acme, globex = hub.for_tenant("acme"), hub.for_tenant("globex")
        planner, worker = await acme.agents.register("planner"), await globex.agents.register("worker")
        theirs: Any = {
            "agent": planner,
            "channel": await acme.channels.open([planner]),
            "task": await acme.tasks.start(planner, "plan"),
        }[what]
        seq = hub.statistics().applied
        with scope(**{what: theirs}):
            if how == "acting" and what == "agent":
                assert (await hub.acting_as(worker).emit(note())).agent_id == worker.id
                return
            with pytest.raises(NotFound):
                if how == "emit":
                    await globex.emit(note())
                elif how == "emit_many":
                    await globex.emit_many([note()])
                elif how == "acting":
                    await hub.acting_as(worker).emit(note())
                else:
                    async with globex.batch() as batch:
                        batch.emit(note())
            assert (await acme.emit(note())).tenant == "acme"
        assert hub.statistics().applied == seq + 1
