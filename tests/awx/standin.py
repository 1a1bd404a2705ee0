"""A stand-in for the parts of AWX's REST API v2 that the role awx uses. It is not AWX: nothing runs in it.

It keeps what it is given, refuses what AWX refuses (rules.py), and is stricter where AWX is lenient: a field that AWX does not have is an error here.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import rules
from rules import Refused

API = "/api/v2/"
TOKEN = "a-token-of-the-stand-in"
READ_ONLY = {"id", "type", "url", "related", "summary_fields", "created", "modified", "managed", "survey_spec"}
LINKS = ("success_nodes", "failure_nodes", "always_nodes")
ASK = {f"ask_{name}_on_launch": False for name in (
    "scm_branch", "diff_mode", "variables", "limit", "tags", "skip_tags", "job_type", "verbosity", "inventory", "credential", "execution_environment", "labels",
    "forks", "job_slice_count", "timeout", "instance_groups")}
TEXT = {"name": "", "description": ""}

MODELS: dict[str, dict[str, Any]] = {
    "organizations": {**TEXT, "max_hosts": 0, "default_environment": None},
    "credential_types": {**TEXT, "kind": "", "inputs": {}, "injectors": {}},
    "credentials": {**TEXT, "organization": None, "credential_type": None, "inputs": {}},
    "execution_environments": {**TEXT, "organization": None, "image": "", "credential": None, "pull": ""},
    "projects": {**TEXT, "organization": None, "scm_type": "", "scm_url": "", "scm_branch": "", "scm_refspec": "", "local_path": "", "credential": None,
                 "scm_clean": False, "scm_delete_on_update": False, "scm_track_submodules": False, "scm_update_on_launch": False,
                 "scm_update_cache_timeout": 0, "allow_override": False, "timeout": 0, "default_environment": None, "scm_revision": ""},
    "inventories": {**TEXT, "organization": None, "kind": "", "host_filter": "", "variables": "", "prevent_instance_group_fallback": False},
    "job_templates": {**TEXT, **ASK, "organization": None, "job_type": "run", "inventory": None, "project": None, "playbook": "", "scm_branch": "", "forks": 0,
                      "limit": "", "verbosity": 0, "extra_vars": "", "job_tags": "", "force_handlers": False, "skip_tags": "", "start_at_task": "",
                      "timeout": 0, "use_fact_cache": False, "execution_environment": None, "host_config_key": "", "survey_enabled": False,
                      "become_enabled": False,
                      "diff_mode": False, "allow_simultaneous": False, "job_slice_count": 1, "webhook_service": "", "webhook_credential": None,
                      "prevent_instance_group_fallback": False},
    "workflow_job_templates": {**TEXT, "extra_vars": "", "organization": None, "survey_enabled": False, "allow_simultaneous": False, "inventory": None,
                               "limit": None, "scm_branch": None, "job_tags": None, "skip_tags": None, "webhook_service": "", "webhook_credential": None,
                               **{key: ASK[key] for key in ASK if key.split("_on_")[0] in (
                                   "ask_variables", "ask_inventory", "ask_scm_branch", "ask_limit", "ask_labels", "ask_tags", "ask_skip_tags")}},
    "workflow_job_template_nodes": {"identifier": "", "workflow_job_template": None, "unified_job_template": None, "extra_data": {}, "inventory": None,
                                    "scm_branch": None, "job_type": None, "job_tags": None, "skip_tags": None, "limit": None, "diff_mode": None,
                                    "verbosity": None, "execution_environment": None, "forks": None, "job_slice_count": None, "timeout": None,
                                    "all_parents_must_converge": False},
    "workflow_approval_templates": {**TEXT, "organization": None, "timeout": 0},
}
FOREIGN = {"organization": "organizations", "default_environment": "execution_environments", "execution_environment": "execution_environments",
           "credential": "credentials", "webhook_credential": "credentials", "credential_type": "credential_types", "project": "projects",
           "inventory": "inventories", "workflow_job_template": "workflow_job_templates", "unified_job_template": "unified_job_templates"}
UNIQUE = {"workflow_job_template_nodes": ("identifier", "workflow_job_template"), "organizations": ("name",), "execution_environments": ("name",),
          "credential_types": ("name", "kind"), "workflow_approval_templates": ("id",)}
UNIFIED = ("job_templates", "workflow_job_templates", "projects", "workflow_approval_templates")
SUBLISTS = {"job_templates": ("credentials", "labels", "instance_groups"), "workflow_job_template_nodes": (*LINKS, "credentials", "labels", "instance_groups"),
            "workflow_job_templates": ("labels",), "organizations": ("galaxy_credentials", "instance_groups"), "inventories": ("instance_groups",)}
CHOICES = {"job_type": ("run", "check", "scan", None), "pull": ("", "always", "missing", "never"), "scm_type": ("", "git", "svn", "insights", "archive")}


def singular(kind: str) -> str:
    """The type of an endpoint's objects."""
    return kind[:-3] + "y" if kind.endswith("ies") else kind[:-1]


