"""Seconds an ask of a tapio actor: `asks_of_tapio.py ASKERS COUNT`."""

from __future__ import annotations

import asyncio
import sys
import time

from tapio import ActorSystem, Behavior, Behaviors, Message
from tapio.actor import ActorRef


class Answer(Message):
    text: str


class Question(Message):
    text: str
    reply_to: ActorRef[Answer]


async def on_question(message: Question) -> Behavior[Question]:
    message.reply_to.tell(Answer(text=message.text))
    return Behaviors.same()


async def main(askers: int, count: int) -> float:
    async with ActorSystem("bench") as system:
        echo = system.spawn(Behaviors.receive_message(on_question), name="echo")

        async def ask(number: int) -> None:
            for _ in range(number):
                await echo.ask(lambda reply_to: Question(text="hello", reply_to=reply_to), expect=Answer)

        await asyncio.gather(*[ask(2) for _ in range(askers)])
        start = time.perf_counter()
        await asyncio.gather(*[ask(count // askers) for _ in range(askers)])
        return (time.perf_counter() - start) / (count // askers * askers)


if __name__ == "__main__":
    print(asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]))))
