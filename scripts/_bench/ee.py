"""Builds an execution environment with this collection in it, by ansible-builder.

    ./scripts/build-ee                         on Debian 13: Docker Hub's image, or one made from Debian's packages
    ./scripts/build-ee --base IMAGE            on any image with dnf, microdnf or apt-get
    ./scripts/build-ee --tag NAME              the image's name; webstack-ee:latest unless given
    ./scripts/build-ee --collection SPEC       one more collection: NAMESPACE.NAME[:VERSION] of Galaxy, or a tarball; may be given several times
    ./scripts/build-ee --python SPEC           one more Python distribution; may be given several times

The collection goes in as the tarball that ansible-galaxy makes of this checkout; what else it needs it says itself in meta/execution-environment.yml.
Certificates that this machine trusts are lent to the build, and are not in the image. Prints the image's name.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import CACHE, ROOT, BenchError, control, ee_layers, engine, guarded, images, logged, output, say, setup_lock

BUILD = CACHE / "ee"
TAG = "webstack-ee:latest"
LENT = "/opt/lent-certificates.pem"
"""Where the build finds the machine's certificates; the layer that holds them is cut out of the image afterwards."""

MANAGERS = ("/usr/bin/dnf", "/usr/bin/microdnf", "/usr/bin/apt-get")
HINT = "Look whether containers of this engine reach PyPI and the base's package mirror, and run again."


def tarball() -> Path:
    """The collection as ansible-galaxy builds it."""
    dist = BUILD / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    logged([control.tool("ansible-galaxy"), "collection", "build", "--output-path", str(dist), str(ROOT)], "ee", hint="")
    return next(dist.glob("gantry-webstack-*.tar.gz"))


def pinned(*names: str) -> list[str]:
    """Requirements of requirements-dev.txt, so that the image runs what the tests run."""
    lines = (line.split(";")[0].strip() for line in control.REQUIREMENTS.read_text(encoding="utf-8").splitlines())
    found = {line.split("==")[0]: line for line in lines if "==" in line}
    return [found[name] for name in names]


def manager(base: str) -> str:
    """The package manager of an image. Raises BenchError when it has none that ansible-builder can use."""
    if output(["docker", "image", "inspect", "--format", "{{.Id}}", base]) is None:
        logged(["docker", "pull", "--quiet", base], "ee", hint=f"Name an image that is there or that can be pulled; {base!r} is neither.")
    script = "; ".join(f"if [ -x {path} ]; then echo {path}; exit; fi" for path in MANAGERS)
    found = output(["docker", "run", "--rm", "--entrypoint", "/bin/sh", base, "-c", script])
    if not found:
        raise BenchError(f"the image {base!r} has none of {', '.join(MANAGERS)}; name another one with --base")
    return found


