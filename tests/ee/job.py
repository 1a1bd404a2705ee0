"""A job as AWX runs it: a private data directory made for it alone, the project read-only, an execution environment, no terminal, and nothing left."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import yaml

ROOT = Path(__file__).resolve().parents[2]


class _Unsafe(yaml.SafeLoader):
    """Reads the role's variables, in which templates for AWX are marked ``!unsafe``."""


def _text(loader: yaml.SafeLoader, node: Any) -> Any:
    return loader.construct_scalar(node)


_Unsafe.add_constructor("!unsafe", _text)


def credential_types() -> dict[str, dict[str, Any]]:
    """The credential types that the role awx makes, by name."""
    found = yaml.load((ROOT / "roles/awx/vars/main.yml").read_text(encoding="utf-8"), Loader=_Unsafe)["__awx_credential_types"]
    return {kind["name"]: kind for kind in found}


@dataclass
class Credential:
    """A credential of one of these types, injected as AWX's CustomCredential does: files in env/, then extra_vars from a file."""

    kind: str
    inputs: Mapping[str, str]

    def inject(self, private: Path) -> list[str]:
        """Write its files; the words for ansible-playbook."""
        injectors = credential_types()[self.kind]["injectors"]
        names = {}
        for name, template in injectors.get("file", {}).items():
            path = private / "env" / f"injected-{name.partition('.')[2]}"
            path.write_text(jinja2.Template(template, keep_trailing_newline=True).render(**self.inputs), encoding="utf-8")
            path.chmod(0o600)
            names[name.partition(".")[2]] = f"/runner/env/{path.name}"

        def rendered(node: Any) -> Any:
            if isinstance(node, dict):
                return {key: rendered(value) for key, value in node.items()}
            return jinja2.Template(node).render(**self.inputs, tower={"filename": names})

        (private / "env/injected-vars.yml").write_text(yaml.safe_dump(rendered(injectors.get("extra_vars", {}))), encoding="utf-8")
        return ["-e", "@/runner/env/injected-vars.yml"]


@dataclass
class Done:
    """How a job has ended."""

    code: int
    text: str
    told: dict[str, Any] = field(default_factory=dict)
    """What set_stats told the workflow."""

    changed: int = 0


@dataclass
class Controller:
    """What AWX knows: the image, the machine credential, the inventory."""

    image: str
    key: str
    address: str

    def job(self, playbook: str, credentials: list[Credential] | None = None, streamed: bool = False, **variables: Any) -> Done:
        """Run one playbook, and forget everything about it but its end."""
        with tempfile.TemporaryDirectory(prefix="webstack-job-") as top:
            private = Path(top) / "private"
            self._prepare(private, credentials or [], variables)
            before = self._files(private / "project")
            code, text = self._streamed(private, playbook, Path(top)) if streamed else self._run(private, playbook)
            assert self._files(private / "project") == before, "the project was written to"
            left = [path.name for path in Path(top).rglob("web1.*") if "artifacts" not in path.parts]
            assert not left, f"left on the control node: {left}"
            return self._read(private / "artifacts", code, text)

    def _prepare(self, private: Path, credentials: list[Credential], variables: Mapping[str, Any]) -> None:
        for name in ("env", "inventory", "project"):
            (private / name).mkdir(parents=True)
        shutil.copytree(ROOT / "playbooks", private / "project/playbooks")
        (private / "inventory/hosts.json").write_text(json.dumps({"all": {"hosts": {"web1": {
            "ansible_host": self.address, "ansible_user": "root", "ansible_python_interpreter": "/usr/bin/python3"}}}}), encoding="utf-8")
        (private / "env/ssh_key").write_text(self.key, encoding="utf-8")
        (private / "env/ssh_key").chmod(0o600)
        (private / "env/envvars").write_text(json.dumps({"ANSIBLE_HOST_KEY_CHECKING": "False", "ANSIBLE_FORCE_COLOR": "False"}), encoding="utf-8")
        (private / "env/extravars").write_text(json.dumps({"webstack_plan_dir": "/tmp/webstack-plans", **variables}), encoding="utf-8")
        words = [word for credential in credentials for word in credential.inject(private)]
        (private / "env/cmdline").write_text(" ".join(words), encoding="utf-8")
        (private / "env/settings").write_text(json.dumps({
            "process_isolation": True, "process_isolation_executable": "docker", "container_image": self.image,
            "container_volume_mounts": [f"{private}/project:/runner/project:ro"]}), encoding="utf-8")

    @staticmethod
    def _files(folder: Path) -> dict[str, bytes]:
        return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}

    @staticmethod
    def _run(private: Path, playbook: str) -> tuple[int, str]:
        done = subprocess.run(["ansible-runner", "run", str(private), "--playbook", f"playbooks/{playbook}.yml", "--ident", "job"], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=False, start_new_session=True, timeout=1500)
        return done.returncode, done.stdout + done.stderr

    @staticmethod
    def _streamed(private: Path, playbook: str, top: Path) -> tuple[int, str]:
        """transmit | worker | process, as AWX and its execution node do; the project's mount is of the worker's own copy."""
        (top / "worker").mkdir()
        settings = json.loads((private / "env/settings").read_text(encoding="utf-8"))
        settings["container_volume_mounts"] = [f"{top}/worker/project:/runner/project:ro"]
        (private / "env/settings").write_text(json.dumps(settings), encoding="utf-8")
        script = (f"set -o pipefail; ansible-runner transmit {private} --playbook playbooks/{playbook}.yml --ident job"
                  f" | ansible-runner worker --private-data-dir {top}/worker | ansible-runner process {private} --ident job")
        done = subprocess.run(["bash", "-c", script], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, start_new_session=True,
                              timeout=1500)
        return done.returncode, done.stdout + done.stderr

    @staticmethod
    def _read(artifacts: Path, code: int, text: str) -> Done:
        """The job's events, which AWX takes over before it removes the directory."""
        events = [json.loads(path.read_text(encoding="utf-8")) for path in artifacts.glob("*/job_events/*.json") if "partial" not in path.name]
        stats: dict[str, Any] = next((event["event_data"] for event in events if event["event"] == "playbook_on_stats"), {})
        said = "\n".join(event.get("stdout", "") for event in sorted(events, key=lambda event: event["counter"]))
        return Done(code, said or text, stats.get("artifact_data", {}), sum(stats.get("changed", {}).values()))
