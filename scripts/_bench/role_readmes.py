"""Writes roles/*/README.md from each role's meta/argument_specs.yml.

    ./scripts/role-readmes            write them
    ./scripts/role-readmes --check    write nothing; end with code 1 when one of them is not what would be written
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import ROOT, control, guarded, setup_lock

try:
    import yaml
except ImportError:  # the machine's own Python; main() starts again with the control node's
    yaml = None  # type: ignore[assignment]

ROLES = ROOT / "roles"
PLAYBOOKS = ROOT / "playbooks"
SCENARIOS = ROOT / "extensions/molecule"


def markup(text: str) -> str:
    """Ansible's documentation markup as Markdown: C(x) and the like become `x`, L(text,url) a link, B and I emphasis."""
    text = re.sub(r"\b[CMOVEP]\(([^()]*(?:\([^()]*\)[^()]*)*)\)", r"`\1`", text)
    text = re.sub(r"`([\w.]+)#\w+`", r"`\1`", text)  # P(name#kind)
    text = re.sub(r"\bRV\(([^()]*)\)", r"`\1`", text)
    text = re.sub(r"\bL\(([^,()]*), ?([^()]*)\)", r"[\1](\2)", text)
    text = re.sub(r"\bU\(([^()]*)\)", r"<\1>", text)
    text = re.sub(r"\bB\(([^()]*)\)", r"**\1**", text)
    return re.sub(r"\bI\(([^()]*)\)", r"*\1*", text)


def _paragraphs(description: str | list[str]) -> list[str]:
    return [markup(part) for part in ([description] if isinstance(description, str) else description)]


def _code(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    # GitHub cuts table cells at a bar even inside code.
    return f"`{text}`".replace("|", "\\|") if text else '`""`'


def _rows(options: dict[str, Any], prefix: str = "", told: dict[str, str] | None = None) -> Iterator[str]:
    """One table row per option; the options inside an option follow it, with a dotted name, where they stand for the first time (``told``)."""
    told = {} if told is None else told
    for name, option in options.items():
        kind = option.get("type", "str")
        if option.get("elements"):
            kind += f" of {option['elements']}"
        if option.get("required"):
            default = "**required**"
        else:
            default = _code(option["default"]) if "default" in option else ""
        text = " ".join(_paragraphs(option.get("description", [])))
        if option.get("choices"):
            text += f" One of {', '.join(_code(choice) for choice in option['choices'])}."
        if option.get("no_log"):
            text += " Never logged."
        inside = json.dumps(option["options"], sort_keys=True) if "options" in option else ""
        if inside in told:
            text += f" Its options are those of `{told[inside]}`."
        yield f"| `{prefix}{name}` | {kind} | {default} | {text} |"
        if inside and inside not in told:
            told[inside] = prefix + name
            yield from _rows(option["options"], f"{prefix}{name}.", told)


def with_templates(specs: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """The specs with the defaults that are templates, which only defaults/main.yml can hold."""
    return {entry: {**spec, "options": {name: {**({"default": defaults[name]} if name in defaults else {}), **option}
                                        for name, option in spec.get("options", {}).items()}} for entry, spec in specs.items()}


def example(role: str) -> tuple[str, str]:
    """A test, and a complete playbook that it runs as it stands: converge.yml of the scenario or the part of this name, or another's ROLE.yml."""
    path = SCENARIOS / role / "converge.yml"
    if not path.is_file():
        path = next(SCENARIOS.glob(f"*/{role}.yml"), ROOT / "tests" / role / "converge.yml")
    where = f"The Molecule scenario `{path.parent.name}`" if path.is_relative_to(SCENARIOS) else f"`./scripts/test {path.parent.name}`"
    return where, path.read_text(encoding="utf-8").removeprefix("---\n").rstrip("\n")


def render(role: str, specs: dict[str, Any], playbook: bool) -> str:
    """The README of a role with these entry points; ``playbook``: whether the collection has a playbook of the same name."""
    lines = ["<!-- Made by scripts/role-readmes from meta/argument_specs.yml. -->", f"# gantry.webstack.{role}"]
    for entry, spec in specs.items():
        if len(specs) > 1:
            lines += ["", f"## Entry point `{entry}`"]
        lines += ["", f"{markup(spec['short_description'])}."]
        for paragraph in _paragraphs(spec.get("description", [])):
            lines += ["", paragraph]
        options = spec.get("options", {})
        lines += ["", "### Options" if len(specs) > 1 else "## Options", ""]
        lines += ["| option | type | default | what it is |", "|---|---|---|---|", *_rows(options)] if options else ["None."]
    lines += ["", "## Example", ""]
    if playbook:
        lines += [f"The playbook of the same name runs it: `ansible-playbook -i hosts.yml gantry.webstack.{role}`. In a playbook of your own:", ""]
    where, text = example(role)
    lines += [f"{where} runs this as it stands:", "", "```yaml", text, "```", ""]
    return "\n".join(lines)


def readmes() -> Iterator[tuple[Path, str]]:
    """Each role's README and what it should hold."""
    for path in sorted(ROLES.glob("*/meta/argument_specs.yml")):
        role = path.parents[1].name
        specs = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]
        defaults = yaml.safe_load((path.parents[1] / "defaults/main.yml").read_text(encoding="utf-8"))
        yield path.parents[1] / "README.md", render(role, with_templates(specs, defaults), (PLAYBOOKS / f"{role}.yml").is_file())


def main() -> int:
    if yaml is None:
        with setup_lock():
            control.setup()
        os.environ["PYTHONPATH"] = str(ROOT / "scripts")
        os.execv(control.tool("python"), ["python", "-m", "_bench.role_readmes", *sys.argv[1:]])
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        print((__doc__ or "").strip())
        return 2
    stale = [(path, text) for path, text in readmes() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    for path, text in stale:
        if check:
            print(f"{path.relative_to(ROOT)} is not what meta/argument_specs.yml says; run ./scripts/role-readmes")
        else:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
    missing = sorted(path.name for path in ROLES.iterdir() if path.is_dir() and not (path / "meta/argument_specs.yml").is_file())
    for role in missing:
        print(f"role {role} has no meta/argument_specs.yml")
    return 1 if missing or (check and stale) else 0


if __name__ == "__main__":
    sys.exit(guarded(main))
