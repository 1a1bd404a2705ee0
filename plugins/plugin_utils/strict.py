# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Why a strict run fails. Pure, and apart from the ledger: a filter imports it, and what a filter imports is loaded anew in every task's worker."""

from __future__ import annotations

from collections.abc import Sequence


def refusal(host: str, unexplained: Sequence[dict[str, str]], report: str = "") -> str:
    """Why a strict run fails, in one sentence with the first few; empty when it does not."""
    blind = [item for item in unexplained if item["kind"] == "blind"]
    others = [item for item in unexplained if item["kind"] != "blind"]
    if not unexplained:
        return ""
    counts = []
    if others:
        counts.append(f"{len(others)} thing{' is' if len(others) == 1 else 's are'} unexplained")
    if blind:
        counts.append(f"{len(blind)} place{'' if len(blind) == 1 else 's'} could not be looked at")
    first = "; ".join(some([f"{item['kind']} {item['what']}"[:160] for item in [*others, *blind]], 4))
    where = f" (all of them in {report})" if report else ""
    return f"webstack_strict: on {host} {' and '.join(counts)}: {first}{where}; remove them, or say in webstack_kept why they stay"


def some(items: Sequence[str], most: int) -> list[str]:
    """The first ``most`` of them, and how many more there are."""
    """The first ``most`` of them, and how many more there are."""
    return [*items[:most], f"{len(items) - most} more"] if len(items) > most else list(items)
