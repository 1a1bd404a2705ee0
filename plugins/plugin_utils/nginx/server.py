# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A typed site as server blocks. Pure.

``http2`` is written as a placeholder (module_utils/install/_nginx_text), since only the host knows its nginx's version.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.gantry.webstack.plugins.module_utils.install._nginx_text import HTTP2, HTTP2_LISTEN
from ansible_collections.gantry.webstack.plugins.plugin_utils.model import ModelError
from ansible_collections.gantry.webstack.plugins.plugin_utils.nginx import common, syntax

_KINDS = {
    # kind: (what it must have, what only some kinds have and it can have)
    "uwsgi": (("pass",), ("params", "buffering")),
    "proxy": (("pass",), ("params", "buffering", "websocket")),
    "fastcgi": (("pass",), ("params", "buffering")),
    "static": ((), ("alias", "expires")),
    "return": (("return",), ()),
    "raw": (("extra",), ()),
}
_SPECIAL = ("pass", "params", "buffering", "websocket", "alias", "expires")
_PROXY_HEADERS = {"Host": "$host", "X-Real-IP": "$remote_addr", "X-Forwarded-For": "$proxy_add_x_forwarded_for", "X-Forwarded-Proto": "$scheme"}


def _check(location: dict[str, Any], where: str) -> None:
    kind = location["kind"]
    required, allowed = _KINDS[kind]
    for key in required:
        if key not in location:
            raise ModelError(f"{where}: a location of kind {kind} needs {key!r}")
    for key in _SPECIAL:
        if key in location and key not in (*required, *allowed):
            raise ModelError(f"{where}.{key}: a location of kind {kind} has no {key!r}")
    if kind == "static" and "alias" in location and "root" in location:
        raise ModelError(f"{where}: give either root or alias")
    if kind == "static" and not {"alias", "root", "try_files"} & set(location):
        raise ModelError(f"{where}: a location of kind static needs root, alias or try_files")


def _passing(location: dict[str, Any], where: str) -> list[str]:
    """What hands a request on."""
    kind, target = location["kind"], location["pass"]
    params = location.get("params", {})
    done = []
    if kind == "proxy":
        if not target.startswith(("http://", "https://")):
            raise ModelError(f"{where}.pass: {target!r} is no URL; a location of kind proxy passes to http:// or https://")
        sent = dict(_PROXY_HEADERS)
        if location.get("websocket"):
            sent.update(Upgrade="$http_upgrade", Connection="upgrade")
        elif "$" not in target:
            sent["Connection"] = ""  # so that an upstream's kept connections are used
        done.append("proxy_http_version 1.1;")
        done += [f"proxy_set_header {syntax.token(key, where)} {syntax.token(value, f'{where}.params.{key}')};" for key, value in {**sent, **params}.items()]
        target = syntax.token(target, f"{where}.pass")
    else:
        done.append(f"include {kind}_params;")
        if kind == "fastcgi" and "SCRIPT_FILENAME" not in params:
            params = {"SCRIPT_FILENAME": "$document_root$fastcgi_script_name", **params}
        done += [f"{kind}_param {syntax.token(key, where)} {syntax.token(value, f'{where}.params.{key}')};" for key, value in params.items()]
        target = syntax.token(syntax.uwsgi_address(target), f"{where}.pass")
    if "buffering" in location:
        done.append(f"{kind}_buffering {syntax.switch(location['buffering'])};")
    return [*done, f"{kind}_pass {target};"]


def location(item: dict[str, Any], where: str, parts: common.Parts, inherited: dict[str, str]) -> list[str]:
    """The lines of one location."""
    _check(item, where)
    body = ["internal;"] if item.get("internal") else []
    if "alias" in item:
        ends = item["location"].endswith("/") and not item["alias"].endswith("/")  # alias replaces exactly what the location matched
        body.append(f"alias {syntax.token(item['alias'] + ('/' if ends else ''), f'{where}.alias')};")
    body += common.lines(item, where, parts, inherited, item["kind"])
    if "expires" in item:
        body.append(f"expires {syntax.arguments(item['expires'], f'{where}.expires')};")
    if "pass" in item:
        body += _passing(item, where)
    if "return" in item:
        body.append(common.answer(item["return"], f"{where}.return"))
    body += syntax.raw(item.get("extra", ""))
    return syntax.block(f"location {syntax.location_match(item['location'], f'{where}.location')}", body)


def _listen(item: str | dict[str, Any], where: str, http2: bool) -> str:
    if isinstance(item, str):
        text = syntax.arguments(item, where)
        tls = "ssl" in text.split()[1:]
    else:
        address = item.get("address", "")
        address = f"[{address}]" if ":" in address and not address.startswith("[") else address
        tls = item.get("tls", False)
        text = f"{address}:{item['port']}" if address else str(item["port"])
        text += (" ssl" if tls else "") + (" default_server" if item.get("default") else "")
        text += f" {syntax.arguments(item['extra'], where)}" if item.get("extra") else ""
    return f"listen {text}{HTTP2_LISTEN if tls and http2 else ''};"


