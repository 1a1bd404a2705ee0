"""The playbook's look ahead makes the calls of the roles: a call that differs would lose nothing but its gain, unseen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
ROLES = ("python", "uwsgi", "webapp", "nginx")
ONLY_WHEN_CHANGED = "webapp_commands"
"""Has nothing to do when nothing before it had."""

WITHOUT_CHANGE = {
    "{{ __webapp_files.code | union(__webapp_venvs.changed_venvs) }}": [],
    "{{ webapp_services | gantry.webstack.complete(webapp_release) | gantry.webstack.venvs(__webapp_files.staged) }}":
        "{{ webapp_services | gantry.webstack.complete(webapp_release) | gantry.webstack.venvs }}",
    "{{ lookup('ansible.builtin.template', 'webstack-emperor.service.j2') }}":
        "{{ lookup('ansible.builtin.template', playbook_dir ~ '/../roles/uwsgi/templates/webstack-emperor.service.j2') }}",
}
"""What a role's expression comes to when the modules before it had nothing to do, and where a playbook finds a role's template."""


def plain(value: Any, variables: dict[str, str]) -> Any:
    """An argument with the task's own variables put in, as it is without a change."""
    if isinstance(value, dict):
        return {key: plain(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item, variables) for item in value]
    for name, text in variables.items():
        if value == f"{{{{ {name} }}}}":
            value = text
    return WITHOUT_CHANGE.get(value, value) if isinstance(value, str) else value


def calls_of(role: str) -> list[tuple[str, Any]]:
    found = []
    for task in yaml.safe_load((ROOT / f"roles/{role}/tasks/main.yml").read_text(encoding="utf-8")):
        name = next(key for key in task if key.startswith("gantry.webstack."))
        found.append((name.rpartition(".")[2], plain(task[name], task.get("vars", {}))))
    return [call for call in found if call[0] != ONLY_WHEN_CHANGED]


def ahead() -> list[dict[str, Any]]:
    """The look's calls; their arguments with what is made of services as the roles write it."""
    (task,) = yaml.safe_load((ROOT / "playbooks/tasks/lookahead.yml").read_text(encoding="utf-8"))
    look = task["gantry.webstack.lookahead"]
    assert (look["services"], look["releases"]) == ("{{ webapp_services }}", "{{ webapp_release }}")
    made = "{{{{ webapp_services | gantry.webstack.complete(webapp_release) | gantry.webstack.{} }}}}"
    return [{**call, "args": {**call["args"], **{name: made.format(by) for name, by in call.get("made", {}).items()}}} for call in look["calls"]]


def test_the_look_ahead_makes_the_calls_of_the_roles() -> None:
    roles = [call for role in ROLES for call in calls_of(role)]
    assert sorted(_known_by(call["module"], call["args"]) for call in ahead()) == sorted(_known_by(*call) for call in roles)


def _known_by(module: str, args: Any) -> str:
    return json.dumps([module, args], sort_keys=True)


def test_environments_of_releases_are_looked_at_where_the_releases_want_them() -> None:
    for call in ahead():
        assert call.get("staged", False) == (call.get("made", {}).get("venvs") == "venvs"), call
