"""How recorders are opened, and what they say where that cannot work: for people who do it for the first time."""

from __future__ import annotations

import gc
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import hubwire.runtimes
from hubwire import BaseActor, Hub, HubThread, Turn
from hubwire.errors import ConfigurationError, HubClosed
from hubwire.redaction import Redactor
from hubwire.runtimes import Recorder
from hubwire.runtimes._opening import opened, reopened
from support.refusals import fake_agent

NEVER_STARTED = "never started"


def mine(hub: Any, /, own: Any = None, **settings: Any) -> Recorder:
    """What an adapter's ``record()`` does."""
    recorder: Recorder = opened(hub, "my-runtime", lambda _: None, settings, own=own, defaults={"agent": "client"})
    return recorder


# -- a hub that was never started --


def run_program(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, timeout=60, env=os.environ, check=False
    )


@pytest.mark.parametrize("made", ["Hub()", "HubThread(Hub())"])
def test_a_program_that_never_starts_its_hub_says_so_at_its_end(made: str) -> None:
    done = run_program(
        "from hubwire import Hub, HubThread\n"
        "from hubwire.runtimes import Recorder\n"
        f"hub = {made}\n"
        "recorder = Recorder(hub, source='mine')\n"
        "recorder.begin_turn('run', agent='planner')\n"
        "recorder.end('run', 'done')\n"
    )
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert NEVER_STARTED in line
    assert "async with hub" in line
    assert "with HubThread(hub)" in line
    assert "source=mine calls=2" in line


def test_programs_that_lose_nothing_say_nothing_at_their_end() -> None:
    """One has told nothing; one has started its hub later; and a child is not the one that had the hub."""
    done = run_program(
        "import os\n"
        "from hubwire import Hub, HubThread\n"
        "from hubwire.runtimes import Recorder\n"
        "silent = Recorder(Hub(), source='silent')\n"
        "hub = Hub()\n"
        "recorder = Recorder(hub, source='later')\n"
        "recorder.begin_turn('run')\n"
        "with HubThread(hub):\n"
        "    recorder.end('run', 'done')\n"
        "    recorder.flush_blocking(30)\n"
        "recorder.begin_turn('after')\n"
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_does_not_say_what_its_parent_says() -> None:
    done = run_program(
        "import os, sys\n"
        "from hubwire import Hub\n"
        "from hubwire.runtimes import Recorder\n"
        "hub = Hub()\n"
        "recorder = Recorder(hub, source='mine')\n"
        "recorder.begin_turn('run')\n"
        "if child := os.fork():\n"
        "    os.waitpid(child, 0)\n"
    )
    assert len(done.stderr.splitlines()) == 1, done.stderr


@pytest.mark.slow
def test_a_hub_that_is_let_go_before_it_starts_says_what_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "hubwire"):
        recorder = Recorder(Hub(), source="mine")
        recorder.begin_turn("run")
        del recorder
        gc.collect()
    assert [each for each in caplog.messages if NEVER_STARTED in each]


async def test_health_says_what_waits_for_a_hub_that_was_never_started() -> None:
    hub = Hub()
    recorder = Recorder(hub, source="mine")
    assert not [each for each in hub.health().problems if NEVER_STARTED in each], "nothing waits"
    recorder.begin_turn("run")
    (problem,) = [each for each in hub.health().problems if NEVER_STARTED in each]
    assert "holds 1 calls" in problem
    assert "async with hub" in problem
    with pytest.raises(HubClosed, match="HubThread"):
        await recorder.flush()
    assert not (await recorder.decide("key", "deploy")).is_approved
    async with hub:
        await recorder.flush()
        assert hub.health().healthy
    assert NEVER_STARTED not in str(hub.health())


# -- settings --

RUNTIMES = sorted(
    file.stem
    for file in Path(hubwire.runtimes.__file__).parent.iterdir()
    if not file.name.startswith(("_", ".")) and file.stem not in ("recorder", "verdict")
)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_unknown_setting_names_the_call_that_was_made(runtime: str) -> None:
    adapter: Any = import_module(f"hubwire.runtimes.{runtime}")
    hub = Hub()
    call = f"hubwire.runtimes.{runtime}.record()"
    try:
        with pytest.raises(ConfigurationError) as unknown:
            adapter.record(hub, contnet=True)
    except ConfigurationError as error:  # pragma: no cover
        raise AssertionError from error
    if "pip install" in str(unknown.value) or "TracerProvider" in str(unknown.value):
        pytest.skip("its framework is not installed, or not set up")
    assert str(unknown.value).startswith(f"{call} has no setting 'contnet'; it has ")
    assert str(unknown.value).endswith("; did you mean content?")
    odd: list[dict[str, Any]] = [
        {"source": "mine"},
        {"kind": Recorder},
        {"install": None},
        {"own": {}},
        {"defaults": {}},
    ]
    for settings in odd:
        with pytest.raises(ConfigurationError, match="has no setting"):
            adapter.record(hub, **settings)
    with pytest.raises(ConfigurationError) as wrong:
        adapter.record(hub, queue_max="many")
    assert str(wrong.value) == f"{call}: queue_max is a whole number from 1 on, not 'many'"
    with pytest.raises(ConfigurationError) as no_hub:
        adapter.record("hub")
    assert str(no_hub.value).startswith(f"{call}: a recorder needs a Hub or a HubThread")
    with adapter.record(hub, content=True), pytest.raises(ConfigurationError, match="has no setting"):
        adapter.record(hub, contnet=True)


