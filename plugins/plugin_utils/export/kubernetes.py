# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A service as Kubernetes manifests. Pure.

nginx is a sidecar: it speaks the uwsgi protocol at the UNIX socket that both containers share, and serves the static trees, as it did on the host.
The Ingress needs to know nothing but names and paths.
"""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.gantry.webstack.plugins.module_utils.move._requests import host_names
from ansible_collections.gantry.webstack.plugins.plugin_utils.export import edge
from ansible_collections.gantry.webstack.plugins.plugin_utils.export.container import CONFIG, Container, Mount, Settings
from ansible_collections.gantry.webstack.plugins.plugin_utils.export.text import Document, without

_TMP = (("tmp", "/tmp"), ("var-tmp", "/var/tmp"))


def _labels(container: Container, component: str = "web") -> dict[str, str]:
    return {"app.kubernetes.io/name": container.name, "app.kubernetes.io/component": component}


def _object(kind: str, container: Container, name: str, version: str = "v1", **rest: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "labels": _labels(container)}, **rest}


def quantity(memory: str) -> str:
    """The engine's M (1024 * 1024 bytes) as Kubernetes writes it."""
    return memory.upper() + "i" if memory[-1:].upper() in ("K", "M", "G") else memory


def _secret(container: Container) -> str:
    return f"{container.name}-secrets"


def claims(container: Container) -> dict[str, list[Mount]]:
    """What each PersistentVolumeClaim holds, every path at a sub path of the same name: ``state`` is written, ``files`` are read."""
    found = {"state": [mount for mount in container.mounts if not mount.read_only]}
    reads = [mount for mount in container.mounts if mount.read_only]
    reads += [mount for mount in edge.mounts(container)
              if not container.in_image(mount.path) and mount.path not in {item.path for item in container.mounts}]
    found["files"] = reads
    return {key: mounts for key, mounts in found.items() if mounts}


def _volume_mounts(container: Container, paths: list[Mount]) -> list[dict[str, Any]]:
    found = []
    for key, mounts in claims(container).items():
        known = {mount.path for mount in mounts}
        found += [without({"name": key, "mountPath": mount.path, "subPath": mount.path.lstrip("/"), "readOnly": mount.read_only or None})
                  for mount in paths if mount.path in known]
    return found


def _images_static(container: Container) -> list[str]:
    """Static trees of the image: an init container hands them to nginx."""
    return [mount.path for mount in edge.mounts(container) if container.in_image(mount.path)]


def _secret_mounts(container: Container) -> list[dict[str, Any]]:
    return [{"name": "secrets", "mountPath": secret.target, "subPath": secret.key, "readOnly": True} for secret in container.secrets if not secret.variables]


def _environment(container: Container) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [{"name": name, "value": value.replace("$(", "$$(")} for name, value in container.environment.items()]
    return found + [{"name": name, "valueFrom": {"secretKeyRef": {"name": _secret(container), "key": name}}} for name in container.variables]