def definition(base: str, packages: str, collections: Sequence[str], python: Sequence[str]) -> dict[str, Any]:
    """The definition for ansible-builder (schema 3). Pure.

    :param packages: path of the package manager.
    :param collections: file names beside the definition (a tarball), or ``NAME[:VERSION]``.
    """
    def wanted(spec: str) -> dict[str, str]:
        if spec.endswith(".tar.gz"):
            return {"name": f"/build/{Path(spec).name}", "type": "file"}
        name, _colon, version = spec.partition(":")
        return {"name": name, **({"version": version} if version else {})}

    tarballs = [spec for spec in collections if spec.endswith(".tar.gz")]
    apt = packages.endswith("apt-get")
    update = "RUN apt-get update" if apt else ""  # ansible-builder does not do it before it installs what bindep names
    settings = ('APT::Install-Recommends "false";', 'Acquire::GzipIndexes "true";', 'Acquire::Languages "none";')
    lean = f"RUN printf '%s\\n' {' '.join(map(shlex.quote, settings))} > /etc/apt/apt.conf.d/90-lean" if apt else ""
    install = "apt-get update && apt-get install -y" if apt else f"{packages} install -y"
    clean = "rm -rf /var/lib/apt/lists/*" if apt else f"{packages} clean all"
    names = "python3 python3-pip ca-certificates"
    core, runner = pinned("ansible-core", "ansible-runner")
    return {
        "version": 3,
        "images": {"base_image": {"name": base}},
        "dependencies": {
            "ansible_core": {"package_pip": core},
            "ansible_runner": {"package_pip": runner},
            "galaxy": {"collections": [wanted(spec) for spec in collections]},
            **({"python": list(python)} if python else {}),
        },
        "options": {"package_manager_path": packages, "skip_pip_install": True},
        "additional_build_files": [{"src": Path(spec).name, "dest": "collections"} for spec in tarballs],
        "additional_build_steps": {
            # a minimal image may lack pip; one that has it is left as it is
            "prepend_base": [*filter(None, [lean]), f"RUN $PYCMD -m pip --version >/dev/null 2>&1 || ({install} {names} && {clean})"],
            "prepend_galaxy": [f"COPY _build/collections/{Path(spec).name} /build/{Path(spec).name}" for spec in tarballs],
            **({"prepend_builder": [update], "prepend_final": [update], "append_final": [f"RUN {clean}"]} if update else {}),
        },
    }


def _lend(base: str) -> str:
    """The base with one layer more, which holds the certificates of this machine."""
    context = BUILD / "lent"
    shutil.rmtree(context, ignore_errors=True)
    context.mkdir(parents=True)
    shutil.copy(images.MACHINE_CERTIFICATES, context / "lent.pem")
    (context / "Dockerfile").write_text(f"FROM {base}\nCOPY lent.pem {LENT}\n", encoding="utf-8")
    lent = "webstack-ee-base:lent"
    logged(["docker", "build", "--tag", lent, str(context)], "ee", hint=HINT)
    return lent


def build(base: str, tag: str, collections: Sequence[str] = (), python: Sequence[str] = ()) -> str:
    """Build the image and return its name. Raises BenchError."""
    BUILD.mkdir(parents=True, exist_ok=True)
    base = base or images.debian("trixie")
    files = [tarball(), *(Path(spec).resolve() for spec in collections if spec.endswith(".tar.gz"))]
    for path in files:
        if not path.is_file():
            raise BenchError(f"there is no collection {path}")
        shutil.copy(path, BUILD / path.name)
    specs = [*(path.name for path in files), *(spec for spec in collections if not spec.endswith(".tar.gz"))]
    say(f"building the execution environment {tag} on {base} (about two minutes)")
    asked = definition(base, manager(base), specs, python)
    lent = images.MACHINE_CERTIFICATES.is_file()
    if lent:
        names = " ".join(f"{name}={LENT}" for name in ee_layers.LENT_NAMES)
        asked["additional_build_steps"]["prepend_base"].insert(0, f"ENV {names}")
    (BUILD / "execution-environment.yml").write_text(json.dumps(asked, indent=1), encoding="utf-8")  # JSON is YAML
    built = f"{tag}-uncut" if lent else tag
    logged([control.tool("ansible-builder"), "build", "--container-runtime", "docker", "--file", str(BUILD / "execution-environment.yml"),
            "--context", str(BUILD / "context"), "--tag", built, "--build-arg", f"EE_BASE_IMAGE={_lend(base) if lent else base}", "--verbosity", "3"],
           "ee", hint=HINT, timeout=1800)
    if lent:
        try:
            ee_layers.cut(built, tag, LENT, BUILD / "image.tar")
        finally:
            output(["docker", "image", "rm", built])
    return tag


def main() -> int:
    words = argparse.ArgumentParser(prog="build-ee", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--base", default="")
    words.add_argument("--tag", default=TAG)
    words.add_argument("--collection", action="append", default=[])
    words.add_argument("--python", action="append", default=[])
    asked = words.parse_args()
    with setup_lock():
        control.setup()
        engine.setup()
    print(build(asked.base, asked.tag, asked.collection, asked.python))
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
