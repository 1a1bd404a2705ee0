# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Evidence to plan. Pure: the same evidence gives the same plan, and nothing that changes from run to run (PIDs, times) is in it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.discover import _nginx_text
from ansible_collections.gantry.webstack.plugins.module_utils.discover._redact import MASK
from ansible_collections.gantry.webstack.plugins.module_utils.discover._uwsgi_config import HTTP_KEYS
from ansible_collections.gantry.webstack.plugins.module_utils.move import _beside, _nginx_places, _user_crontabs, _worker_units
from ansible_collections.gantry.webstack.plugins.plugin_utils import ledger, nginx_choice, nginx_config, nginx_routes
from ansible_collections.gantry.webstack.plugins.plugin_utils.model import Plan, Service, validate

Evidence = dict[str, Any]

_KEPT = "nothing that can be set aside keeps it: {}; have an emperor or a systemd unit of its own start it and its own configuration open its socket, \
then run discover again"
_OWN_PORTS = ("http", "https", "http-socket", "https-socket", "http11-socket", "fastcgi-socket", "scgi-socket", "suwsgi-socket", "raw-socket",
              "ssl-socket", "puwsgi-socket", "fastcgi-nph-socket", "scgi-nph-socket", "undeferred-shared-socket", "zerg",
              "zerg-server", "subscribe-to", "subscribe", "fastrouter", "shared-socket", "map-socket", "vassals-dir")
_PATTERN = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
"""User names that a plan takes."""

_PYTHON = ("version", "interpreter", "origin", "venv", "system_site_packages", "distributions", "shared_distributions", "patched", "added", "unowned",
           "unverified", "editable", "direct_urls", "pth")
_BY_HAND = (("patched", "installed file differs from what was installed", "installed files differ from what was installed"),
            ("added", "file was added to installed packages", "files were added to installed packages"),
            ("unowned", "module was installed without metadata", "modules were installed without metadata"))
"""What no lock file brings back; an image takes it as it is."""
_ORDER = ("name", "source", "kind", "path", "volume", "when", "user", "command", "instances", "persistent", "timeout",
          "stop_timeout", "memory_max", "writable", "extra", "what", "runs", "version", "address", "process", "unit", "evidence")


_ACCESS_LOG = "/var/log/nginx/access.log"
"""Debian's for every site that has none of its own; it is not said."""


class PlanError(ValueError):
    """A host of which no plan can be made, in one sentence."""


def plan(host: str, evidence: Evidence, kept: Iterable[dict[str, str]] = ()) -> Plan:
    """The plan of one host, valid against the schema; see ``explain``."""
    return explain(host, evidence, kept)[0]


def explain(host: str, evidence: Evidence, kept: Iterable[dict[str, str]] = ()) -> tuple[Plan, list[ledger.Entry]]:
    """The plan of one host, valid against the schema, and its ledger.

    :param evidence: what M(gantry.webstack.evidence_info) returned. Raises PlanError for a host without anything that serves.
    :param kept: a person's explanations, {what, reason} and perhaps {kind}.
    """
    if evidence["nginx"] is None and not evidence["instances"] and not evidence["converted"] and not evidence["app_servers"]:
        raise PlanError(f"{host}: no nginx, no uWSGI and no other application server runs here, so there is nothing to plan for; "
                        "start them, or leave this host out")
    nginx = _nginx(host, evidence["nginx"])
    evidence = {**evidence, "blind": [*evidence["blind"], *(f"nginx's configuration, {problem}" for problem in nginx.problems)]}
    routes = nginx_routes.routes(nginx)
    requests = nginx_choice.Requests(nginx.sites)
    services = [_service(facts, nginx, routes, requests, evidence) for facts in _distinct(evidence["instances"])]
    services += [{**service, "runtime": "container"} for service in evidence["converted"]]
    services.sort(key=lambda service: service["name"])
    _one_owner_per_socket(services)
    entries = ledger.Ledger(evidence, services, nginx, kept).make()
    done: Plan = {"version": 1, "host": host, "services": services, "edge": _edge(evidence["nginx"] or {}, nginx)}
    for status in ("kept", "external", "unexplained"):
        done[status] = ledger.findings(entries, status)
    return validate(done, f"plan of {host}"), entries


def _nginx(host: str, found: dict[str, Any] | None) -> nginx_config.Nginx:
    if found is None:
        return nginx_config.Nginx([], {})
    try:
        return nginx_config.parse(found["text"])
    except nginx_config.NginxError as exc:
        raise PlanError(f"{host}: nginx's configuration cannot be read: {exc}") from exc


