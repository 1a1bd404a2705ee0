# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Words, bars and columns of the progress display. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

PHASE_WIDTH = 11
BAR_WIDTH = 16
SENTENCE = 600
"""Characters of a reason that are shown; the whole of it is elsewhere."""

_SPINNERS = {True: "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", False: "|/-\\"}
_WRAPPINGS = re.compile(r"^(?:Task failed: )?(?:Finalization of task args for .*? failed: )?(?:Error while resolving value for .*?: )?"
                        r"(?:The \w+ plugin 'gantry\.webstack\.\w+' failed: |(?:Module|Action) failed: )?")
"""What Ansible puts before our own sentence."""

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")


def spinner(turn: int, fancy: bool) -> str:
    """One of the signs that turn."""
    signs = _SPINNERS[fancy]
    return signs[turn % len(signs)]


def meter(done: int, all_of: int, fancy: bool) -> str:
    """How much of a known amount is done; nothing when it is not known."""
    if all_of <= 0:
        return ""
    full = BAR_WIDTH * max(0, min(done, all_of)) // all_of
    on, off = ("━", "╌") if fancy else ("#", "-")
    return on * full + off * (BAR_WIDTH - full)


def count(number: int, noun: str) -> str:
    """A number with its noun."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def size(number: int | None) -> str:
    """Bytes as megabytes, as the report and docker have them."""
    return "-" if number is None else f"{number / 1e6:.0f} MB"


def number(value: int | None) -> str:
    """A count, or that it is not known."""
    return "-" if value is None else str(value)


def dicts(value: Any) -> list[Mapping[str, Any]]:
    """The mappings of a list; of anything else, none."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, (list, tuple)) else []


def columns(rows: Sequence[Sequence[str]], left: int) -> list[str]:
    """Rows as lines: the first ``left`` columns to the left, the others to the right."""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) if index < left else cell.rjust(width) for index, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip()
            for row in rows]


def clean(text: str) -> str:
    """Text from a host without what would move a terminal's cursor."""
    return _ESCAPES.sub("", text)


def sentence(result: Mapping[str, Any]) -> str:
    """Why a task failed, in one line: its message, or the last thing that its command said."""
    for key in ("msg", "reason", "module_stderr", "stderr", "module_stdout", "stdout"):
        value = result.get(key)
        lines = [line.strip() for line in clean(value).splitlines() if line.strip()] if isinstance(value, str) else []
        if lines:
            line = _WRAPPINGS.sub("", lines[0]) if key in ("msg", "reason") else lines[-1]
            return line if len(line) <= SENTENCE else line[:SENTENCE - 1] + "…"
    return "it gave no reason"


def details(result: Mapping[str, Any], most: int = 3) -> list[str]:
    """What of a failed result helps at once: the first differences of a comparison, and the end of a container's log."""
    found = dicts(result.get("differences"))
    lines: list[str] = []
    for item in found[:most]:
        what = item.get("what")
        lines.append(clean(f"{item.get('request', '')}: {'; '.join(map(str, what)) if isinstance(what, list) else what}"))
        lines += [f"  {clean(str(line))}" for line in (item.get("diff") or [])[:6]]
    if len(found) > most:
        lines.append(f"and {len(found) - most} more")
    log = result.get("log")
    return lines + [f"log: {clean(str(line))}" for line in (log[-5:] if isinstance(log, list) else [])]


def note(module: str, result: Mapping[str, Any]) -> str:
    """What a module's result says in a few words, or nothing."""
    return _NOTES.get(module, lambda dummy: "")(result)


def _discover(result: Mapping[str, Any]) -> str:
    plan = result.get("plan") or {}
    services = dicts(plan.get("services"))
    blocked = [item for item in services if item.get("fit", {}).get("verdict") == "blocked" and item.get("runtime") != "container"]
    words = [count(len(services), "service")] + ([f"{len(blocked)} blocked"] if blocked else [])
    words += [f"{len(plan['unexplained'])} unexplained"] if plan.get("unexplained") else []
    return ", ".join(words) + (", by the plan that is there" if result.get("reused") else "")


def _images(result: Mapping[str, Any]) -> str:
    images = dicts(result.get("images"))
    built = sum(bool(item.get("built")) for item in images)
    return f"{count(len(images), 'image')}, {size(sum(item.get('size_bytes') or 0 for item in images))}, {built} built" if images else ""


def _parity(result: Mapping[str, Any]) -> str:
    services = dicts(result.get("services"))
    requests, files = (sum(item.get(key) or 0 for item in services) for key in ("requests", "files"))
    different = sum(len(item.get("differences") or []) for item in services)
    told = f"{different} different" if different else "no difference"
    return f"{count(requests, 'request')} and {count(files, 'file')} compared, {told}" if services else ""


def _switch(result: Mapping[str, Any]) -> str:
    services = dicts(result.get("services"))
    by = {place: sum(item.get("runtime") == place for item in services) for place in ("container", "host")}
    watched = dicts(result.get("watched"))
    words = [f"{by['container']} in containers"] * bool(by["container"]) + [f"{by['host']} on the host"] * bool(by["host"])
    requests, errors = (sum(item.get(key) or 0 for item in watched) for key in ("requests", "errors"))
    words += [f"{requests} requests watched, {errors} failed"] * bool(watched)
    return ", ".join(words)


def _status(result: Mapping[str, Any]) -> str:
    services = dicts(result.get("services"))
    wrong = sum(bool(item.get("problem")) for item in services)
    return f"{_switch(result)}{f', {wrong} with a problem' if wrong else ''}" if services else "no services"


_NOTES = {"discover": _discover, "image_harvest": _images, "parity": _parity, "switch": _switch, "status_info": _status,
          "candidate": lambda result: count(len(dicts(result.get("candidates"))), "container") if result.get("candidates") else ""}