class Awx:
    """What is kept, by endpoint and id."""

    def __init__(self, playbooks: list[str]) -> None:
        self.playbooks, self.objects, self.writes = playbooks, {kind: dict[int, dict[str, Any]]() for kind in MODELS}, list[str]()
        self.surveys: dict[tuple[str, int], dict[str, Any]] = {}
        self.lists: dict[tuple[str, int, str], list[int]] = {}
        self._next = 1

    def named(self, kind: str, name: str) -> dict[str, Any]:
        """The one object of this name."""
        return next(item for item in self.objects[kind].values() if name in (item.get("name"), item.get("identifier")))

    def links(self, node: str, link: str) -> list[str]:
        """The identifiers that a workflow's node leads to."""
        nodes = self.objects["workflow_job_template_nodes"]
        start = self.named("workflow_job_template_nodes", node)["id"]
        return sorted(nodes[child]["identifier"] for child in self.lists.get(("workflow_job_template_nodes", start, link), []))

    def shown(self, kind: str, item: Mapping[str, Any]) -> dict[str, Any]:
        """An object as the API shows it."""
        url = f"{API}{kind}/{item['id']}/"
        related = {name: f"{url}{name}/" for name in SUBLISTS.get(kind, ())}
        if kind in ("job_templates", "workflow_job_templates"):
            related["survey_spec"] = f"{url}survey_spec/"
        if kind == "workflow_job_template_nodes" and item["unified_job_template"]:
            owner = next(owner for owner in UNIFIED if item["unified_job_template"] in self.objects[owner])
            related["unified_job_template"] = f"{API}{owner}/{item['unified_job_template']}/"
        managed = {"managed": False} if kind in ("credential_types", "execution_environments") else {}
        return {**item, **managed, "type": singular(kind), "url": url, "related": related, "summary_fields": {}}

    def table(self, kind: str) -> dict[int, tuple[str, dict[str, Any]]]:
        """The objects of an endpoint with where they are kept; unified_job_templates are those of several."""
        if kind not in MODELS and kind not in ("unified_job_templates", "labels", "instance_groups"):
            raise KeyError(kind)
        return {key: (owner, item) for owner in (UNIFIED if kind == "unified_job_templates" else [kind]) for key, item in self.objects.get(owner, {}).items()}

    def find(self, kind: str, query: Mapping[str, str]) -> dict[str, Any]:
        """A page of the objects that match a query."""
        results = []
        for owner, item in self.table(kind).values():
            told = {**item, "type": singular(owner)}
            either = [key for key in query if key.startswith("or__")]
            for key in query:
                if key.removeprefix("or__") not in told:
                    raise Refused({"detail": f"{singular(owner)} has no field named '{key}'"})
            if all(str(told[key]) == value for key, value in query.items() if key not in either) and (
                    not either or any(str(told[key.removeprefix("or__")]) == query[key] for key in either)):
                results.append(self.shown(owner, item))
        return {"count": len(results), "next": None, "previous": None, "results": results}

    def create(self, kind: str, given: dict[str, Any]) -> dict[str, Any]:
        """A new object."""
        item = {**json.loads(json.dumps(MODELS[kind])), "id": self._next}
        self._take(kind, item, given)
        self._next += 1
        self.objects[kind][item["id"]] = item
        return self.shown(kind, item)

    def change(self, kind: str, key: int, given: dict[str, Any]) -> dict[str, Any]:
        """An object with some fields replaced."""
        item = dict(self.objects[kind][key])
        if kind == "workflow_job_template_nodes":
            given = {name: value for name, value in given.items() if name != "workflow_job_template"}  # read-only once it is made
        self._take(kind, item, given)
        self.objects[kind][key] = item
        return self.shown(kind, item)

    def _take(self, kind: str, item: dict[str, Any], given: dict[str, Any]) -> None:
        fields = MODELS[kind]
        for name, value in given.items():
            if name in READ_ONLY or (kind == "job_templates" and name == "organization"):
                continue
            if name not in fields:
                raise Refused({name: ["AWX has no such field."]})
            if name in FOREIGN:
                if value is not None and value not in self.table(FOREIGN[name]):
                    raise Refused({name: [f'Invalid pk "{value}" - object does not exist.']})
            elif fields[name] is not None and (type(value) is not type(fields[name])):
                raise Refused({name: [f"Not a valid value: {value!r}."]})
            if value not in CHOICES.get(name, (value,)):
                raise Refused({name: [f'"{value}" is not a valid choice.']})
            item[name] = value
        if "name" in fields and not item["name"]:
            raise Refused({"name": ["This field may not be blank."]})
        self._check(kind, item)
        unique = UNIQUE.get(kind, ("name", "organization"))
        if any(other["id"] != item["id"] and all(other[name] == item[name] for name in unique) for other in self.objects[kind].values()):
            raise Refused({"__all__": [f"{singular(kind)} with this ({', '.join(unique)}) combination already exists."]})

    def _check(self, kind: str, item: dict[str, Any]) -> None:
        for name in ("extra_vars", "variables"):
            if item.get(name):
                json.loads(item[name])
        if kind == "credential_types":
            rules.credential_type(item["kind"], item["inputs"], item["injectors"])
        elif kind == "execution_environments" and not item["image"]:
            raise Refused({"image": ["This field is required."]})
        elif kind == "inventories" and not item["organization"]:
            raise Refused({"organization": ["This field is required."]})
        elif kind == "job_templates":
            if not item["project"]:
                raise Refused({"project": ["Job Templates must have a project assigned."]})
            if not item["inventory"] and not item["ask_inventory_on_launch"]:
                raise Refused({"inventory": ["You must either set a default value or ask to prompt on launch."]})
            if item["playbook"] not in self.playbooks:
                raise Refused({"playbook": ["Playbook not found for project."]})
            item["organization"] = self.objects["projects"][item["project"]]["organization"]
        elif kind == "workflow_job_template_nodes" and item["unified_job_template"] and item["extra_data"]:
            owner, template = self.table("unified_job_templates")[item["unified_job_template"]]
            rules.answers(self.surveys.get((owner, template["id"]), {}), template.get("survey_enabled", False),
                          template.get("ask_variables_on_launch", False), item["extra_data"])

    def link(self, kind: str, key: int, name: str, given: Mapping[str, Any]) -> None:
        """Add to, or take from, a list of an object."""
        held = self.lists.setdefault((kind, key, name), [])
        if given.get("disassociate"):
            held.remove(given["id"])
            return
        if name in LINKS:
            if any(given["id"] in self.lists.get((kind, key, other), []) for other in LINKS if other != name):
                raise Refused({"Error": "Relationship not allowed."})
            graph = {node: [child for other in LINKS for child in self.lists.get((kind, node, other), [])] for node in self.objects[kind]}
            graph[key].append(given["id"])
            rules.no_cycle(graph)
        if given["id"] not in self.table(kind if name in LINKS else name):
            raise Refused({"id": [f"there is no {given['id']}"]})
        held.append(given["id"])


