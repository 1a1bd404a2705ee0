# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a person needs to use an export: the README beside it, and crontabs for tools that have no clock of their own. Pure."""

from __future__ import annotations

import shlex

from ansible_collections.gantry.webstack.plugins.plugin_utils.export import edge, kubernetes, quadlet, swarm
from ansible_collections.gantry.webstack.plugins.plugin_utils.export.container import Container, Settings


def crontab(container: Container, settings: Settings, formats: list[str]) -> str:
    """A file for /etc/cron.d that runs the service's schedule in its container: compose and Swarm have no clock, and a container that could start
    others would have the engine's rights, which are root's."""
    name = container.name
    lines = [f"# The schedule of {container.service['name']}, for /etc/cron.d of the machine that its container runs on.",
             "# compose and Swarm have no clock. Its times are those of the machine; the mail of a failed command is cron's."]
    for job in container.jobs:
        user = str(container.uid) if job.user == container.service["user"]["name"] else job.user
        if not job.cron and job.timer:
            lines.append(f"# {job.name} runs by a time that cron does not know ({job.when}): make a timer of systemd for it, as quadlet/ has one")
        # a percent sign ends the command in a crontab (crontab(5))
        command = shlex.quote(job.command).replace("%", "\\%")
        mark = "" if job.cron or not job.timer else "# "
        when = job.cron or job.when
        swarmed = f"docker exec --user {user} $(docker ps -q -n 1 -f label=com.docker.swarm.service.name={settings.project}_{name}) /bin/sh -c {command}"
        composed = f"docker exec --user {user} {settings.project}-{name}-1 /bin/sh -c {command}"
        if "compose" in formats:
            lines.append(f"{mark}{when} root {composed}")
        if "swarm" in formats:
            if "compose" in formats:
                lines.append("# the same for the Swarm stack:")
            lines.append(f"{'# ' if 'compose' in formats else mark}{when} root {swarmed}")
    return "\n".join(lines) + "\n"


def _services(containers: list[Container]) -> list[str]:
    lines = ["| service | image | runs as | network | state and files | secrets |", "|---|---|---|---|---|---|"]
    for item in containers:
        image = f"`{item.image}`" + ("" if item.built else " (to be built)")
        mounts = ", ".join(f"`{mount.path}`{' (read)' if mount.read_only else ''}" for mount in item.mounts) or "none"
        secrets = ", ".join(f"`{name}`" for secret in item.secrets for name in (secret.variables or (secret.target,))) or "none"
        lines.append(f"| {item.service['name']} | {image} | {item.user} | {item.network} | {mounts} | {secrets} |")
    remarks = [f"- {item.service['name']}: {note}" for item in containers for note in item.notes]
    return [*lines, *(["", "To be decided or known:", "", *remarks] if remarks else [])]


def _images(containers: list[Container]) -> list[str]:
    lines = ["## Images", ""]
    made = [item for item in containers if item.built]
    if made:
        lines += ["These images were made by convert from the host's own files. They are in the engine of the host; another machine gets them through a",
                  "registry (`webstack_registry`), or without one:", "",
                  "    docker save " + " ".join(item.image for item in made) + " | ssh OTHER docker load", ""]
    lines += ["To build one anew, put the service's code below `SERVICE/root/` at its path, and:", "",
              *(f"    docker build -t {item.image if not item.built else 'YOUR/NAME:TAG'} {item.name}" for item in containers), ""]
    return lines


def _secrets(containers: list[Container], formats: list[str]) -> list[str]:
    lines = ["## Secrets", "", "No value is in these files. Each has to be provided where it is used:", ""]
    for item in containers:
        for secret in item.secrets:
            if secret.variables:
                lines.append(f"- {item.service['name']}: {', '.join(secret.variables)}, from {secret.source} of the host. compose, Swarm and Podman: a file as "
                             f"`secrets/{item.name}.ini.example` shows it, which uWSGI reads at `{secret.target}`; Kubernetes: keys of the Secret.")
            else:
                lines.append(f"- {item.service['name']}: the file `{secret.target}` of the host, which the service reads there.")
    return [*lines, ""]


def _compose(containers: list[Container], settings: Settings) -> list[str]:
    own = [f"    install -m 0400 -o {item.uid} -g {item.gid} MINE secrets/{item.name}.ini      # as secrets/{item.name}.ini.example shows"
           for item in containers if item.variables]
    scheduled = any(item.jobs for item in containers)
    ports = ", ".join(f"{settings.port if port == edge.PORT else port}" for port in edge.ports(containers))
    clock = ["    cp SERVICE/crontab /etc/cron.d/webstack-SERVICE      # the schedule; on the host itself first stop its own"] if scheduled else []
    return ["## docker compose", "", *own, "    docker compose up -d --wait", *clock, "",
            f"nginx listens on port {ports}. State and files are the host's own paths, unless they were exported as volumes: the services",
            "of the host and these share them when both run.", ""]


