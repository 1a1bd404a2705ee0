"""The playbooks in the execution environment, each job by itself, as AWX runs them: what a job knows of the one before, it has from the plan store."""

from __future__ import annotations

import subprocess

import yaml
from host import Host
from job import Controller, Credential

PLAN = "host:/var/lib/webstack/.plans/web1.yml"


def test_the_image_holds_what_a_job_needs_and_nothing_of_the_machine_that_built_it(image: str) -> None:
    def inside(*words: str) -> str:
        argv = ["docker", "run", "--rm", "--user", "0", image, *words]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout

    assert "gantry.webstack" in inside("ansible-galaxy", "collection", "list")
    inside("python3", "-c", "import crossplane, jsonschema, jmespath, yaml, ansible_runner")
    inside("sh", "-c", "git --version && ssh -V && sshpass -V && dumb-init --version")
    assert "lent" not in inside("sh", "-c", "env; find / -xdev -name '*lent-certificates*'")


def test_discover_convert_and_roll_back_in_jobs_of_their_own(host: Host, controller: Controller) -> None:
    looked = controller.job("discover", webstack_plan_store="host")
    assert looked.code == 0, looked.text
    assert looked.told == {"webstack_workflow": {"web1": {"plan": PLAN, "verdicts": {"hello": "ready"}, "unexplained": 0}}}
    assert host.run("stat", "-c", "%a %U", "/var/lib/webstack/.plans/web1.yml") == "600 root"

    host.run("sed", "-i", "s|^version: 1|# seen by the shop team\\nversion: 1|", "/var/lib/webstack/.plans/web1.yml")
    again = controller.job("discover", webstack_plan_store="host", **looked.told)
    assert again.code == 0, again.text
    assert "seen by the shop team" in host.run("cat", "/var/lib/webstack/.plans/web1.yml")

    moved = controller.job("convert", webstack_plan_store="host", **looked.told)
    assert moved.code == 0, moved.text
    assert moved.told["webstack_workflow"]["web1"] == {"plan": PLAN, "runtimes": {"hello": "container"}}
    assert host.runtimes() == {"hello": "container"} and host.answers() == {"hello": "200"}
    kept = host.run("sh", "-c", "cd /var/lib/webstack/.plans && find . -type f | sort").split()
    assert kept == ["./.discovered/web1.yml", "./sbom/web1/hello.cdx.json", "./web1.html", "./web1.parity.json", "./web1.yml"]

    once_more = controller.job("convert", webstack_plan_store="host")
    assert (once_more.code, once_more.changed) == (0, 0), once_more.text

    seen = controller.job("status", status_strict=True)
    assert seen.code == 0 and seen.told["webstack_workflow"]["web1"] == {"problems": {}}, seen.text

    back = controller.job("rollback", webstack_plan_store="host", **moved.told)
    assert back.code == 0, back.text
    assert back.told["webstack_workflow"]["web1"]["runtimes"] == {"hello": "host"}
    assert host.runtimes() == {"hello": "host"} and host.answers() == {"hello": "200"} and host.containers() == []


def test_a_git_repository_keeps_the_plan_with_a_key_that_a_credential_brings(host: Host, controller: Controller) -> None:
    host.run("git", "init", "--quiet", "--bare", "--initial-branch=main", "/srv/plans.git")
    store = {"repo": f"ssh://root@{controller.address}/srv/plans.git", "path": "production"}
    known = f"{controller.address} {host.run('cat', '/etc/ssh/ssh_host_ed25519_key.pub')}\n"
    credential = Credential("plan store", {"key": controller.key, "known_hosts": known})
    first = controller.job("discover", [credential], webstack_plan_store=store)
    assert first.code == 0, first.text
    assert first.told["webstack_workflow"]["web1"]["plan"] == f"{store['repo']}#main:production/web1.yml"
    assert host.run("git", "-C", "/srv/plans.git", "log", "--format=%s") == "Plan of web1"
    plan = yaml.safe_load(host.run("git", "-C", "/srv/plans.git", "show", "main:production/web1.yml"))
    assert [service["name"] for service in plan["services"]] == ["hello"]
    again = controller.job("discover", [credential], webstack_plan_store=store)
    assert (again.code, again.changed) == (0, 0), again.text

    stranger = controller.job("discover", [Credential("plan store", {"key": controller.key, "known_hosts": f"{controller.address} ssh-ed25519 AAAA\n"})],
                              webstack_plan_store=store)
    assert stranger.code != 0 and "the plan store" in stranger.text and "cannot be used: git ls-remote" in stranger.text
    assert "OPENSSH PRIVATE KEY" not in stranger.text


def test_a_job_that_is_sent_to_an_execution_node(host: Host, controller: Controller) -> None:
    sent = controller.job("status", streamed=True, status_strict=True)
    assert sent.code == 0, sent.text
    assert sent.told == {"webstack_workflow": {"web1": {"problems": {}}}}
    assert host.answers() == {"hello": "200"}