def _edge(facts: dict[str, Any], nginx: nginx_config.Nginx) -> dict[str, Any]:
    found = {key: facts[key] for key in ("version", "binary", "config", "user", "group") if facts.get(key)}
    return {**found, "secrets": nginx.secrets} if nginx.secrets else found


def _distinct(instances: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Instances with names of their own: two emperors may both have an app.ini."""
    seen: dict[str, int] = {}
    found = []
    for facts in sorted(instances, key=lambda item: (item["name"], item["uwsgi"]["config"], str(item["sockets"]))):
        seen[facts["name"]] = seen.get(facts["name"], 0) + 1
        number = seen[facts["name"]]
        if number > 1:
            facts = {**facts, "name": f"{facts['name']}-{number}", "remarks": [*facts["remarks"], f"another instance is named {facts['name']} too"]}
        found.append(facts)
    return found


def _one_owner_per_socket(services: list[Service]) -> None:
    """A socket can lead to one service only; a second one that names it is blocked and loses it."""
    owners: dict[str, str] = {}
    for service in services:
        address = service.get("uwsgi", {}).get("socket")
        if address and address in owners:
            del service["uwsgi"]["socket"]
            reasons = service.setdefault("fit", {"verdict": "blocked"}).setdefault("reasons", [])
            service["fit"] = {"verdict": "blocked", "reasons": [f"{owners[address]} has the same socket {address}", *reasons]}
        elif address:
            owners[address] = service["name"]


def _service(facts: dict[str, Any], nginx: nginx_config.Nginx, routes: list[nginx_routes.Route], requests: nginx_choice.Requests,
             evidence: Evidence) -> Service:
    sockets = [item["address"] for item in facts["sockets"]]
    mine = [route for route in routes if any(_leads(route, item, nginx) for item in facts["sockets"])]
    used = [item["address"] for item in facts["sockets"] if any(_leads(route, item, nginx) for route in mine)]
    socket = (used or [address for address in sockets if address.startswith("/")] or sockets or [None])[0]
    service: Service = {"name": facts["name"], "runtime": "host", "user": _user(facts["user"])}
    if facts["code"]:
        service["code"] = {"path": facts["code"], **facts.get("releases", {})}
    if facts["python"]:
        service["python"] = {key: facts["python"][key] for key in _PYTHON if key in facts["python"]}
        for key in ("distributions", "shared_distributions"):
            if key in service["python"]:
                service["python"][key] = _ordered(service["python"][key])
    service["uwsgi"] = _uwsgi(facts, socket)
    if any(item["address"] == socket and item.get("protocol") == "http" for item in facts["sockets"]):
        service["uwsgi"]["protocol"] = "http"
    service["nginx"] = {"sites": _sites(mine, requests), "static": _static(mine)}
    service["system_packages"] = _ordered(facts["packages"])
    for key in ("environment", "secrets", "state", "files", "tools", "workers", "schedule", "needs"):
        if facts[key]:
            service[key] = _ordered(facts[key]) if isinstance(facts[key], list) else facts[key]
    service["health"] = {key: facts["health"][key] for key in ("path", "status", "host", "timeout") if key in facts["health"]}
    through_nginx = [address for address in (used if mine else sockets) if not address.startswith(("/", "@")) or facts["manager"].get("socket")]
    led = _led(through_nginx, evidence["nginx"] or {}) or (_kept_back(mine, evidence) if through_nginx else [])
    service["fit"] = _fit(facts, mine, used, nginx, led, [*_managed(facts, mine, evidence), *_refused(mine, evidence["nginx"] or {})])
    return service


def _leads(route: nginx_routes.Route, item: dict[str, Any], nginx: nginx_config.Nginx) -> bool:
    """Does a location lead to a socket, in the socket's protocol?"""
    http = item.get("protocol") == "http"
    if route.directive != ("proxy_pass" if http else "uwsgi_pass") or http and not route.target.startswith("http://"):
        return False
    return any(_same(target, item["address"]) for target in nginx.addresses(route.target))


def _same(target: str, address: str) -> bool:
    return target == address or _nginx_places.leads_to(target, address)


def _led(addresses: list[str], nginx: dict[str, Any]) -> list[str]:
    """Why nginx's configuration cannot be led elsewhere at the places that name these addresses."""
    files = _nginx_text.files(nginx.get("text", ""))
    main = next(iter(files), "")
    for address in addresses:
        try:
            _nginx_places.places(main, files.__getitem__, lambda pattern: _nginx_text.matching(files, pattern), address, "/run/webstack")
        except WebstackError as exc:
            return [str(exc)]
    return []


def _kept_back(mine: list[nginx_routes.Route], evidence: Evidence) -> list[str]:
    """What manages a file of nginx that has to be edited: it would lead nginx back to where nobody listens."""
    files = {file for route in mine for file in (route.location.file, route.site.file)}
    owners = [(item["name"], path) for item in evidence["managers"] for path in item["manages"].get("file", []) if path in files]
    owners += [(item["by"], item["path"]) for item in evidence["managed"] if item["path"] in files]
    return [f"{name} manages {path}, in which nginx has to be led elsewhere; have its uWSGI open a UNIX socket itself, or release the file"
            for name, path in owners]


def _ordered(items: list[Any]) -> list[Any]:
    """The same items with their keys in the order of the plan."""
    return [{key: item[key] for key in sorted(item, key=_ORDER.index)} if isinstance(item, dict) else item for item in items]


def _user(user: dict[str, Any]) -> dict[str, Any]:
    name = user["name"] if _PATTERN.fullmatch(user["name"]) else f"uid{user['uid']}"
    if user.get("dynamic"):  # its numbers are another unit's tomorrow
        return {"name": name, "group": user["group"]}
    return {"name": name, "uid": user["uid"], "group": user["group"], "gid": user["gid"]}


def _uwsgi(facts: dict[str, Any], socket: str | None) -> dict[str, Any]:
    found = {key: facts["uwsgi"][key] for key in ("origin", "version", "binary", "config") if str(facts["uwsgi"][key]).strip()}
    if socket:
        found["socket"] = socket
    manager = facts["manager"]
    if manager["kind"]:
        found["manager"] = {key: manager[key] for key in ("kind", "unit", "vassal", "socket") if manager.get(key)}
    options: dict[str, Any] = {}
    for key, text in facts["options"]:
        value = _scalar(text)
        if key in options:
            first = options[key]
            options[key] = [*first, value] if isinstance(first, list) else [first, value]
        else:
            options[key] = value
    found["options"] = options
    return found


def _scalar(text: Any) -> Any:
    """An option's value as a person would write it in YAML; what comes back as the same text only."""
    if text in (True, "true"):
        return True
    if text == "false":
        return False
    return int(text) if re.fullmatch(r"0|[1-9][0-9]{0,17}", text) else text


def _sites(mine: list[nginx_routes.Route], requests: nginx_choice.Requests) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for route in mine:
        site: dict[str, Any] = {"file": route.site.file, "listen": route.site.listen, "server_names": route.site.server_names, "location": route.match}
        path = requests.path(route.site, route.entry) if route.entry.modifier in ("~", "~*") else ""
        if path:
            site["path"] = path
        params = route.location.params if route.directive == "uwsgi_pass" else _proxied(route)
        if params:
            site["params"] = params
        uri = re.sub(r"^http://(unix:[^:]*:?|[^/?]*)", "", route.target) if route.directive == "proxy_pass" else ""
        if uri:
            site["uri"] = uri
        if route.location.client_max_body_size:
            site["client_max_body_size"] = route.location.client_max_body_size
        if route.location.access_log not in (None, _ACCESS_LOG):
            site["access_log"] = False if route.location.access_log == "off" else route.location.access_log
        if site not in found:
            found.append(site)
    return found


def _proxied(route: nginx_routes.Route) -> dict[str, str]:
    """The headers that nginx gives a proxied request; Host is what the directive names where none is set (ngx_http_proxy_module)."""
    headers = route.location.proxy_headers
    if any(name.lower() == "host" for name in headers):
        return headers
    server = re.sub(r"^http://", "", route.target)
    return {"Host": "localhost" if server.startswith("unix:") else re.split(r"[/?]", server)[0].removesuffix(":80"), **headers}


def _static(mine: list[nginx_routes.Route]) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    for route in mine:
        found += [item for item in nginx_config.static(route.site) if item not in found]
    return found


def _fit(facts: dict[str, Any], mine: list[nginx_routes.Route], used: list[str], nginx: nginx_config.Nginx, led: list[str],
         managed: list[str]) -> dict[str, Any]:
    blocked = list(dict.fromkeys([*_blocked(facts, mine, used, nginx, led), *led]))
    remarks = [*_remarks(facts), *_open_to_others(used), *managed]
    verdict = "blocked" if blocked else "remarks" if remarks else "ready"
    return {"verdict": verdict, "reasons": blocked + remarks} if blocked or remarks else {"verdict": verdict}


def _open_to_others(used: list[str]) -> list[str]:
    """That it can be reached past nginx."""
    return [f"it listens at {address} for more than nginx; who asks it there finds nobody while it is converted" for address in used
            if not address.startswith(("/", "@")) and not re.match(r"127\.|localhost|\[::1\]", address)]


def _blocked(facts: dict[str, Any], mine: list[nginx_routes.Route], used: list[str], nginx: nginx_config.Nginx, led: list[str]) -> list[str]:
    """What stands in the way of converting, each with what a person can do."""
    options = {key for key, _value in facts["options"]}
    reasons = [] if facts["manager"]["kind"] else [_KEPT.format(facts["not_convertible"] or "its manager is not known")]
    reasons += [f"its configuration is not understood: {warning}" for warning in facts["warnings"] if not warning.endswith("has no value")]
    if not facts["python"]:
        reasons.append("it runs no Python")
    if not facts["sockets"]:
        reasons.append("it has no socket of the uwsgi protocol or of http")
    elif not mine and not led:
        reasons.append(f"no nginx location leads to its socket {', '.join(item['address'] for item in facts['sockets'])}")
    for address in used:
        if address.startswith("@"):
            reasons.append(f"nginx reaches it at {address}; an abstract socket cannot be taken over")
    if len(used) > 1:
        reasons.append(f"nginx reaches it over several sockets: {', '.join(used)}")
    for route in mine:
        others = [target for target in nginx.addresses(route.target) if not any(_same(target, address) for address in used)]
        if others:
            reasons.append(f"its upstream {route.target} has further servers: {', '.join(others)}")
    reasons += [f"its socket cannot be moved: {item['problem']}" for item in facts["sockets"]
                if item["problem"] and item["address"] in used and item["problem"] != facts["not_convertible"]]
    reasons += [f"its uWSGI opens more than its socket: option {key}" for key in sorted((options & set(_OWN_PORTS)) - _own(facts, used))]
    reasons += _unmovable(facts)
    reasons += [f"its option {key} holds a secret value, which a plan cannot carry; move it to env or a file" for key in facts["hidden_options"]]
    reasons += [f"the line in {line['source']} holds a secret value; move it to a file" for line in facts["schedule"] if MASK in line["command"]]
    reasons += [f"where its secret {item['name']} comes from is not known" for item in facts["secrets"] if item["source"] == "unit:unknown"]
    if not _PATTERN.fullmatch(facts["user"]["name"]):
        reasons.append(f"its user {facts['user']['uid']} has no name")
    if facts["user"].get("dynamic"):
        reasons.append(f"its user {facts['user']['name']} is there only while its unit runs (DynamicUser=); give the unit a user of the host first")
    return list(dict.fromkeys(reasons))


def _unmovable(facts: dict[str, Any]) -> list[str]:
    """What its uWSGI runs beside web requests and cannot be held back in a container."""
    found = []
    for worker in facts["workers"]:
        if worker["kind"] in _beside.KINDS:
            key, _equal, value = worker["what"].partition(" = ")
            why = _beside.problem(key, value)
            if why:
                found.append(f"its uWSGI runs more than web requests: {worker['what']}; {why}")
    return found


def _own(facts: dict[str, Any], used: list[str]) -> set[str]:
    """The option that opens the one HTTP socket which nginx uses."""
    http = [item["address"] for item in facts["sockets"] if item.get("protocol") == "http"]
    if len(http) != 1 or http[0] not in used or any(key == "http-to" for key, _value in facts["options"]):
        return set()
    return {key for key, _value in facts["options"] if key in HTTP_KEYS}


def _remarks(facts: dict[str, Any]) -> list[str]:
    """What a person should know before converting."""
    python = facts["python"]
    reasons = [f"{worker['what']} uses its user, code or venv and stays on the host, for {_worker_units.stays(worker)} ({worker['evidence']})"
               for worker in facts["workers"] if worker["kind"] not in _beside.KINDS and _worker_units.stays(worker)]
    reasons += [f"a line of {line['source']} stays on the host, for {_user_crontabs.stays(line)}: {line['command']}" for line in facts["schedule"]
                if _user_crontabs.is_users(line["source"]) and _user_crontabs.stays(line)]
    for key, one, many in _BY_HAND:
        found = python.get(key, [])
        if found:
            reasons.append(f"{len(found)} {many if len(found) > 1 else one}: {', '.join(found[:3])}{' ...' if len(found) > 3 else ''}")
    reasons += [f"editable install: {item}" for item in python.get("editable", [])]
    reasons += [f"{item['file']} holds a secret value ({item['name']}); it goes into the image with the code" for item in facts["secrets_in_source"]]
    reasons += [f"{warning}" for warning in facts["warnings"] if warning.endswith("has no value")]
    code = (facts["code"] or "").rstrip("/")
    for item in facts["state"]:
        if code and item["path"] == code:
            reasons.append(f"its state lies in the code directory {code} itself, which is mounted as a whole: the code comes from the host")
        elif code and code.startswith(item["path"].rstrip("/") + "/"):
            reasons.append(f"its state {item['path']} holds the code directory too: the code comes from the host")
    if facts["user"]["uid"] == 0:
        reasons.append("it runs as root")
    return list(dict.fromkeys(reasons + facts["remarks"]))


def _refused(mine: list[nginx_routes.Route], nginx: dict[str, Any]) -> list[str]:
    """That nginx, which leads to the service, would not come up with the configuration on disk."""
    if not mine or not nginx.get("error"):
        return []
    return [f"nginx refuses its configuration on disk ({nginx['error']}); it serves an older one, and would not start again"]


def _managed(facts: dict[str, Any], mine: list[nginx_routes.Route], evidence: Evidence) -> list[str]:
    """What a configuration manager writes or keeps of a service: it tries to bring back what a switch sets aside."""
    manager = facts["manager"]
    files = {*facts["config_files"], manager["vassal"], facts["uwsgi"]["config"]} | {file for route in mine for file in (route.location.file, route.site.file)}
    code = (facts["code"] or "").rstrip("/")
    found: dict[str, list[str]] = {}
    for item in evidence["managers"]:
        for path in item["manages"].get("file", []):
            if path in files or manager["unit"] and path.endswith("/" + manager["unit"]) or code and (path == code or path.startswith(code + "/")):
                found.setdefault(item["name"], []).append(path)
        names = (manager["unit"], manager["unit"].removesuffix(".service"))
        found.setdefault(item["name"], []).extend(f"the unit {name}" for name in item["manages"].get("service", []) if name and name in names)
    for item in evidence["managed"]:
        if item["path"] in files or manager["unit"] and item["path"].endswith("/" + manager["unit"]):
            found.setdefault(item["by"], []).append(item["path"])
    return [f"{name} manages {', '.join(dict.fromkeys(what[:3]))}{' ...' if len(what) > 3 else ''}: tell it before convert, or it tries to bring back "
            f"what is set aside{_kept_from(name, what, manager)}" for name, what in sorted(found.items()) if what]


def _kept_from(name: str, what: list[str], manager: dict[str, Any]) -> str:
    """What becomes of a configuration manager's tries, where it can be told."""
    if manager["vassal"] in what:
        return f" (a directory has the vassal's name meanwhile: {name} complains of it, or writes into it, and starts nothing)"
    if manager["kind"] == "unit" and any(manager["unit"].startswith(item.removeprefix("the unit ")) for item in what if item.startswith("the unit ")):
        return f" (its unit does not start meanwhile, as often as {name} starts it)"
    return ""


_SCREEN = 12
"""Lines of services in a summary; with what follows it fits a screen."""


def summary(done: Plan, entries: Iterable[ledger.Entry] = ()) -> list[str]:
    """What fits a screen: a head, one line for each service with its first reason, then what is kept and what is unexplained.

    :param entries: the ledger, which knows when managers run next; without it the plan's own findings are told.
    """
    services = done["services"]
    counts = [f"{len(done.get(key, []))} {key}" for key in ("kept", "external", "unexplained")]
    lines = [f"{done['host']}: {len(services)} service{'' if len(services) == 1 else 's'}, {', '.join(counts)}"]
    width = min(max((len(service["name"]) for service in services), default=0), 40)
    for service in services[:_SCREEN]:
        fit = service.get("fit", {"verdict": "-"})
        reasons = fit.get("reasons", [])
        first = f": {reasons[0]}" if reasons else ""
        more = f" (+{len(reasons) - 1})" if len(reasons) > 1 else ""
        lines.append(f"  {service['name']:<{width}}  {service.get('runtime', 'host'):<9}  {fit['verdict']:<7}{first}"[:140] + more)
    rest = [service.get("fit", {}).get("verdict", "-") for service in services[_SCREEN:]]
    if rest:
        lines.append(f"  and {len(rest)} more: {', '.join(f'{rest.count(name)} {name}' for name in sorted(set(rest)))}")
    upcoming = {entry["what"]: entry["next"] for entry in entries if entry.get("next")}
    for key, most in (("kept", 4), ("unexplained", 4)):
        items = done.get(key, [])
        for item in items[:most]:
            when = f", next {upcoming[item['what']]}" if item["what"] in upcoming else ""
            lines.append(f"  {key}: {item['kind']} {item['what']}"[:140] + when)
        lines += [f"  {key}: {len(items) - most} more, see the report"] if len(items) > most else []
    return lines