def _confined() -> dict[str, Any]:
    return {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


def _tmp_mounts() -> list[dict[str, Any]]:
    return [{"name": name, "mountPath": path} for name, path in _TMP]


def _own(container: Container, name: str, command: list[str]) -> dict[str, Any]:
    """A container of the service's image."""
    return without({
        "name": name, "image": container.image, "command": command, "workingDir": container.workdir, "env": _environment(container),
        "resources": {"limits": {"memory": quantity(container.memory)}} if container.memory else None, "securityContext": _confined(),
        "volumeMounts": [*_tmp_mounts(), *_secret_mounts(container), *_volume_mounts(container, list(container.mounts))],
    })


def _pod(container: Container) -> dict[str, Any]:
    """What all pods of the service share: its user, and what it sees."""
    volumes: list[dict[str, Any]] = [{"name": name, "emptyDir": {"medium": "Memory"}} for name, _path in _TMP]
    if any(not secret.variables for secret in container.secrets):
        volumes.append({"name": "secrets", "secret": {"secretName": _secret(container), "defaultMode": 0o400}})
    volumes += [{"name": key, "persistentVolumeClaim": {"claimName": f"{container.name}-{key}"}} for key in claims(container)]
    return {
        "automountServiceAccountToken": False,
        "securityContext": without({
            "runAsUser": container.uid, "runAsGroup": container.gid, "runAsNonRoot": True if container.uid else None, "fsGroup": container.gid,
            "fsGroupChangePolicy": "OnRootMismatch", "supplementalGroups": list(container.groups), "seccompProfile": {"type": "RuntimeDefault"},
            "sysctls": [{"name": name, "value": value} for name, value in container.sysctls.items()]}),
        "volumes": volumes,
    }


def _web(container: Container, settings: Settings) -> dict[str, Any]:
    health = container.health(container.socket)
    probe = {"exec": {"command": health["test"][1:]}, "periodSeconds": health["interval"] // 10**9, "timeoutSeconds": health["timeout"] // 10**9}
    application = _own(container, "uwsgi", [container.binary, "--ini", CONFIG])
    application["volumeMounts"] += [{"name": "run", "mountPath": container.run},
                                    {"name": "config", "mountPath": CONFIG, "subPath": "uwsgi.ini", "readOnly": True}]
    application["startupProbe"] = {**probe, "periodSeconds": 2, "failureThreshold": 60}
    application["livenessProbe"] = {**probe, "failureThreshold": health["retries"]}
    copied = _images_static(container)
    nginx = {
        "name": "nginx", "image": settings.nginx, "command": list(edge.COMMAND), "ports": [{"name": "http", "containerPort": edge.PORT}],
        "securityContext": {**_confined(), "runAsUser": edge.UID},
        "readinessProbe": {"tcpSocket": {"port": "http"}, "periodSeconds": 5},
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}, {"name": "run", "mountPath": container.run, "readOnly": True},
                         {"name": "config", "mountPath": edge.CONFIG, "subPath": "nginx.conf", "readOnly": True},
                         *({**item, "readOnly": True} for item in _volume_mounts(container, edge.mounts(container))),
                         *({"name": "static", "mountPath": path, "subPath": path.lstrip("/"), "readOnly": True} for path in copied)],
    }
    pod = _pod(container)
    pod["volumes"] += [{"name": "run", "emptyDir": {"medium": "Memory"}}, {"name": "config", "configMap": {"name": f"{container.name}-config"}}]
    if copied:
        pod["volumes"].append({"name": "static", "emptyDir": {}})
        copy = _own(container, "static", ["/bin/sh", "-c", "\n".join(
            f"mkdir -p /static{path.rsplit('/', 1)[0]} && cp -RL {path} /static{path}" for path in copied)])
        copy["volumeMounts"].append({"name": "static", "mountPath": "/static"})
        pod["initContainers"] = [copy]
    return {"terminationGracePeriodSeconds": 60, **pod, "containers": [application, nginx]}


def _deployment(container: Container, name: str, component: str, pod: dict[str, Any], replicas: int = 1) -> dict[str, Any]:
    labels = _labels(container, component)
    found = _object("Deployment", container, name, "apps/v1", spec={
        "replicas": replicas,
        # a volume of one node can not be in two places at once
        "strategy": {"type": "Recreate"} if container.mounts else {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}})
    found["metadata"]["labels"] = labels
    return found


