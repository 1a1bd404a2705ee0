# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Prove that everything the services acknowledged under load is still there, unchanged, and none of it twice.

With --ticks also that the guestbook's scheduled job ran exactly once each minute. Ends with 1 if anything is missing.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from http11 import Address, parse_address
from mix import HOSTS
from records import Promise, read_ledger

Fetch = Callable[[str, str], bytes]
"""From (Host header, path) to the body of an answer with status 200; raises LookupError for any other."""

TICK_GRACE = 15.0
"""Seconds that the timer and the job may take before a minute without a line counts as missed."""


def fetcher(address: Address) -> Fetch:
    """A Fetch over one kept connection."""
    connection = http.client.HTTPConnection(*address, timeout=10)

    def fetch(host: str, path: str) -> bytes:
        connection.request("GET", path, headers={"Host": host})
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise LookupError(f"{host}{path}: status {response.status}")
        return body

    return fetch


def entry_faults(promises: Sequence[Promise], fetch: Fetch) -> list[str]:
    """One sentence per guestbook entry that is missing, there twice, or whose picture is not what was sent."""
    if not promises:
        return []
    host = HOSTS["guestbook"]
    entries = json.loads(fetch(host, "/entries.json"))["entries"]
    times = Counter(entry["text"] for entry in entries)
    pictures = {entry["text"]: entry["picture"] for entry in entries}
    faults = [f"entry {text!r} is there {number} times" for text, number in sorted(times.items()) if number > 1]
    for promise in promises:
        if not times[promise.name]:
            faults.append(f"entry {promise.name!r} is missing")
        else:
            faults += _content_faults(f"the picture of entry {promise.name!r}", host, pictures[promise.name] or "/nowhere", promise, fetch)
    return faults


def package_faults(promises: Sequence[Promise], fetch: Fetch) -> list[str]:
    """One sentence per package that the simple index lacks or lists twice, or whose file is not what was sent."""
    host = HOSTS["pypiserver"]
    faults = []
    links: dict[str, list[str]] = {}
    for promise in promises:
        page = f"/simple/{promise.project}/"
        if page not in links:
            try:
                body = fetch(host, page).decode()
            except LookupError as exc:
                body = ""
                faults.append(str(exc))
            links[page] = [urlsplit(urljoin(page, link)).path for link in re.findall(r'href="([^"]+)"', body)]
        found = [link for link in links[page] if link.rpartition("/")[2] == promise.name]
        if len(found) != 1:
            faults.append(f"package {promise.name} is listed {len(found)} times")
        else:
            faults += _content_faults(f"package {promise.name}", host, found[0], promise, fetch)
    return faults


def _content_faults(what: str, host: str, path: str, promise: Promise, fetch: Fetch) -> list[str]:
    try:
        content = fetch(host, path)
    except LookupError as exc:
        return [f"{what} cannot be had: {exc}"]
    return [] if hashlib.sha256(content).hexdigest() == promise.sha256 else [f"{what} is not what was sent"]


def expected_minutes(since: float, until: float) -> list[str]:
    """The minutes (UTC, as ``tick`` writes them) in which the timer must have run the job between two epoch seconds."""
    first = -int(-since // 60)
    last = int((until - TICK_GRACE) // 60)
    return [datetime.fromtimestamp(minute * 60, UTC).strftime("%Y-%m-%dT%H:%MZ") for minute in range(first, last + 1)]


def tick_faults(log: str, since: float, until: float) -> list[str]:
    """One sentence per minute of the run without a tick, and per minute (of all that were ever logged) with several."""
    times = Counter(log.split())
    faults = [f"no tick at {minute}" for minute in expected_minutes(since, until) if not times[minute]]
    return faults + [f"{number} ticks at {minute}" for minute, number in sorted(times.items()) if number > 1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", required=True, type=parse_address, help="HOST:PORT of nginx")
    parser.add_argument("--ledger", required=True, type=Path, help="what load.py wrote with --ledger")
    parser.add_argument("--ticks", type=Path, help="a copy of the guestbook's ticks.log")
    parser.add_argument("--since", type=float, help="epoch second from which ticks are expected")
    parser.add_argument("--until", type=float, help="epoch second until which ticks are expected")
    options = parser.parse_args()
    if options.ticks and None in (options.since, options.until):
        parser.error("--ticks needs --since and --until")
    promises = read_ledger(options.ledger)
    entries = [promise for promise in promises if promise.what == "entry"]
    packages = [promise for promise in promises if promise.what == "package"]
    fetch = fetcher(options.address)
    faults = entry_faults(entries, fetch) + package_faults(packages, fetch)
    told = f"{len(entries)} entries and {len(packages)} packages were acknowledged"
    if options.ticks:
        faults += tick_faults(options.ticks.read_text(encoding="ascii"), options.since, options.until)
        told += f", {len(expected_minutes(options.since, options.until))} ticks expected"
    print(f"{told}: " + (f"{len(faults)} faults" if faults else "all there, each once"))
    for fault in faults:
        print(f"  {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