def listens(site: dict[str, Any]) -> list[Any]:
    """What a site listens on: port 80 of IPv4, or 443 of both with TLS."""
    if "tls" not in site:
        return site.get("listen", ["80"])
    return site.get("listen", [{"port": 443, "tls": True}, {"address": "::", "port": 443, "tls": True}])


def _tls(tls: dict[str, Any], names: list[str], where: str, parts: common.Parts) -> list[str]:
    given = [key for key in ("certificate", "key") if key in tls]
    if tls.get("self_signed", False) == bool(given) or len(given) == 1:
        raise ModelError(f"{where}: give both certificate and key, or self_signed: true")
    certificate, key = (tls["certificate"], tls["key"]) if given else parts.certificate([name for name in names if name[:1] not in ("~", "_", "")])
    done = [f"ssl_certificate {syntax.token(certificate, where)};", f"ssl_certificate_key {syntax.token(key, where)};"]
    if "protocols" in tls:
        done.append(f"ssl_protocols {syntax.arguments(' '.join(tls['protocols']), f'{where}.protocols')};")
    if "ciphers" in tls:
        done.append(f"ssl_ciphers {syntax.token(tls['ciphers'], f'{where}.ciphers')};")
    return done + (tls["extra"].rstrip("\n").split("\n") if tls.get("extra") else [])


def _hsts(tls: dict[str, Any]) -> dict[str, str]:
    if "hsts" not in tls:
        return {}
    hsts = tls["hsts"]
    value = f"max-age={hsts['max_age']}" + ("; includeSubDomains" if hsts.get("include_subdomains") else "") + ("; preload" if hsts.get("preload") else "")
    return {"Strict-Transport-Security": value}


def servers(site: dict[str, Any], where: str, parts: common.Parts, services: list[list[str]] | None = None) -> list[list[str]]:
    """The server blocks of one site: its own, and those that redirect to it. ``services`` are further locations as lines."""
    names, tls = site.get("server_names", []), site.get("tls", {})
    name_line = "server_name " + " ".join(syntax.token(name, f"{where}.server_names") for name in names) + ";"
    http2 = site.get("http2", "tls" in site)
    found = listens(site)
    body = [_listen(item, f"{where}.listen[{index}]", http2) for index, item in enumerate(found)]
    listening = list(body) + ([HTTP2] if http2 else [])
    body = listening + ([name_line] if names else [])
    sealed = _tls(tls, names + site.get("redirect_from", []), f"{where}.tls", parts) if "tls" in site else []
    if "tls" in site and not any(line.startswith("listen") and " ssl" in line for line in body):
        raise ModelError(f"{where}.listen: {found!r} has nothing with TLS, but the site has tls; add tls: true or ssl to one")
    if "tls" not in site and any(line.startswith("listen") and " ssl" in line for line in body):
        raise ModelError(f"{where}.listen: {found!r} wants TLS, but the site has no tls")
    inherited = {**_hsts(tls), **site.get("headers", {})}
    own = {**site, "headers": inherited} if inherited else site
    body += sealed + common.lines(own, where, parts, {})
    if "return" in site:
        body.append(common.answer(site["return"], f"{where}.return"))
    body += syntax.raw(site.get("extra", ""))
    for index, item in enumerate(site.get("locations", [])):
        body += ["", *location(item, f"{where}.locations[{index}]", parts, inherited)]
    for lines in services or []:
        body += ["", *lines]
    return [syntax.block("server", body), *_redirects(site, where, listening, sealed)]


def _redirects(site: dict[str, Any], where: str, listening: list[str], sealed: list[str]) -> list[list[str]]:
    names = site.get("server_names", [])
    first = next((name for name in names if name[:1] not in ("~", "*", ".", "_")), "")
    done = []
    if site.get("redirect_from"):
        if not first:
            raise ModelError(f"{where}.redirect_from: there is no plain name in server_names ({names!r}) to send them to")
        others = " ".join(syntax.token(name, f"{where}.redirect_from") for name in site["redirect_from"])
        done.append(syntax.block("server", [line.replace(" default_server", "") for line in listening]
                                 + [f"server_name {others};", *sealed, f"return 301 $scheme://{first}$request_uri;"]))
    if site.get("tls", {}).get("redirect"):
        plain = " ".join(syntax.token(name, where) for name in [*names, *site.get("redirect_from", [])])
        # ACME answers and the like stay with sites that listen on 80 themselves
        done.append(syntax.block("server", ["listen 80;", "listen [::]:80;", *([f"server_name {plain};"] if plain else []),
                                            f"return 301 https://{first or '$host'}$request_uri;"]))
    return done
