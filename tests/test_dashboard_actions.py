"""What people do on a dashboard: deciding approvals, retrying and discarding dead letters."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from hubwire import Approval, Hub
from hubwire.approvals import ApprovalPolicy, ChallengeKind, FunctionApprover, RiskLevel
from hubwire.errors import NotApproved
from hubwire.events import AdminActed, Event, GenericEvent
from hubwire.listeners import AuditLog
from hubwire.listeners.dashboard import Access, Dashboard, Person
from hubwire.stores import MemoryStore
from support import until
from support.dashboard import sign_in, signed_in, stranger

TOKENS = {name: f"token-of-{name}-{'x' * 20}" for name in ("ann", "bob", "eve", "red")}
PEOPLE = [
    Person(name="ann", role="operate", token=TOKENS["ann"], contents=True),
    Person(name="bob", role="operate", token=TOKENS["bob"], tenants=("acme",), contents=True),
    Person(name="eve", role="operate", token=TOKENS["eve"]),
    Person(name="red", role="read", token=TOKENS["red"], contents=True),
]
SECRET = "sk-proj-AbCdEf0123456789AbCdEf0123456789"
HOSTILE: list[Any] = [None, 0, True, [], {}, "", "\x00", "\ud800", "x" * 5000, {"a": 1}, ["a"], 1e308]


@asynccontextmanager
async def asked(policy: ApprovalPolicy | None = None, **given: Any) -> AsyncIterator[tuple[Hub, Any, str]]:
    """A hub with an agent that waits for a person; the task that waits, and the id of the approval."""
    store = MemoryStore()
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        agent = await hub.agents.register("refunds")
        arguments = {"amount": 12, "mail": "jane@example.com"}
        gate = asyncio.create_task(hub.approvals.gate(agent, "refund", arguments=arguments, policy=policy, **given))
        await until(lambda: bool(hub.approvals.pending()))
        try:
            yield hub, gate, hub.approvals.pending()[0].approval_id
        finally:
            gate.cancel()
            await asyncio.wait([gate])


@asynccontextmanager
async def as_person(hub: Hub, name: str = "ann") -> AsyncIterator[httpx2.AsyncClient]:
    async with signed_in(Dashboard(hub, access=Access(PEOPLE)), TOKENS[name]) as client:
        yield client


async def acted(hub: Hub) -> list[AdminActed]:
    await hub.flush()
    found: list[Event] = []
    async for event in hub.events(after=-1):
        found.append(event)
        if event.seq == hub.statistics().applied - 1:
            break
    return [event for event in found if isinstance(event, AdminActed)]


def code_of(answer: httpx2.Response) -> str:
    found: str = answer.json()["error"]["code"]
    return found


# --- approvals --------------------------------------------------------------------------------------------------------


async def test_a_person_approves_and_the_agent_goes_on() -> None:
    async with asked() as (hub, gate, which), as_person(hub) as client:
        found = (await client.get(f"api/approvals/{which}")).json()
        assert found["approval"]["state"] == "waiting"
        assert found["may_decide"] is True
        assert found["arguments"] == {"amount": 12, "mail": "[redacted:email]"}
        answer = await client.post(f"api/approvals/{which}/decision", json={"verdict": "approve", "reason": "fine"})
        assert answer.status_code == 200
        assert answer.json()["approval"]["state"] == "approved"
        assert answer.json()["approval"]["decided_by"] == ["ann"]
        approval = await gate
        assert isinstance(approval, Approval)
        assert (await client.get(f"api/approvals/{which}")).json()["may_decide"] is False


QUIZ = ApprovalPolicy(challenges=dict.fromkeys(RiskLevel, ChallengeKind.QUIZ))


async def test_a_quiz_is_passed_before_a_yes_counts() -> None:
    """Its answers are what the person is shown; without them, or with others, nothing is decided."""
    async with asked(QUIZ) as (hub, gate, which), as_person(hub) as client:
        challenge = (await client.get(f"api/approvals/{which}")).json()["challenge"]
        assert challenge["kind"] == "quiz"
        assert [each["text"] for each in challenge["prompts"]] == [
            "Type the value of amount",
            "Type the value of mail",
        ]
        place = f"api/approvals/{which}/decision"
        for replies in ([], ["12"], ["12", "jane@example.com"], ["12", ""], ["[redacted:email]", "12"]):
            answer = await client.post(place, json={"verdict": "approve", "replies": replies})
            assert (answer.status_code, code_of(answer)) == (409, "challenge"), replies
            assert answer.json()["challenge"] == challenge
        assert [each.approval_id for each in hub.approvals.pending()] == [which]
        assert await acted(hub) == [], "what was not asked for in the end is no act"
        answer = await client.post(place, json={"verdict": "approve", "replies": [" 12 ", "[redacted:email]"]})
        assert answer.json()["approval"]["state"] == "approved"
        await gate


async def test_a_no_needs_no_quiz() -> None:
    async with asked(QUIZ) as (hub, gate, which), as_person(hub) as client:
        answer = await client.post(f"api/approvals/{which}/decision", json={"verdict": "deny", "reason": "too much"})
        assert answer.json()["approval"]["state"] == "denied"
        with pytest.raises(NotApproved):
            await gate


async def test_a_quiz_tells_nothing_of_what_is_hidden() -> None:
    """Who does not see the arguments repeats the action."""
    async with asked(QUIZ) as (hub, gate, which), as_person(hub, "eve") as client:
        found = (await client.get(f"api/approvals/{which}")).json()
        assert [each["text"] for each in found["challenge"]["prompts"]] == ["Type the name of the action"]
        assert "amount" not in str(found["challenge"])
        await client.post(f"api/approvals/{which}/decision", json={"verdict": "approve", "replies": ["refund"]})
        await gate


async def test_replies_that_are_none_are_refused() -> None:
    async with asked(QUIZ) as (hub, _, which), as_person(hub) as client:
        for hostile in [each for each in HOSTILE if each != []] + [["x" * 2001], ["x"] * 21]:
            content = json.dumps({"verdict": "approve", "replies": hostile})
            answer = await client.post(
                f"api/approvals/{which}/decision", content=content, headers={"Content-Type": "application/json"}
            )
            assert answer.status_code in (400, 409), hostile
        assert hub.approvals.pending()


async def test_a_denial_says_why_and_the_agent_reads_it() -> None:
    async with asked() as (hub, gate, which), as_person(hub) as client:
        for reason in ("", "   "):
            answer = await client.post(f"api/approvals/{which}/decision", json={"verdict": "deny", "reason": reason})
            assert (answer.status_code, code_of(answer)) == (400, "invalid")
        answer = await client.post(f"api/approvals/{which}/decision", json={"verdict": "deny", "reason": "too much"})
        assert answer.json()["approval"]["state"] == "denied"
        with pytest.raises(NotApproved, match="too much"):
            await gate


async def test_a_decision_is_in_the_log_with_its_person_before_it_is_made() -> None:
    async with asked() as (hub, _, which), as_person(hub) as client:
        await client.post(f"api/approvals/{which}/decision", json={"verdict": "approve", "reason": "fine"})
        [event] = await acted(hub)
        assert (event.actor, event.action, event.target) == ("ann", "approval.approve", which)
        detail: Any = event.detail
        assert (detail["reason"], detail["role"], detail["from"]) == ("fine", "operate", "127.0.0.1")
        kinds = [each["kind"] for each in (await client.get("api/events?limit=1000")).json()["rows"]]
        assert kinds.index("admin.acted") < kinds.index("approval.approved")


async def test_who_comes_too_late_is_told_who_was_faster() -> None:
    async with asked() as (hub, _, which), as_person(hub) as client:
        await hub.approvals.answer(which, "a.okafor", is_passed=False, reason="not today")
        answer = await client.post(f"api/approvals/{which}/decision", json={"verdict": "approve"})
        assert (answer.status_code, code_of(answer)) == (409, "too_late")
        decided = answer.json()["decided"]
        assert (decided["by"], decided["verdict"], decided["reason"]) == (["a.okafor"], "denied", "not today")
        assert await acted(hub) == []


async def test_of_two_at_once_one_is_too_late() -> None:
    async with asked() as (hub, _, which), as_person(hub) as client:
        posts = [client.post(f"api/approvals/{which}/decision", json={"verdict": "approve"}) for _ in range(2)]
        answers = await asyncio.gather(*posts)
        assert sorted(each.status_code for each in answers) == [200, 409]


async def test_who_may_only_look_decides_nothing() -> None:
    async with asked() as (hub, _, which), as_person(hub, "red") as client:
        found = (await client.get(f"api/approvals/{which}")).json()
        assert found["may_decide"] is False
        assert "role operate" in found["why_not"]
        answer = await client.post(f"api/approvals/{which}/decision", json={"verdict": "approve"})
        assert (answer.status_code, code_of(answer)) == (403, "not_allowed")
        assert hub.approvals.pending()
        assert await acted(hub) == []


async def test_who_is_not_asked_cannot_answer() -> None:
    async def never(_: Any) -> bool:
        await asyncio.sleep(3600)
        return True

    policy = ApprovalPolicy(approvers=[FunctionApprover("a.okafor", never)])
    async with asked(policy) as (hub, _, which), as_person(hub) as client:
        found = (await client.get(f"api/approvals/{which}")).json()
        assert found["may_decide"] is False
        assert "a.okafor" in found["why_not"]
        answer = await client.post(f"api/approvals/{which}/decision", json={"verdict": "approve"})
        assert answer.status_code == 409
        assert hub.approvals.pending()


async def test_arguments_are_hidden_from_whom_contents_are() -> None:
    async with asked() as (hub, _, which), as_person(hub, "eve") as client:
        answer = await client.get(f"api/approvals/{which}")
        assert answer.json()["arguments"] is None
        assert "jane" not in answer.text
        assert "amount" not in answer.text


async def test_another_tenant_has_no_such_approval() -> None:
    async with asked() as (hub, _, which), as_person(hub, "bob") as client:
        assert (await client.get(f"api/approvals/{which}")).status_code == 404
        answer = await client.post(f"api/approvals/{which}/decision", json={"verdict": "approve"})
        assert (answer.status_code, code_of(answer)) == (404, "not_found")
        assert hub.approvals.pending()
        assert await acted(hub) == []


@pytest.mark.parametrize("verdict", HOSTILE, ids=range(len(HOSTILE)))
async def test_a_verdict_that_is_none_changes_nothing(verdict: Any) -> None:
    async with asked() as (hub, _, which), as_person(hub) as client:
        if verdict == "\ud800":
            content = b'{"verdict": "\\ud800"}'
        else:
            content = httpx2.Request("POST", "http://x", json={"verdict": verdict}).read()
        answer = await client.post(
            f"api/approvals/{which}/decision", content=content, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == 400
        reasoned = await client.post(
            f"api/approvals/{which}/decision",
            content=content.replace(b'"verdict"', b'"verdict": "deny", "reason"'),
            headers={"Content-Type": "application/json"},
        )
        if not isinstance(verdict, str) or len(verdict) in (0, 5000) or verdict == "\ud800":
            assert reasoned.status_code == 400
            assert hub.approvals.pending()


@pytest.mark.parametrize("which", ["nope", "%00", "a" * 3000, "..%2f..%2fetc", "%ff"])
async def test_an_approval_that_there_is_not(which: str) -> None:
    async with asked() as (hub, _, _), as_person(hub) as client:
        for answer in (
            await client.get(f"api/approvals/{which}"),
            await client.post(f"api/approvals/{which}/decision", json={"verdict": "approve"}),
        ):
            assert answer.status_code in (400, 404), answer.text
        assert hub.approvals.pending()


async def test_a_log_decides_nothing() -> None:
    async with asked() as (hub, _, which):
        await hub.flush()
        store: Any = next(each.listener for each in hub.attachments if isinstance(each.listener, AuditLog)).store
        dashboard = Dashboard.of_log(store, access=Access(PEOPLE))
        async with signed_in(dashboard, TOKENS["ann"]) as client:
            found = (await client.get(f"api/approvals/{which}")).json()
            assert found["may_decide"] is False
            assert "reads a log" in found["why_not"]
            answer = await client.post(f"api/approvals/{which}/decision", json={"verdict": "approve"})
            assert (answer.status_code, code_of(answer)) == (409, "no_hub")


# --- dead letters -----------------------------------------------------------------------------------------------------


class Sick:
    """A function that fails until it is well."""

    def __init__(self) -> None:
        self.is_well = False
        self.seen: list[int] = []

    async def __call__(self, event: Event) -> None:
        if not self.is_well:
            raise ValueError(f"no route to jane@example.com with {SECRET}")
        self.seen.append(event.seq)


@asynccontextmanager
async def failing(count: int = 3, tenant: str | None = None) -> AsyncIterator[tuple[Hub, Sick]]:
    store, sick = MemoryStore(), Sick()
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        face: Any = hub if tenant is None else hub.for_tenant(tenant)
        face.attach(sick, pattern="x.*", name="sick")
        for number in range(count):
            await face.emit(GenericEvent(kind="x.y", data={"number": number}))
        await until(lambda: sum(each.dead_letters for each in hub.statistics().attachments) == count)
        yield hub, sick


async def letters(client: httpx2.AsyncClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await client.get("api/dead-letters")).json()["rows"]
    return found


async def test_dead_letters_are_listed_without_what_is_secret() -> None:
    async with failing() as (hub, _), as_person(hub) as client:
        answer = await client.get("api/dead-letters")
        rows = answer.json()["rows"]
        assert answer.json()["total"] == 3
        assert [(row["listener"], row["kind"], row["attempts"]) for row in rows] == [("sick", "x.y", 1)] * 3
        assert "[redacted:email]" in rows[0]["error"]
        assert SECRET not in answer.text
        assert len((await client.get("api/dead-letters?limit=2")).json()["rows"]) == 2


async def test_retrying_delivers_and_says_what_fails_again() -> None:
    async with failing() as (hub, sick), as_person(hub) as client:
        ids = [row["id"] for row in await letters(client)]
        answer = await client.post("api/dead-letters/retry", json={"ids": ids})
        assert answer.json()["done"] == 0
        assert len(answer.json()["failed"]) == 3
        assert SECRET not in answer.text
        sick.is_well = True
        answer = await client.post("api/dead-letters/retry", json={"ids": [*ids, "nope", ids[0]]})
        assert answer.json()["done"] == 3
        assert [each["id"] for each in answer.json()["failed"]] == ["nope"]
        assert len(sick.seen) == 3
        assert await letters(client) == []


async def test_discarding_is_in_the_log_before() -> None:
    async with failing() as (hub, _), as_person(hub) as client:
        ids = [row["id"] for row in await letters(client)]
        answer = await client.post("api/dead-letters/discard", json={"ids": ids[:2], "reason": "a test"})
        assert answer.json() == {"done": 2, "failed": []}
        assert [row["id"] for row in await letters(client)] == ids[2:]
        [event] = await acted(hub)
        detail: Any = event.detail
        assert (event.actor, event.action) == ("ann", "dead_letters.discard")
        assert (detail["reason"], list(detail["ids"])) == ("a test", ids[:2])


async def test_who_may_only_look_discards_nothing() -> None:
    async with failing(1) as (hub, _), as_person(hub, "red") as client:
        [row] = await letters(client)
        for what in ("retry", "discard"):
            answer = await client.post(f"api/dead-letters/{what}", json={"ids": [row["id"]]})
            assert (answer.status_code, code_of(answer)) == (403, "not_allowed")
        assert await letters(client) == [row]


async def test_a_person_of_a_tenant_has_the_letters_of_that_alone() -> None:
    async with failing(1) as (hub, _), as_person(hub, "bob") as client:
        assert await letters(client) == []
        async with as_person(hub, "ann") as other:
            [row] = await letters(other)
        for what in ("retry", "discard"):
            answer = await client.post(f"api/dead-letters/{what}", json={"ids": [row["id"]]})
            assert (answer.status_code, answer.json()["done"]) == (200, 0)
    async with failing(1, "acme") as (hub, _), as_person(hub, "bob") as client:
        [row] = await letters(client)
        answer = await client.post("api/dead-letters/discard", json={"ids": [row["id"]]})
        assert answer.json()["done"] == 1
        assert await letters(client) == []


@pytest.mark.parametrize("ids", HOSTILE, ids=range(len(HOSTILE)))
async def test_ids_that_are_none_change_nothing(ids: Any) -> None:
    async with failing(1) as (hub, _), as_person(hub) as client:
        content = (
            b'{"ids": "\\ud800"}' if ids == "\ud800" else httpx2.Request("POST", "http://x", json={"ids": ids}).read()
        )
        for what in ("retry", "discard"):
            answer = await client.post(
                f"api/dead-letters/{what}", content=content, headers={"Content-Type": "application/json"}
            )
            assert answer.status_code == (200 if ids == ["a"] else 400)
        assert len(await letters(client)) == 1


async def test_nobody_decides_who_has_not_signed_in() -> None:
    async with asked() as (hub, _, which), stranger(Dashboard(hub, access=Access(PEOPLE))) as client:
        for path, body in (
            (f"api/approvals/{which}/decision", {"verdict": "approve"}),
            ("api/dead-letters/retry", {"ids": ["a"]}),
            ("api/dead-letters/discard", {"ids": ["a"]}),
        ):
            answer = await client.post(path, json=body, headers={"Sec-Fetch-Site": "same-origin"})
            assert (answer.status_code, code_of(answer)) == (401, "not_signed_in")
        await sign_in(client, TOKENS["ann"])
        assert hub.approvals.pending()
