"""Seconds a step of a DBOS workflow on SQLite: `asks_of_dbos.py FOLDER ASKERS COUNT`."""

from __future__ import annotations

import asyncio
import sys
import time

from dbos import DBOS


@DBOS.step()
async def answer(question: str) -> str:
    return question


@DBOS.workflow()
async def converse(number: int) -> None:
    for _ in range(number):
        await answer("hello")


async def main(askers: int, count: int) -> float:
    await converse(2)
    start = time.perf_counter()
    await asyncio.gather(*[converse(count // askers) for _ in range(askers)])
    return (time.perf_counter() - start) / (count // askers * askers)


if __name__ == "__main__":
    folder, askers, count = sys.argv[1:]
    DBOS(config={"name": "bench", "system_database_url": f"sqlite:///{folder}/dbos.sqlite", "log_level": "ERROR"})
    DBOS.launch()
    try:
        print(asyncio.run(main(int(askers), int(count))))
    finally:
        DBOS.destroy()
