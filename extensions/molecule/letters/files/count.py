"""Compares the ledger of the letters service with what was acknowledged: every letter once, every minute's tick once, and never two of a kind.

    count.py LEDGER ACKNOWLEDGED FIRST LAST      (FIRST and LAST: epoch seconds between which each full minute has its ticks)
"""

import sys
import time
from collections import Counter
from pathlib import Path


def main() -> int:
    """Ends with 1 when something is missing, or there twice."""
    done = Counter(Path(sys.argv[1]).read_text(encoding="ascii").splitlines())
    sent = Path(sys.argv[2]).read_text(encoding="ascii").split("\n")[:-1]
    minutes = range(int(float(sys.argv[3])) // 60 + 1, int(float(sys.argv[4])) // 60)
    expected = sent + [line.replace("spool", "begun").replace("queue", "taken") for line in sent if not line.startswith("mule")]
    expected += [time.strftime(f"{kind} %Y-%m-%dT%H:%MZ", time.gmtime(minute * 60)) for minute in minutes for kind in ("cron", "crontab")]
    faults = [f"{line}: {done[line]} times" for line in expected if done[line] != 1]
    faults += [f"{line}: {number} times" for line, number in done.items() if line.startswith(("two", "cron")) and (number > 1 or line.startswith("two"))]
    print(f"{len(sent)} letters and {len(minutes)} minutes: " + ("each once" if not faults else f"{len(faults)} faults: {', '.join(faults[:20])}"))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
