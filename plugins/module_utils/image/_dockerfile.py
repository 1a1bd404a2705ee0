# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A service as a Dockerfile that a team can own: packages pinned, distributions by hash, no tools in what runs (Dockerfile reference). Pure."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any, List, Mapping

LOCK, WHEELS, ROOT = "requirements.txt", "wheels", "root"
"""Names in the build context: the lock with hashes, a directory of wheels if pip shall ask no index, and the service's own files by their paths."""

_NOLOGIN = "/usr/sbin/nologin"


def _installs(packages: List[str]) -> str:
    """One layer with packages; versions decide, so one may be older than the base has it."""
    lines = ["RUN apt-get update \\", "    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends --allow-downgrades \\"]
    lines += ["        %s \\" % package for package in packages]
    return "\n".join(lines + ["    && rm -rf /var/lib/apt/lists/*"])


def pins(service: Mapping[str, Any]) -> List[str]:
    """``name=version`` of the service's system packages, as apt-get(8) takes them, and the names of those that the plan adds."""
    found = ["%s=%s" % (item["name"], item["version"]) if item.get("version") else item["name"] for item in service.get("system_packages", [])]
    return found + [name for name in service.get("container", {}).get("packages", []) if name not in {pin.partition("=")[0] for pin in found}]


def locales(environment: Mapping[str, str]) -> List[str]:
    """Locales of a service that the C library does not have built in (locale(7))."""
    names = {environment[key] for key in sorted(environment) if key == "LANG" or key == "LANGUAGE" or key.startswith("LC_")}
    return sorted(name for name in names if re.fullmatch(r"[a-z]{2,3}_[A-Z]{2}\.[\w-]+", name))


def _build_stage(service: Mapping[str, Any], venv: str, wheels: bool, hashes: bool, packaged: bool) -> str:
    """The stage that has pip and compilers: it makes the virtual environment from the lock."""
    # a deploy leaves the version to the virtual environment: then it is the base's own
    python = "python" + (".".join(service["python"].get("version", "").split(".")[:2]) or "3")
    own = next((pin.partition("=")[2] for pin in pins(service) if pin.partition("=")[0] == python + "-minimal"), "")
    packages = ["%s-venv%s" % (python, "=" + own if own else "")] if packaged else []
    packages += ["ca-certificates"] + service.get("container", {}).get("build_packages", [])
    source = ("--require-hashes " if hashes else "") + ("--no-index --find-links /build/%s " % WHEELS if wheels else "")
    return "\n\n".join([
        "FROM ${BASE} AS build",
        _installs(packages),
        "COPY %s /build/%s" % (LOCK, LOCK) + ("\nCOPY %s /build/%s" % (WHEELS, WHEELS) if wheels else ""),
        "RUN {0} -m venv {1} \\\n    && {1}/bin/pip install --no-cache-dir --disable-pip-version-check {2}-r /build/{3} \\\n"
        "    && {1}/bin/pip uninstall -y pip".format(python, shlex.quote(venv), source, LOCK),
    ])


def dockerfile(service: Mapping[str, Any], base: str, settings: Mapping[str, Any], venv: str = "", wheels: bool = False, zone: str = "",
               hashes: bool = True, packaged: bool = True) -> str:
    """The text. ``settings`` is the image's configuration (User as uid:gid, Env, Cmd, WorkingDir, Labels), ``venv`` the real path of a virtual environment
    that is made from the lock, ``zone`` the host's time zone; ``hashes`` whether the lock has them, ``packaged`` whether Python is a package of the base's
    distribution, or the base's own."""
    user, (uid, gid) = service["user"], settings["User"].split(":")
    group = user.get("group", user["name"])
    made = ["localedef -i %s -f %s %s" % (*name.split("."), name) for name in locales(service.get("environment", {}))]
    final = [
        "FROM ${BASE}",
        _installs(pins(service) + (["locales"] if made else [])),
        *["RUN " + command for command in made],
        *(["RUN ln -snf /usr/share/zoneinfo/%s /etc/localtime && echo %s > /etc/timezone" % (zone, zone)] if zone else []),
        "RUN getent passwd {0} > /dev/null \\\n    || {{ groupadd --force --non-unique --gid {2} {1} \\\n"
        "         && useradd --no-log-init --non-unique --uid {3} --gid {2} --no-create-home --home-dir /nonexistent --shell {4} {0}; }}"
        .format(shlex.quote(user["name"]), shlex.quote(group), gid, uid, _NOLOGIN),
        "COPY --chown=%s:%s %s/ /" % (uid, gid, ROOT),
        *(["COPY --from=build %s" % json.dumps([venv, venv])] if venv else []),
        "\n".join(["ENV %s=%s" % (name, json.dumps(value)) for name, dummy, value in (item.partition("=") for item in settings["Env"])]
                  + ["LABEL %s=%s" % (name, json.dumps(value)) for name, value in sorted(settings["Labels"].items())]),
        "WORKDIR %s\nUSER %s:%s\nSTOPSIGNAL SIGTERM\nCMD %s" % (settings["WorkingDir"], uid, gid, json.dumps(settings["Cmd"])),
    ]
    head = ["# %s, as gantry.webstack found it. State, secrets and uWSGI's configuration are mounted when it runs." % service["name"], "ARG BASE=" + base]
    return "\n\n".join(["\n".join(head), *([_build_stage(service, venv, wheels, hashes, packaged)] if venv else []), *final]) + "\n"
