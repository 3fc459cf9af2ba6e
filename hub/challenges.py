"""Challenges with content: what a person has to do before a yes counts, and a terminal that asks for it.

A challenge makes prompts of a question and checks the replies; a renderer shows a :class:`Sheet` and returns a
:class:`Reply`. :class:`Person` puts them together into an approver::

    policy = ApprovalPolicy(approvers=[Person("ann", TerminalRenderer())])
"""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TextIO

import attrs

from ._foreign.arguments import Call, has_method
from ._state.risks import ChallengeKind
from ._values import Value
from .approvals import Answer
from .errors import ConfigurationError
from .risk import Question

__all__ = (
    "DEFAULT_CONTENTS",
    "Challenge",
    "Confirm",
    "Person",
    "Prompt",
    "Quiz",
    "Renderer",
    "Reply",
    "SeveralPeople",
    "Sheet",
    "TeachBack",
    "TerminalRenderer",
    "sheet_of",
)

_VALUE_LENGTH_MAX = 2000
_QUIZ_LENGTH_MAX = 80


@attrs.frozen(eq=False, repr=False)
class Prompt(Value):
    """What a person has to reply to, with text."""

    text: str
    choices: tuple[str, ...] = ()
    """The replies that there are; empty: any text."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Sheet(Value):
    """What a person is shown: facts about the question, and prompts. All text is printable ASCII, on one line each."""

    title: str
    facts: tuple[tuple[str, str], ...]
    prompts: tuple[Prompt, ...]


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Reply(Value):
    """What a person replied: a yes or a no, the replies to the prompts in their order, and a reason."""

    is_yes: bool
    replies: tuple[str, ...] = ()
    reason: str = ""


class Challenge(Protocol):
    """What has to be done before a yes counts."""

    def prompts(self, question: Question) -> Sequence[Prompt]:
        """Return what has to be replied to; empty: the yes is enough."""

    def check(self, question: Question, replies: Sequence[str]) -> str:
        """Return why these replies do not pass; empty if they do."""


class Renderer(Protocol):
    """Shows a sheet to a person."""

    def ask(self, sheet: Sheet) -> Reply | Awaitable[Reply]:
        """Return what the person replied. It is cancelled when there is a verdict without it."""


class Confirm:
    """A plain yes is enough."""

    def prompts(self, question: Question) -> Sequence[Prompt]:  # noqa: ARG002 - the same for all
        return ()

    def check(self, question: Question, replies: Sequence[str]) -> str:  # noqa: ARG002 - likewise
        return ""


class Quiz:
    """The person has to repeat values of arguments, ``prompts_max`` at most, or the action if there are none."""

    def __init__(self, prompts_max: int = 2) -> None:
        self._prompts_max = Call("Quiz()", ConfigurationError).whole("prompts_max", prompts_max, least=1, most=10)

    def prompts(self, question: Question) -> Sequence[Prompt]:
        return [Prompt(text) for text, _ in self._pairs(question)]

    def check(self, question: Question, replies: Sequence[str]) -> str:
        pairs = self._pairs(question)
        right = len(replies) == len(pairs) and all(
            reply.strip() == wanted for reply, (_, wanted) in zip(replies, pairs, strict=True)
        )
        return "" if right else "the quiz was not passed: a value was not repeated as it is"

    def _pairs(self, question: Question) -> list[tuple[str, str]]:
        arguments = question.arguments if isinstance(question.arguments, Mapping) else {}
        values = {name: each if type(each) is str else _written(each) for name, each in arguments.items()}
        # What is not printable can be neither read nor typed.
        short = [
            (name, each)
            for name, each in values.items()
            if 0 < len(each.strip()) <= _QUIZ_LENGTH_MAX and each.strip().isprintable()
        ]
        if not short:
            return [("Type the name of the action", question.action.strip())]
        return [(f"Type the value of {_written(name)}", each.strip()) for name, each in short[: self._prompts_max]]


class TeachBack:
    """The person has to say in own words what will happen: ``words_min`` different words, and the action's own words.

    ``check``, a function of the question and the text, replaces that: it returns whether the text is right.
    """

    def __init__(self, words_min: int = 15, check: Callable[[Question, str], bool] | None = None) -> None:
        call = Call("TeachBack()", ConfigurationError)
        self._words_min = call.whole("words_min", words_min, least=1, most=1000)
        if check is not None and not callable(check):
            raise call.refusal("check", check, "a function of a Question and a text")
        self._check = check

    def prompts(self, question: Question) -> Sequence[Prompt]:
        return [Prompt(f"Say in your own words what {_written(question.action)} will do now, and to what")]

    def check(self, question: Question, replies: Sequence[str]) -> str:
        text = replies[0] if replies else ""
        if self._check is not None:
            return "" if self._check(question, text) is True else "what was said is not what will happen"
        words = {word.strip(".,;:!?()\"'").casefold() for word in text.split()}
        if len(words) < self._words_min:
            return f"what was said has {len(words)} different words, and {self._words_min} are needed"
        named = [each for each in question.action.replace(".", "_").split("_") if each]
        if not any(each.casefold() in words for each in named):
            return f"what was said does not name {_written(question.action)}"
        return ""


class SeveralPeople:
    """Several people have to agree, which the hub counts; each of them has to pass ``each``."""

    def __init__(self, each: Challenge | None = None) -> None:
        self._each: Challenge = Quiz() if each is None else each

    def prompts(self, question: Question) -> Sequence[Prompt]:
        return self._each.prompts(question)

    def check(self, question: Question, replies: Sequence[str]) -> str:
        return self._each.check(question, replies)


DEFAULT_CONTENTS: Mapping[ChallengeKind, Challenge] = {
    ChallengeKind.AUTO_APPROVE: Confirm(),
    ChallengeKind.CONFIRM: Confirm(),
    ChallengeKind.QUIZ: Quiz(),
    ChallengeKind.TEACH_BACK: TeachBack(),
    ChallengeKind.MULTI_PARTY: SeveralPeople(),
}
"""The content of each kind of challenge."""


class Person:
    """An approver that is a person: a renderer asks, and the content of the challenge says whether a yes counts."""

    def __init__(
        self, name: str, renderer: Renderer, contents: Mapping[ChallengeKind, Challenge] = DEFAULT_CONTENTS
    ) -> None:
        call = Call("Person()", ConfigurationError)
        self._name = call.text("name", name, is_empty_ok=False)
        if not has_method(renderer, "ask"):
            raise call.refusal("renderer", renderer, "an object with ask()", "write TerminalRenderer()")
        self._renderer = renderer
        self._contents = {**DEFAULT_CONTENTS, **call.mapping("contents", contents)}

    @property
    def name(self) -> str:
        return self._name

    async def review(self, question: Question) -> Answer:
        challenge = self._contents[question.challenge or ChallengeKind.CONFIRM]
        asked = self._renderer.ask(sheet_of(question, challenge, self._name))
        reply = await asked if inspect.isawaitable(asked) else asked
        if not isinstance(reply, Reply) or not all(type(each) is str for each in (reply.reason, *reply.replies)):
            raise TypeError("a renderer has to return a Reply, made of text")
        if reply.is_yes is not True:
            return Answer(is_passed=False, reason=reply.reason)
        wrong = challenge.check(question, reply.replies)
        return Answer(is_passed=not wrong, reason=wrong or reply.reason)


def sheet_of(question: Question, challenge: Challenge, name: str = "") -> Sheet:
    """Return what a person is shown. What an agent wrote cannot pass for a line of the sheet, or move the cursor."""
    level = "" if question.risk_level is None else f" ({question.risk_level.value})"
    risk = "not scored" if question.risk_score is None else f"{question.risk_score:.2f}{level}"
    arguments = question.arguments
    listed = arguments.items() if isinstance(arguments, Mapping) else [("arguments", arguments)]
    record = f"{question.times_approved} approved, {question.times_denied} denied, {question.incidents} incidents"
    return Sheet(
        title=f"{_written(question.agent_name)} wants to do {_written(question.action)}",
        facts=(
            *((_written(key), _written(value)) for key, value in listed),
            *((("from", ", ".join(question.provenance)),) if question.provenance else ()),
            ("risk", risk),
            ("record", record),
            *((("for", _written(name)),) if name else ()),
        ),
        prompts=tuple(challenge.prompts(question)),
    )


class TerminalRenderer:
    """Asks on a terminal, one question at a time, in a thread, so that the hub goes on.

    A terminal cannot be interrupted: when there is a verdict meanwhile, the line that is typed next is thrown away.
    """

    def __init__(self, reader: TextIO | None = None, writer: TextIO | None = None) -> None:
        self._reader = reader
        self._writer = writer
        self._turn = threading.Lock()

    async def ask(self, sheet: Sheet) -> Reply:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Reply] = loop.create_future()

        def settle(reply: Reply | None, error: BaseException | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(RuntimeError(f"the terminal failed: {type(error).__name__}"))
            elif reply is not None:
                future.set_result(reply)

        def run() -> None:
            reply, failure = None, None
            try:
                with self._turn:
                    reply = None if future.done() else self._asked(sheet)
            except BaseException as error:  # noqa: BLE001 - the task that waits raises it
                failure = error
            try:
                loop.call_soon_threadsafe(settle, reply, failure)
            except RuntimeError:
                return  # the loop is closed: no task waits

        # A daemon: a program must be able to end while its terminal waits for a line.
        threading.Thread(target=run, name="hubwire terminal", daemon=True).start()
        return await future

    def _asked(self, sheet: Sheet) -> Reply:
        width = max((len(key) for key, _ in sheet.facts), default=0)
        lines = [sheet.title, *(f"  {key:<{width}}  {value}" for key, value in sheet.facts)]
        self._write("\n" + "\n".join(lines) + "\n")
        if self._line("Approve? [y/N] ").casefold() not in ("y", "yes"):
            return Reply(is_yes=False, reason=self._line("Why not? "))
        return Reply(is_yes=True, replies=tuple(self._line(f"{_prompted(each)} ") for each in sheet.prompts))

    def _line(self, prompt: str) -> str:
        self._write(prompt)
        line = (self._reader or sys.stdin).readline()
        if not line:
            raise EOFError
        return line.strip()

    def _write(self, text: str) -> None:
        writer = self._writer or sys.stdout
        writer.write(text)
        writer.flush()


def _prompted(prompt: Prompt) -> str:
    return f"{prompt.text} ({'/'.join(prompt.choices)}):" if prompt.choices else f"{prompt.text}:"


def _written(value: Any) -> str:
    """Return a value as one line of ASCII, not too long: text bare where that is unambiguous, all else as JSON."""
    if type(value) is str and value.isascii() and value.isprintable() and value.strip() == value and value:
        text = value
    else:
        text = json.dumps(value, sort_keys=True)
    return text if len(text) <= _VALUE_LENGTH_MAX else f"{text[:_VALUE_LENGTH_MAX]}... ({len(text)} characters)"
