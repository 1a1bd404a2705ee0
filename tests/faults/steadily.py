"""Put a light steady load on sites of one or several hosts until a file appears, and write down what was sent and what failed.

    steadily.py --stop-file FILE --summary FILE [--rate 20] ADDRESS=SITE[/PATH],SITE[/PATH],...

Requests are GETs over new connections, ``rate`` a second for each host; every answer but 200 is a failed one. Nothing is retried.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from steady import Load


def page(text: str) -> tuple[str, str]:
    """SITE[/PATH] as (site, path)."""
    site, slash, path = text.partition("/")
    return site, slash + path or "/"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stop-file", type=Path, required=True)
    parser.add_argument("--summary", type=Path, required=True, help="{address: {sent, failed, failures}}, written at the end")
    parser.add_argument("--rate", type=float, default=20)
    parser.add_argument("hosts", nargs="+")
    options = parser.parse_args()
    loads = []
    for host in options.hosts:
        address, _sign, pages = host.partition("=")
        loads.append(Load(address, [page(text) for text in pages.split(",")], options.rate, threads=2))
    for load in loads:
        load.start()
    while not options.stop_file.exists():
        time.sleep(0.2)
    for load in loads:
        load.stop()
    told = {load.address: {"sent": load.sent, "failed": len(load.failures), "failures": [failure.what for failure in load.failures[:20]]} for load in loads}
    options.summary.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
