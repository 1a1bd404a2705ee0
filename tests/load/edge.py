# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Put a steady load on nginx itself, over HTTP and HTTPS: new and kept connections, answers that take long, slow downloads.

Each refused or reset connection, wrong status, short body and time-out is a failure. A kept connection that the server closed
before the first byte of an answer is not one: the request is sent again over a new connection, once, as RFC 9112 (9.3.1) has clients do;
how often that was is told. Ends with 0 only if nothing failed.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import json
import ssl
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Counts:
    """What came out of it; ``failures`` by kind of request and what happened."""

    sent: collections.Counter[str] = field(default_factory=collections.Counter)
    failures: collections.Counter[str] = field(default_factory=collections.Counter)
    again: int = 0
    longest: float = 0.0


class Closed(Exception):
    """The server closed a kept connection before it answered."""


class Connection:
    """One connection; ``tls`` or not."""

    def __init__(self, host: str, tls: bool) -> None:
        self.host, self.tls, self.used = host, tls, False

    async def open(self) -> Connection:
        context = None
        if self.tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.reader, self.writer = await asyncio.open_connection(self.host, 443 if self.tls else 80, ssl=context)
        return self

    async def ask(self, name: str, path: str, keep: bool, rate: float = 0.0) -> tuple[int, int]:
        """(status, bytes of the body); ``rate`` in bytes/s slows reading down."""
        lines = [f"GET {path} HTTP/1.1", f"Host: {name}", "Connection: " + ("keep-alive" if keep else "close"), "", ""]
        head = b""
        try:
            self.writer.write("\r\n".join(lines).encode())
            await self.writer.drain()
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError) as exc:
            if self.used and not getattr(exc, "partial", b""):
                raise Closed from exc
            raise
        self.used = True
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
        length, got = int(fields[b"content-length"]), 0
        while got < length:
            data = await self.reader.read(min(65536, length - got))
            if not data:
                raise EOFError(f"{got} of {length} bytes")
            got += len(data)
            if rate:
                await asyncio.sleep(len(data) / rate)
        return int(head.split()[1]), got

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self.writer.close()


async def one(options: argparse.Namespace, counts: Counts, kind: str, tls: bool, path: str, kept: Connection | None = None,
              rate: float = 0.0) -> Connection | None:
    """One request; the connection when it was kept."""
    kind += " https" if tls else " http"
    counts.sent[kind] += 1
    begin = time.monotonic()
    try:
        connection = kept or await Connection(options.host, tls).open()
        try:
            status, size = await asyncio.wait_for(connection.ask(options.name, path, kind.startswith("kept"), rate), options.timeout)
        except Closed:
            connection.close()
            counts.again += 1
            connection = await Connection(options.host, tls).open()
            status, size = await asyncio.wait_for(connection.ask(options.name, path, kind.startswith("kept"), rate), options.timeout)
        if status != 200 or not size:
            raise ValueError(f"status {status}, {size} bytes")
    except Exception as exc:  # whatever it is, it is told
        counts.failures[f"{kind}: {type(exc).__name__}: {exc}"] += 1
        return None
    counts.longest = max(counts.longest, time.monotonic() - begin) if kind.startswith(("new", "kept")) else counts.longest
    if kind.startswith("kept"):
        return connection
    connection.close()
    return None


async def fresh(options: argparse.Namespace, counts: Counts, stop: asyncio.Event, tls: bool) -> None:
    """New connections at a steady rate, each waited for by itself."""
    tasks: set[asyncio.Task[Connection | None]] = set()
    while not stop.is_set():
        task = asyncio.create_task(one(options, counts, "new", tls, options.quick))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        await asyncio.sleep(1 / options.rate)
    await asyncio.gather(*tasks)


async def kept(options: argparse.Namespace, counts: Counts, stop: asyncio.Event, tls: bool, pause: float) -> None:
    """One connection kept as long as the server lets it."""
    connection: Connection | None = None
    while not stop.is_set():
        connection = await one(options, counts, "kept", tls, options.quick, connection)
        await asyncio.sleep(pause)


async def long(options: argparse.Namespace, counts: Counts, stop: asyncio.Event, tls: bool, kind: str, path: str, rate: float = 0.0) -> None:
    """Answers that take long, one after the other: those of a slow application, or downloads at ``rate`` bytes/s."""
    while path and not stop.is_set():
        await one(options, counts, kind, tls, path, rate=rate)


async def watch(options: argparse.Namespace, stop: asyncio.Event) -> None:
    end = time.monotonic() + options.seconds
    while not stop.is_set():
        await asyncio.sleep(0.2)
        if time.monotonic() > end or (options.stop_file and options.stop_file.exists()):
            stop.set()


async def run(options: argparse.Namespace) -> int:
    counts, stop = Counts(), asyncio.Event()
    work = [watch(options, stop)]
    for tls in (False, True):
        work += [fresh(options, counts, stop, tls), long(options, counts, stop, tls, "slow", options.slow),
                 long(options, counts, stop, tls, "download", options.big, options.big_bytes / 10)]
        work += [kept(options, counts, stop, tls, 0.05 * (number + 1)) for number in range(4)]
    await asyncio.gather(*work)
    result = {"sent": dict(counts.sent), "requests": counts.sent.total(), "failed": counts.failures.total(), "failures": dict(counts.failures),
              "again": counts.again, "longest": round(counts.longest, 3)}
    if options.summary:
        options.summary.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result))
    return 1 if counts.failures else 0


def main() -> int:
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--host", required=True, help="nginx's address")
    parse.add_argument("--name", required=True, help="the Host header")
    parse.add_argument("--quick", default="/", help="a path that is answered at once (default %(default)s)")
    parse.add_argument("--slow", default="", help="a path that is answered after seconds")
    parse.add_argument("--big", default="", help="a large file")
    parse.add_argument("--big-bytes", type=int, default=10_000_000, help="its size (default %(default)s)")
    parse.add_argument("--rate", type=float, default=40.0, help="new connections a second, over HTTP and over HTTPS each (default %(default)g)")
    parse.add_argument("--seconds", type=float, default=3600.0)
    parse.add_argument("--stop-file", type=Path, help="end as soon as this file exists")
    parse.add_argument("--timeout", type=float, default=60.0, help="seconds after which a request has failed (default %(default)g)")
    parse.add_argument("--summary", type=Path, help="the result as JSON")
    return asyncio.run(run(parse.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
