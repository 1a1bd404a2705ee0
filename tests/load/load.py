# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Put a steady mixed load on the services of tests/apps and record every request.

About half of the requests go over new connections, half over kept ones. A reset, a timeout, a wrong status or a short body is a failed request.
Nothing is retried but what nginx closes in the moment of a GET over a kept connection, as RFC 9112 (9.3.1) has clients do; how often is told.
Ends with 0 only if none failed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import signal
import sys
from pathlib import Path

from http11 import Client, parse_address
from mix import HOSTS, KINDS, UPLOAD_AUTH, Mix, Unready, rates, send_forever
from records import Log, read_records
from summary import percentile, summarise


def parser() -> argparse.ArgumentParser:
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--address", required=True, type=parse_address, help="HOST:PORT of nginx")
    parse.add_argument("--rate", type=float, default=220.0, help="requests per second (default %(default)g)")
    parse.add_argument("--duration", type=float, default=0.0, help="seconds; 0, the default, means until SIGTERM, SIGINT or --stop-file")
    parse.add_argument("--stop-file", type=Path, help="end as soon as this file exists")
    parse.add_argument("--out", type=Path, required=True, help="one JSON line per request")
    parse.add_argument("--ledger", type=Path, help="one JSON line per acknowledged upload (default: OUT with .ledger)")
    parse.add_argument("--summary", type=Path, help="the summary as JSON")
    parse.add_argument("--services", default=",".join(HOSTS), help="only these (default %(default)s)")
    parse.add_argument("--upload-auth", default=UPLOAD_AUTH, metavar="USER:PASSWORD", help="who uploads to pypiserver")
    parse.add_argument("--timeout", type=float, default=10.0, help="seconds after which a request has failed (default %(default)g)")
    parse.add_argument("--every", type=float, default=0.0, help="tell the counts each so many seconds; 0, the default, means never")
    return parse


async def watch(options: argparse.Namespace, mix: Mix, log: Log, stop: asyncio.Event) -> None:
    """Flush the log each second; end the run when its time is over or the stop file is there; tell the counts."""
    clock = asyncio.get_running_loop().time
    begin = told = clock()
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 1.0 if not options.duration else min(1.0, max(begin + options.duration - clock(), 0.01)))
        log.flush()
        if (options.duration and clock() - begin >= options.duration) or (options.stop_file and options.stop_file.exists()):
            stop.set()
        if options.every and clock() - told >= options.every:
            told = clock()
            print(f"{told - begin:6.0f} s  {mix.sent} requests, {mix.failed} failed", flush=True)


async def run(options: argparse.Namespace) -> int:
    """The whole run; returns the exit code."""
    services = set(options.services.split(","))
    unknown = services - HOSTS.keys()
    if unknown:
        raise Unready(f"--services: {', '.join(sorted(unknown))} unknown; there are {', '.join(HOSTS)}")
    client = Client(options.address, options.timeout)
    log, ledger = Log(options.out), Log(options.ledger or options.out.with_suffix(".ledger"), flush_each=True)
    mix = Mix(client, log, ledger, options.upload_auth)
    await mix.prepare(services)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    # What is there now stays; a full collection in mid-run would only add to the latencies that are measured.
    gc.freeze()
    plan = rates(tuple(kind for kind in KINDS if kind.service in services), options.rate)
    late, dummy = await asyncio.gather(send_forever(mix, plan, stop), watch(options, mix, log, stop))
    client.close()
    log.close()
    ledger.close()
    result = summarise(read_records(options.out))
    result["generator_late_ms"] = {"p50": percentile(late, 50), "p99": percentile(late, 99), "max": max(late, default=None)}
    result["sent_again"] = client.again
    if options.summary:
        whole = options.summary.with_name(options.summary.name + ".part")
        whole.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        whole.rename(options.summary)  # whoever waits for the file finds it whole
    print(f"{result['sent']} requests at {result['rate']}/s, {result['failed']} failed", flush=True)
    for failure, times in result["failures"].items():
        print(f"  {times} x {failure}")
    if client.again:
        print(f"  {client.again} sent again, since a kept connection was closed in that moment")
    return 1 if result["failed"] else 0


def main() -> int:
    options = parser().parse_args()
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -10)  # it needs little, but at once: its own waiting for a processor would count as the services'
    try:
        return asyncio.run(run(options))
    except Unready as exc:
        print(f"load: {exc}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
