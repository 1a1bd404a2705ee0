"""Posts letters until a file appears, three ways in turn, and writes down which were acknowledged.

    send.py ADDRESS STOP LEDGER PER_SECOND
"""

import http.client
import sys
import time
from pathlib import Path


def main() -> int:
    """Ends with 1 when a request failed."""
    address, stop, ledger, rate = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4])
    number, failed = 0, []
    began = time.monotonic()
    with ledger.open("w", encoding="ascii") as handle:
        while not stop.exists():
            kind = ("mule", "spool", "queue")[number % 3]
            connection = http.client.HTTPConnection(address, timeout=60)
            try:
                connection.request("POST", f"/{kind}?id={number}", headers={"Host": "letters.test", "Content-Length": "0"})
                status = connection.getresponse().status
            except (OSError, http.client.HTTPException) as exc:
                status = repr(exc)
            connection.close()
            if status == 200:
                handle.write(f"{kind} {number}\n")
                handle.flush()
            else:
                failed.append(f"{kind} {number}: {status}")
            number += 1
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
    print(f"{number} letters, {len(failed)} failed {failed[:5]}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