def test_settings_of_an_adapters_own_are_named_too() -> None:
    from hubwire.runtimes import ag2

    pytest.importorskip("ag2")
    with pytest.raises(ConfigurationError, match=r"did you mean may_repeat\?"):
        ag2.record(Hub(), may_repaet=True)
    with pytest.raises(ConfigurationError, match=r"^hubwire.runtimes.ag2.record\(\): streams is True or False"):
        ag2.record(Hub(), streams="yes")  # type: ignore[arg-type]
    hub = Hub()
    with ag2.record(hub) as recorder:
        assert ag2.record(hub, streams=False) is recorder
        with pytest.raises(ConfigurationError, match=r"an open recorder with streams=False, .* with streams=True now"):
            ag2.record(hub, streams=True)


SETTINGS: list[tuple[str, Any, Any]] = [
    ("agent", "one", "two"),
    ("content", True, False),
    ("session", "s", "t"),
    ("session", None, "t"),
    ("tenant", "a", "b"),
    ("redactor", Redactor(), Redactor()),
    ("queue_max", 10, 11),
    ("queue_bytes_max", 10_000, 20_000),
    ("stream_seconds", 5, 6.0),
]


@pytest.mark.parametrize(("name", "first", "second"), SETTINGS, ids=range(len(SETTINGS)))
def test_a_second_recorder_with_other_settings_is_refused_and_names_both(name: str, first: Any, second: Any) -> None:
    hub = Hub()
    with mine(hub, **{name: first}) as recorder:
        assert mine(hub, **{name: first}) is recorder
        assert mine(hub) is recorder, "who says nothing takes what there is"
        assert mine(HubThread(hub)) is recorder
        with pytest.raises(ConfigurationError) as refused:
            mine(hub, **{name: second})
        assert f"an open recorder with {name}=" in str(refused.value)
        assert "close() that recorder before" in str(refused.value)
        assert not recorder.is_closed
    with mine(hub, **{name: second}) as other:
        assert other is not recorder


def test_defaults_are_settings_too() -> None:
    hub = Hub()
    with mine(hub) as recorder:
        assert mine(hub, content=False, agent="client", stream_seconds=5, queue_max=10_000) is recorder
        with pytest.raises(ConfigurationError, match="with agent='client', and is to be recorded with agent='agent'"):
            mine(hub, agent="agent")
    with mine(hub, agent="planner") as recorder:
        assert mine(hub) is recorder, "an adapter's default is nothing that the caller has said"


def test_a_second_recorder_with_what_cannot_be_compared_is_refused() -> None:
    class Odd:
        def __eq__(self, other: object) -> bool:
            raise RuntimeError

        __hash__ = None  # type: ignore[assignment]

    hub = Hub()
    with mine(hub, agent="a") as recorder:
        for odd in (Odd(), [Odd()], True, 1, float("nan"), b"a"):
            with pytest.raises(ConfigurationError, match="open recorder"):
                mine(hub, agent=odd)
        assert reopened(recorder, "my-runtime", {"agent": "a"}) is recorder


def test_two_hubs_have_settings_of_their_own() -> None:
    one, other = Hub(), Hub()
    with mine(one, content=True), mine(other, content=False):
        pass


# -- agents of frameworks --


async def test_spawning_an_agent_of_a_framework_leads_to_what_makes_an_actor_of_it() -> None:
    expected = {
        "pydantic_ai.agent": "pydantic_ai.from_pydantic_ai(agent)",
        "agents.agent": "openai_agents.from_openai_agents(agent)",
        "langgraph.graph.state": "langgraph.from_langgraph(graph)",
        "langchain_core.runnables.base": 'langchain.from_langchain(runnable, name="...")',
        "google.adk.agents": "google_adk.from_google_adk(agent)",
        "crewai.agent.core": "crewai.from_crewai(agent)",
        "workflows": "llama_index.from_llama_index(agent)",
        "a2a.client": 'a2a.from_a2a(client, name="...")',
    }
    async with Hub() as hub:
        for module, call in expected.items():
            agent = fake_agent(module)
            for candidate in (agent, type(agent)):
                with pytest.raises(ConfigurationError) as refused:
                    await hub.spawn(candidate, name="fake")
                assert str(refused.value).endswith(f"to make an actor of it, write hubwire.runtimes.{call}")
        assert len(hub.agents.list()) == 0


async def test_a_factory_of_such_agents_leads_there_too(caplog: pytest.LogCaptureFixture) -> None:
    async with Hub() as hub:
        with pytest.raises(Exception, match=r"crewai\.from_crewai\(agent\)"):
            await hub.spawn(lambda: fake_agent("crewai.agent"), name="fake")
    assert "crewai.from_crewai(agent)" in caplog.text


async def test_what_is_an_actor_is_one_wherever_its_class_is_from() -> None:
    class Both(type(fake_agent("crewai.agent")), BaseActor):  # type: ignore[misc]
        async def on_envelope(self, turn: Turn, /) -> None:
            """An actor, of a class that is a framework's."""

    async with Hub() as hub:
        await hub.spawn(Both())
        await hub.spawn(Both, name="made")
        assert hub.agents.find("made")


@pytest.mark.parametrize("module", [None, 5, "", ".", "agents", "agents.planner", "google", "pydantic_aix", "my.ag2"])
async def test_other_objects_are_led_nowhere(module: Any) -> None:
    kind: Callable[[], Any] = type("Odd", (), {"__module__": module})
    async with Hub() as hub:
        with pytest.raises(ConfigurationError) as refused:
            await hub.spawn(kind(), name="odd")
    assert "hubwire.runtimes" not in str(refused.value)