class Handler(BaseHTTPRequestHandler):
    """Requests to what ``server.awx`` keeps."""

    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _answer(self, status: int, body: Any = None) -> None:
        text = json.dumps(body).encode() if body is not None else b""
        self.send_response(status)
        self.send_header("X-API-Product-Name", "AWX")
        self.send_header("X-API-Product-Version", "24.6.1")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _serve(self) -> None:
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        words = [word for word in url.path.removeprefix(API).split("/") if word]
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._answer(401, {"detail": "Authentication credentials were not provided."})
            return
        with self.server.lock:
            if self.command in ("POST", "PATCH", "DELETE"):
                self.server.awx.writes.append(f"{self.command} {url.path}")
            try:
                self._answer(*self._route(words, dict(parse_qsl(url.query, keep_blank_values=True)), json.loads(text) if text else {}))
            except Refused as exc:
                self._answer(400, exc.body)
            except (KeyError, ValueError, StopIteration):
                self._answer(404, {"detail": "Not found."})

    def _route(self, words: list[str], query: dict[str, str], given: Any) -> tuple[int, Any]:
        """(status, body) of a request. Raises Refused, and KeyError for what is not there."""
        awx, method = self.server.awx, self.command
        match words:
            case ["ping"]:
                return 200, {"version": "24.6.1"}
            case [kind]:
                return (200, awx.find(kind, query)) if method == "GET" else (201, awx.create(kind, given))
            case [kind, key]:
                item = awx.objects[kind][int(key)]
                return 200, awx.shown(kind, item) if method == "GET" else awx.change(kind, int(key), given)
            case ["job_templates" | "workflow_job_templates" as kind, key, "survey_spec"]:
                awx.objects[kind][int(key)]
                if method == "GET":
                    return 200, awx.surveys.get((kind, int(key)), {})
                if method == "POST":
                    rules.survey_spec(given)
                awx.surveys[(kind, int(key))] = given if method == "POST" else {}
                return 200, {}
            case ["workflow_job_template_nodes" as kind, key, "create_approval_template"]:
                node = awx.objects[kind][int(key)]
                made = awx.create("workflow_approval_templates", given)
                node["unified_job_template"] = made["id"]
                return 201, made
            case [kind, key, name] if name in SUBLISTS[kind]:
                awx.objects[kind][int(key)]
                target = kind if name in LINKS else name
                if method == "GET":
                    found = [awx.shown(target, awx.objects[target][child]) for child in awx.lists.get((kind, int(key), name), [])]
                    return 200, {"count": len(found), "next": None, "previous": None, "results": found}
                awx.link(kind, int(key), name, given)
                return 204, None
        raise KeyError("/".join(words))

    do_GET = do_POST = do_PATCH = do_DELETE = _serve


class Server(ThreadingHTTPServer):
    """The stand-in on a port of its own on the loopback."""

    daemon_threads = True

    def __init__(self, playbooks: list[str]) -> None:
        self.awx, self.lock = Awx(playbooks), threading.Lock()
        super().__init__(("127.0.0.1", 0), Handler)