def _swarm(containers: list[Container], settings: Settings) -> list[str]:
    create = [f"    docker secret create {swarm.secret_name(item, secret)} {'secrets/' + item.name + '.ini' if secret.variables else secret.target}"
              for item in containers for secret in item.secrets]
    pinned = any(item.mounts for item in containers)
    label = [f"    docker node update --label-add {swarm.LABEL}=true NODE      # the node that has the state"] if pinned else []
    return ["## Swarm", "", *create, *label, f"    docker stack deploy --compose-file stack.yaml {settings.project}", "",
            "A stack cannot forbid new privileges or add groups: `\"no-new-privileges\": true` in /etc/docker/daemon.json does the first for all",
            "containers.",
            "The engine's `live-restore`, which the role gantry.webstack.engine sets, has to be false: Swarm does not start with it.", ""]


def _kubernetes(containers: list[Container], settings: Settings) -> list[str]:
    lines = ["## Kubernetes", ""]
    for item in containers:
        keys = [f"--from-file={key}=FILE" if not secret.variables else f"--from-file={key}=FILE_WITH_THE_VALUE"
                for secret in item.secrets for key in (secret.variables or (secret.key,))]
        if keys:
            lines.append(f"    kubectl create secret generic {item.name}-secrets {' '.join(keys)}")
        lines.append(f"    kubectl apply -f {item.name}/kubernetes.yaml")
    filled = [f"{item.name}-{key}" for item in containers for key in kubernetes.claims(item)]
    lines += ["", "Each pod has the application and an nginx, which meet at a UNIX socket and which the Service and the Ingress lead to."]
    if filled:
        lines += [f"The volumes {', '.join(filled)} have to hold what the host has:",
                  "apply the claims, copy the trees into them (a pod with tar, or the storage's own way), then apply the rest."]
    late = [f"{item.service['name']}: {job.name} ({job.when})" for item in containers for job in item.jobs if not job.cron]
    if late:
        lines += ["Times that a CronJob cannot say are left out: " + "; ".join(late) + "."]
    return [*lines, ""]


def _quadlet(containers: list[Container], settings: Settings) -> list[str]:
    create = [f"    podman secret create {item.name}-{secret.key} {'secrets/' + item.name + '.ini' if secret.variables else secret.target}"
              for item in containers for secret in item.secrets]
    timers = ["    cp quadlet/systemd/* /etc/systemd/system/"] if any(item.jobs for item in containers) else []
    names = " ".join(f"webstack-{item.name}" for item in containers)
    clocks = [f"webstack-{item.name}-{job.name}.{'timer' if job.timer else 'service'}" for item in containers for job in item.jobs]
    enable = [f"    systemctl enable --now {' '.join(clocks)}"] if clocks else []
    load = [f"    docker save {' '.join(item.image for item in containers if item.local and item.built)} | podman load"] \
        if any(item.local and item.built for item in containers) else []
    load += [f"    podman build -t {quadlet.image(item)} {item.name}" for item in containers if item.local and not item.built]
    return ["## Podman", "", *load, *create, "    cp quadlet/webstack* /etc/containers/systemd/", *timers, "    systemctl daemon-reload",
            f"    systemctl start {names} webstack-edge", *enable, "",
            "On a host that keeps its own nginx leave webstack-edge out, and lead nginx to the volumes' sockets.", ""]


_PARTS = {"compose": _compose, "swarm": _swarm, "kubernetes": _kubernetes, "quadlet": _quadlet}


def text(containers: list[Container], settings: Settings, formats: list[str]) -> str:
    """README.md of an export."""
    lines = [f"# The services of {' '.join(settings.host.split())} as containers", "",
             "Made by gantry.webstack from the host's plan; the next export writes these files anew, so keep your changes in a copy or a repository.", "",
             *_services(containers), "", *_images(containers)]
    if any(item.secrets for item in containers):
        lines += _secrets(containers, formats)
    for name in formats:
        if name in _PARTS:
            lines += _PARTS[name](containers, settings)
    lines += ["## nginx", "", f"It is `{settings.nginx}` with a configuration made from the plan's sites: names, locations, static trees, sizes of bodies.",
              "What else the host's nginx does (rewrites, headers, caches, other locations, TLS) is not in the plan and has to be added. The module",
              "`gantry.webstack.compare_answers` compares the answers of both.", ""]
    return "\n".join(lines)
