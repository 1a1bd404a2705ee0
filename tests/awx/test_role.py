"""The role awx, with the modules of the real collection awx.awx, against the stand-in: made, left alone, and changed with the argument specs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml
from standin import TOKEN, Server

ROOT = Path(__file__).resolve().parents[2]
FEW: dict[str, Any] = {"awx_playbooks": ["status"], "awx_workflow": ""}
"""A run over one job template, for what does not need all of them."""


def play(server: Server, code: int = 0, flags: tuple[str, ...] = (), env: dict[str, str] | None = None, **extra: Any) -> tuple[int, str]:
    """Run the role; how much it says it has changed, and all that it said."""
    server.awx.writes.clear()
    done = subprocess.run(
        ["ansible-playbook", "-i", "localhost,", str(ROOT / "tests/awx/converge.yml"), *flags, "-e", json.dumps(extra)], stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False, env={**os.environ, "AWX_HOST": "http://127.0.0.1:%d" % server.server_address[1], "AWX_TOKEN": TOKEN,
                                                          "ANSIBLE_NOCOLOR": "1", "ANSIBLE_INJECT_FACT_VARS": "0", **(env or {})})
    text = done.stdout + done.stderr
    assert done.returncode == code, text
    assert TOKEN not in text
    found = re.search(r"changed=(\d+)", text)
    return int(found[1]) if found else 0, text


def test_everything_is_made_and_a_second_run_changes_nothing(server: Server) -> None:
    awx = server.awx
    changed, text = play(server)
    assert changed and "[WARNING]" not in text
    made = {kind: sorted(item.get("name") or item["identifier"] for item in items.values()) for kind, items in awx.objects.items()}
    playbooks = ("convert", "decommission", "deploy", "discover", "install", "rollback", "status")
    assert made["organizations"] == made["inventories"] == ["webstack"]
    assert made["execution_environments"] == made["projects"] == ["gantry.webstack"]
    assert made["credential_types"] == ["Machine of the test", "webstack image registry", "webstack plan store"]
    assert made["job_templates"] == [f"webstack {name}" for name in playbooks]
    assert made["workflow_job_templates"] == ["webstack move"]
    assert made["workflow_approval_templates"] == ["Convert", "Decommission"]
    template = awx.named("job_templates", "webstack convert")
    assert template["playbook"] == "playbooks/convert.yml" and template["become_enabled"] and template["ask_limit_on_launch"]
    assert json.loads(template["extra_vars"]) == {"webstack_plan_dir": "/tmp/webstack-plans", "webstack_plan_store": "host"}
    assert template["description"] == "Move services into containers"
    assert awx.lists[("job_templates", template["id"], "credentials")] == [awx.named("credentials", "web hosts")["id"]]

    changed, _text = play(server)
    assert (changed, awx.writes) == (0, [])


def test_the_workflow_goes_its_way_and_back(server: Server) -> None:
    ways = {node: {link: server.awx.links(node, link) for link in ("success_nodes", "failure_nodes", "always_nodes") if server.awx.links(node, link)}
            for node in sorted(item["identifier"] for item in server.awx.objects["workflow_job_template_nodes"].values())}
    assert ways == {
        "discover": {"success_nodes": ["approve-convert"]},
        "approve-convert": {"success_nodes": ["convert"]},
        "convert": {"success_nodes": ["watch"], "failure_nodes": ["rollback"]},
        "watch": {"success_nodes": ["approve-decommission"], "failure_nodes": ["rollback"]},
        "approve-decommission": {"success_nodes": ["decommission"]},
        "decommission": {}, "rollback": {}}
    watch = server.awx.named("workflow_job_template_nodes", "watch")
    assert watch["extra_data"] == {"status_strict": True}
    assert server.awx.objects["job_templates"][watch["unified_job_template"]]["name"] == "webstack status"


def test_surveys_ask_for_what_the_roles_take(server: Server) -> None:
    def survey(name: str, kind: str = "job_templates") -> dict[str, dict[str, Any]]:
        found = server.awx.surveys[(kind, server.awx.named(kind, name)["id"])]
        return {asked["variable"]: asked for asked in found["spec"]}

    convert = survey("webstack convert")
    assert {"webstack_select", "webstack_until", "webstack_strict", "webstack_canary", "webstack_watch", "convert_timeout"} <= set(convert)
    assert not {"webstack_plan_dir", "webstack_plan_store", "webstack_registry_auth", "convert_sbom_dir"} & set(convert)
    assert convert["webstack_until"]["choices"] == ["image", "candidate", "parity", "switch"]
    assert convert["webstack_canary"]["type"] == "float" and convert["convert_keep_images" if "convert_keep_images" in convert else "webstack_keep_images"]
    assert "rollback_to" in survey("webstack rollback") and "deploy_changes" in survey("webstack deploy") and "uwsgi_origin" in survey("webstack install")
    move = survey("webstack move", "workflow_job_templates")
    assert "webstack_select" in move and "webstack_until" not in move


def test_a_changed_argument_spec_changes_the_survey(server: Server, tmp_path: Path) -> None:
    for part in ("roles/status", "playbooks"):
        shutil.copytree(ROOT / part, tmp_path / part)
    path = tmp_path / "roles/status/meta/argument_specs.yml"
    spec = yaml.safe_load(path.read_text(encoding="utf-8"))
    spec["argument_specs"]["main"]["options"]["status_since"] = {"type": "int", "description": "Only what has changed in the last hours.", "default": 24}
    path.write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")
    where: dict[str, Any] = {"__awx_place": str(tmp_path / "roles"), **FEW}
    changed, _text = play(server, flags=("--check",), **where)
    assert changed and not server.awx.writes
    changed, _text = play(server, **where)
    template = server.awx.named("job_templates", "webstack status")
    assert changed == 1 and server.awx.writes == [f"POST /api/v2/job_templates/{template['id']}/survey_spec/"]
    asked = server.awx.surveys[("job_templates", template["id"])]["spec"][-1]
    assert asked == {"variable": "status_since", "question_name": "Status since", "type": "integer", "required": False, "min": 0,
                     "question_description": "Only what has changed in the last hours. 24 unless given."}


def test_one_clear_sentence_without_the_collection(server: Server, tmp_path: Path) -> None:
    (tmp_path / "ansible_collections/gantry").mkdir(parents=True)
    (tmp_path / "ansible_collections/gantry/webstack").symlink_to(ROOT)
    _changed, text = play(server, code=2, env={"ANSIBLE_COLLECTIONS_PATH": str(tmp_path), "PYTHONPATH": ""}, **FEW)
    assert "The collection awx.awx is not installed on the control node. Install it" in text and not server.awx.writes