def _beside(container: Container) -> dict[str, Any]:
    """On the node of the web pod, which has the volumes."""
    if not container.mounts:
        return {}
    term = {"labelSelector": {"matchLabels": _labels(container)}, "topologyKey": "kubernetes.io/hostname"}
    return {"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}


def _cron_job(container: Container, job: Any, settings: Settings) -> dict[str, Any]:
    pod = {"restartPolicy": "Never", **_beside(container), **_pod(container), "containers": [_own(container, job.name, ["/bin/sh", "-c", job.command])]}
    labels = _labels(container, "job")
    zone = settings.facts.get("zone")
    return _object("CronJob", container, f"{container.name}-{job.name}"[:52].rstrip("-"), "batch/v1", spec=without({
        "schedule": job.cron, "timeZone": zone, "concurrencyPolicy": "Allow" if job.overlaps else "Forbid", "startingDeadlineSeconds": 60,
        "jobTemplate": {"spec": {"backoffLimit": 0, "template": {"metadata": {"labels": labels}, "spec": pod}}}}))


def _paths(container: Container, site: dict[str, Any]) -> list[dict[str, Any]]:
    backend = {"service": {"name": container.name, "port": {"name": "http"}}}
    found = []
    for location in [site.get("location", "/"), *(item["location"] for item in edge.static(container))]:
        text = re.sub(r"^(=|\^~)\s+", "", location)
        kind = "Exact" if location.startswith("=") else "Prefix"
        path = text if text.startswith("/") and not location.startswith(("~", "@")) else "/"
        found.append({"path": path, "pathType": kind, "backend": backend})
    if any(item["path"] == "/" and item["pathType"] == "Prefix" for item in found):
        return [{"path": "/", "pathType": "Prefix", "backend": backend}]
    return list({(item["path"], item["pathType"]): item for item in found}.values())


def _ingress(container: Container) -> dict[str, Any]:
    rules: dict[str, dict[str, Any]] = {}
    for site in edge.sites(container):
        names = [name for name in site.get("server_names", []) if re.fullmatch(r"(\*\.)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?", name)]
        for name in names or (host_names(site) and [] or [""]):
            rules.setdefault(name, without({"host": name, "http": {"paths": _paths(container, site)}}))
    return _object("Ingress", container, container.name, "networking.k8s.io/v1", spec={"rules": list(rules.values())})


def secret_manifest(container: Container) -> Document | None:
    """The Secret that has to be provided, with names and no value; None without secrets."""
    if not container.secrets:
        return None
    keys = [key for secret in container.secrets for key in (secret.variables or (secret.key,))]
    found = Document(_object("Secret", container, _secret(container), type="Opaque", stringData=dict.fromkeys(keys, "")))
    found.head = [f"What the secret of {container.service['name']} has to hold. Do not fill it in here: make it from files, see README.md."]
    for secret in container.secrets:
        for key in secret.variables or (secret.key,):
            found.note(("stringData", key), f"{'an environment variable' if secret.variables else 'the file ' + secret.target}; on the host: {secret.source}")
    return found


def documents(container: Container, settings: Settings) -> list[Document]:
    """The manifests of a service in the order in which they are applied."""
    config = {"uwsgi.ini": container.config(container.socket, include=False),
              "nginx.conf": edge.config([container], f"The nginx beside {container.service['name']}.")}
    manifests = [_object("ConfigMap", container, f"{container.name}-config", data=config)]
    for key in claims(container):
        manifests.append(_object("PersistentVolumeClaim", container, f"{container.name}-{key}", spec={
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}))
    manifests.append(_deployment(container, container.name, "web", _web(container, settings)))
    manifests.append(_object("Service", container, container.name, spec={
        "selector": _labels(container), "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}))
    manifests.append(_ingress(container))
    if container.network == "none":
        manifests.append(_object("NetworkPolicy", container, container.name, "networking.k8s.io/v1", spec={
            "podSelector": {"matchLabels": {"app.kubernetes.io/name": container.name}}, "policyTypes": ["Egress"], "egress": []}))
    for worker in container.workers:
        pod = {"terminationGracePeriodSeconds": worker.stop_timeout, **_beside(container), **_pod(container),
               "containers": [_own(container, worker.name, ["/bin/sh", "-c", worker.command])]}
        manifests.append(_deployment(container, f"{container.name}-{worker.name}", f"worker-{worker.name}", pod, worker.instances))
    manifests += [_cron_job(container, job, settings) for job in container.jobs if job.cron]
    found = [Document(item) for item in manifests]
    for item in found:
        _comment(item, container)
    found[0].head = [f"The service {container.service['name']} of {settings.host}; made from the plan by gantry.webstack.",
                     "README.md says what has to be provided: the image, volumes with what is on the host, and a Secret.", *container.notes]
    return found


def _comment(found: Document, container: Container) -> None:
    kind, name = found.data["kind"], found.data["metadata"]["name"]
    if kind == "PersistentVolumeClaim":
        paths = ", ".join(mount.path for mount in claims(container)[name.rpartition("-")[2]])
        found.note(("spec",), f"holds {paths} of the host, each at its path without the first slash, owned by {container.user}: fill it before the first start")
        found.note(("spec", "resources"), "choose a size, and a storageClassName where the cluster has no default")
        found.note(("spec", "accessModes"), "ReadWriteMany, where the cluster has it, allows pods on several nodes")
    elif kind == "Deployment" and container.sysctls:
        found.note(("spec",), f"{', '.join(container.sysctls)} has to be allowed by the kubelet (--allowed-unsafe-sysctls)")
    elif kind == "Ingress":
        found.note(("spec",), "add ingressClassName and tls as the cluster has them; expressions among server names are left out")
    elif kind == "NetworkPolicy":
        found.note(("spec",), "on the host its container has no network; here it gets answers out, and begins nothing")
