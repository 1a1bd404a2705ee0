"""``ask_steadily.py ADDRESS RATE NAMES``: GET / of each service in turn, so many a second, until standard input ends; then [sent, latency, name] as JSON.

Open loop: a request is due at its time whether or not the ones before it were answered, and its latency counts from then.
``sent`` is in seconds since the epoch.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time


async def ask(address: str, name: str, due: float, found: list[tuple[float, float, str]]) -> None:
    """One request over a connection of its own; a failed one counts as a minute."""
    clock, sent = asyncio.get_running_loop().time, time.time()
    try:
        reader, writer = await asyncio.open_connection(address, 80)
        writer.write(f"GET / HTTP/1.1\r\nHost: {name}.test\r\nConnection: close\r\n\r\n".encode())
        answer = await asyncio.wait_for(reader.read(), 30)
        writer.close()
        found.append((sent, clock() - due if b" 200 " in answer[:16] else 60.0, name))
    except (OSError, TimeoutError):
        found.append((sent, 60.0, name))


async def main(address: str, rate: float, names: list[str]) -> None:
    """The whole run."""
    loop = asyncio.get_running_loop()
    end = loop.run_in_executor(None, sys.stdin.read)
    found: list[tuple[float, float, str]] = []
    tasks: set[asyncio.Task[None]] = set()
    due, number = loop.time(), 0
    while not end.done():
        task = asyncio.create_task(ask(address, names[number % len(names)], due, found))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        number, due = number + 1, due + 1 / rate
        await asyncio.sleep(max(0.0, due - loop.time()))
    await asyncio.gather(*tasks)
    print(json.dumps(found))


asyncio.run(main(sys.argv[1], float(sys.argv[2]), sys.argv[3].split(",")))
