# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What becomes of a host's plan file when discover finds a plan, and of the directory's index. Pure: texts in, texts out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import yaml

from ansible_collections.gantry.webstack.plugins.plugin_utils import model, plan_merge, plan_text, report_index

DISCOVERED = ".discovered"
"""Directory, beside the plans, of the plans as discover wrote them last: what differs from these are edits."""


@dataclass
class Update:
    """The plan as it is now, its file's text, and the text that discover alone would have written."""

    plan: model.Plan
    text: str
    base: str
    edits: list[dict[str, str]] = field(default_factory=list)
    conflicts: list[dict[str, str]] = field(default_factory=list)


def update(found: model.Plan, now: str | None, last: str | None, where: str = "plan", where_last: str = "the last plan") -> Update:
    """What a plan file has to hold.

    :param now: the file's text, which a person may have edited; None when there is no file.
    :param last: what discover wrote last; None when that is not known, and then every difference is taken for an edit.
    Raises ModelError when one of them cannot be used, or when edits and what was found do not go together.
    """
    fresh = plan_text.text(found, [])
    if now is None or now == last:
        return Update(found, fresh, fresh)
    try:
        mine = model.loads(now, where)
    except model.ModelError as exc:
        raise model.ModelError(f"{exc}; put it right, or remove the file, and discover makes it anew") from exc
    merged = plan_merge.merge(_last(last, where_last), mine, found)
    try:
        model.validate(merged.plan, where)
    except model.ModelError as exc:
        raise model.ModelError(f"{exc}; that is what comes of the edits in it and what was found on the host, so the file was left as it is") from exc
    text = plan_text.text(merged.plan, merged.edits, plan_text.read(now))
    return Update(merged.plan, text, fresh, [item.told() for item in merged.edits], [item.told() for item in merged.conflicts])


def _last(text: str | None, where: str) -> model.Plan:
    try:
        data = {} if text is None else yaml.load(text, Loader=plan_text.LOADER)
    except yaml.YAMLError as exc:
        raise model.ModelError(f"{where}: not YAML: {' '.join(str(exc).split())}; it is discover's own: remove it, or take it back from a commit") from exc
    return data if isinstance(data, dict) else {}


def warnings(conflicts: list[dict[str, str]], path: str, known: bool, most: int = 10) -> list[str]:
    """Conflicts as sentences."""
    told = []
    for item in conflicts[:most]:
        before = f"before: {item['before']}" if known else "what it found before is not known"
        told.append(f"{path}: {item['place']}: the plan says {item['plan']}, discover found {item['found']} ({before}); the plan's stays")
    return told + ([f"{path}: {len(conflicts) - most} more places where the plan and what was found differ"] if len(conflicts) > most else [])


def summary(done: Update) -> list[str]:
    """A line about edits, when there are any."""
    if not done.edits:
        return []
    conflicts = f", {len(done.conflicts)} where the host has changed too" if done.conflicts else ""
    return [f"  the plan differs from what was found at {len(done.edits)} edited {'place' if len(done.edits) == 1 else 'places'}{conflicts}"]


def index(texts: Mapping[str, str], before: str | None, own: Mapping[str, model.Plan]) -> str:
    """The index of a directory's plans.

    :param texts: {file name: text} of its YAML files; one that is no plan is passed over.
    :param before: the index as it is; what stands there of plans that have not changed is taken over.
    :param own: plans among them that are known already.
    """
    known = report_index.known(before or "")
    lines = []
    for file, text in texts.items():
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        if file in own:
            lines.append(report_index.summary(file, digest, own[file]))
        elif (file, digest) in known:
            lines.append(known[(file, digest)])
        elif "services:" in text:
            try:
                lines.append(report_index.summary(file, digest, model.loads(text, file)))
            except model.ModelError as exc:
                lines.append(report_index.problem(file, digest, str(exc)))
    return report_index.index(lines)
