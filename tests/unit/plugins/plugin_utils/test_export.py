# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Exports: they agree with the container that convert starts, name secrets and never hold one, and Kubernetes' own schema takes them."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.gantry.webstack.plugins.module_utils.move import _candidate, _container_config
from ansible_collections.gantry.webstack.plugins.plugin_utils import model, planner
from ansible_collections.gantry.webstack.plugins.plugin_utils.export import compose, edge, kubernetes, settings, swarm, tree
from ansible_collections.gantry.webstack.plugins.plugin_utils.export.container import Container, Settings, describe, possible

RECORDED = json.loads((Path(__file__).parents[2] / "fixtures" / "evidence" / "bookworm.json").read_text(encoding="utf-8"))

SHOP: dict[str, Any] = {
    "name": "Shop_1", "user": {"name": "shop", "uid": 2001, "group": "web", "gid": 2002}, "code": {"path": "/srv/shop/current"},
    "python": {"version": "3.11.2", "interpreter": "/usr/bin/python3.11", "venv": "/srv/shop/venv", "distributions": [{"name": "Flask", "version": "3.1.3"}]},
    "uwsgi": {"binary": "/usr/bin/uwsgi-core", "socket": "/run/shop.sock", "options": {"module": "shop:app", "processes": 4, "listen": 5000, "logto": "/x"}},
    "nginx": {"sites": [{"server_names": ["shop.test", "*.shop.test"], "location": "/", "client_max_body_size": "5m", "listen": ["443 ssl default_server"]}],
              "static": [{"location": "/media/", "path": "/srv/shop/state/media/"}, {"location": "/static/", "path": "/srv/shop/current/static/"}]},
    "environment": {"PRICE": "5$ %(x) $(HOME)", "LANG": "C.UTF-8"},
    "secrets": [{"name": "key", "source": "file:/etc/shop/key"}, {"name": "TOKEN", "source": "envfile:/etc/shop/env"},
                {"name": "A", "source": "unit:a.service"}],
    "state": [{"path": "/srv/shop/state"}], "files": [{"path": "/etc/shop.conf"}],
    "workers": [{"name": "mail", "command": "python mail.py $1", "instances": 2}, {"kind": "unit", "what": "old.service"}],
    "schedule": [{"when": "*/5 * * * *", "command": "echo 100%", "user": "shop", "source": "/etc/cron.d/shop"},
                 {"name": "odd", "when": "Mon *-*-* 02:00:00", "command": "true"}, {"name": "boot", "when": "@reboot", "command": "true"}],
    "needs": [{"kind": "postgresql", "address": "10.0.0.5:5432"}], "health": {"path": "/up", "status": 204}, "container": {"memory": "512M"},
}
FACTS = {"services": {"Shop_1": {"groups": [33], "image": "reg.example.org/shop@sha256:1"}}, "zone": "UTC"}
GIVEN = Settings(host="web1", edge={"version": "1.22.1"}, facts=FACTS)


def shop(**changes: Any) -> Container:
    return describe({**copy.deepcopy(SHOP), **changes}, GIVEN)


def test_an_export_agrees_with_the_candidate() -> None:
    logged = {**SHOP, "container": {**SHOP["container"], "log": "engine"}}  # an export's log is always its platform's
    candidate = _candidate.plan_candidate(logged, "i", {"TOKEN": "x", "A": "y"}, "2001:2002", [33])
    container = shop()
    assert container.config(candidate.socket) == candidate.config
    assert (container.network, container.user, list(container.groups)) == (candidate.network, candidate.user, candidate.groups)
    paths = {(mount.target, mount.read_only) for mount in _container_config.mounts(SHOP, "c", "s", lambda path: True)}
    ours = {(mount.path, mount.read_only) for mount in container.mounts} | {(secret.target, True) for secret in container.secrets}
    assert paths == ours | {("/etc/webstack/uwsgi.ini", True), ("/run/webstack/Shop_1", False)}
    assert container.health("/s")["test"] == _container_config.health_check(SHOP, "/s", "/srv/shop/venv/bin/python3")["test"]


def test_only_what_convert_refuses_too_is_left_out() -> None:
    odd = {"name": "odd", "user": {"name": "odd"}, "fit": {"verdict": "blocked", "reasons": ["it runs no Python"]}}
    services, left_out = possible([SHOP, odd], GIVEN)
    assert services == [SHOP] and len(left_out) == 1 and left_out[0].startswith("service odd is not exported: services[odd].uwsgi.binary: ")
    with pytest.raises(model.ModelError, match=r"services\[odd\]"):
        possible([{**odd, "fit": {"verdict": "ready"}}], GIVEN)


def test_a_service_may_have_no_code_of_its_own() -> None:
    assert shop(code={}).workdir == "/" and "it has none" in tree.DATA["dockerfile"]([shop(code={})], GIVEN)["Shop_1"]["Dockerfile"]


def test_what_the_host_does_not_have_is_not_mounted() -> None:
    facts = {"services": {"Shop_1": {"missing": ["/etc/shop.conf"]}}}
    assert [mount.path for mount in describe(SHOP, Settings(facts=facts)).mounts] == ["/srv/shop/state"]


@pytest.mark.parametrize(("change", "place"), [
    ({"uwsgi": {"socket": "/s"}}, r"services\[Shop_1\]\.uwsgi\.binary"), ({"uwsgi": {"binary": "/b"}}, r"uwsgi\.socket"),
    ({"user": {"name": "shop"}}, r"services\[Shop_1\]\.user: .*uid and gid"),
    ({"schedule": [{"name": "j", "when": "61 * * * *", "command": "true"}]}, r"schedule\[j\]\.when: .*'61'"),
])
def test_what_is_missing_is_said_with_its_place(change: dict[str, Any], place: str) -> None:
    with pytest.raises(model.ModelError, match=place):
        shop(**change)


def test_compose_takes_dollars_and_secrets_by_reference() -> None:
    data = compose.document([shop()], GIVEN).data
    service = data["services"]["shop-1"]
    assert service["environment"]["PRICE"] == "5$$ %(x) $$(HOME)"
    assert data["services"]["shop-1-mail"]["command"] == ["/bin/sh", "-c", "python mail.py $$1"] and data["services"]["shop-1-mail"]["scale"] == 2
    assert service["secrets"] == [{"source": "shop-1-key", "target": "/etc/shop/key"}, {"source": "shop-1-environment", "target": "/etc/webstack/secrets.ini"}]
    assert data["secrets"] == {"shop-1-key": {"file": "/etc/shop/key"}, "shop-1-environment": {"file": "./secrets/shop-1.ini"}}
    assert "network_mode" not in service and service["mem_limit"] == service["memswap_limit"] == "512m"
    assert service["sysctls"] == {"net.core.somaxconn": "5000"} and service["pids_limit"] == 512 and service["group_add"] == ["33"]
    assert service["image"] == "reg.example.org/shop@sha256:1" and "build" not in service and service["read_only"] is True
    conf = {"type": "bind", "source": "/etc/shop.conf", "target": "/etc/shop.conf", "read_only": True, "bind": {"create_host_path": False}}
    assert conf in service["volumes"]
    front = data["services"]["edge"]
    assert front["image"] == "docker.io/library/nginx:1.22.1" and front["group_add"] == ["2002"] and front["ports"] == ["8080:8080"]
    assert [item["target"] for item in front["volumes"]] == ["/run/webstack/Shop_1", "/srv/shop/current/static", "/srv/shop/state"]


@pytest.mark.parametrize(("address", "mode"), [("unix:/run/postgresql", "none"), ("127.0.0.1:5432", "host"), ("10.0.0.5:5432", None)])
def test_a_network_as_convert_gives_it(address: str, mode: str | None) -> None:
    data = compose.document([shop(needs=[{"kind": "postgresql", "address": address}])], GIVEN).data
    assert data["services"]["shop-1"].get("network_mode") == mode


def test_volumes_in_place_of_the_hosts_paths() -> None:
    wanted = Settings(state="volume")
    data = compose.document([shop()], wanted).data
    assert {"type": "volume", "source": "shop-1-srv-shop-state", "target": "/srv/shop/state"} in data["services"]["shop-1"]["volumes"]
    assert {"type": "volume", "source": "shop-1-srv-shop-state", "target": "/srv/shop/state", "read_only": True} in data["services"]["edge"]["volumes"]
    assert "shop-1-srv-shop-state" in data["volumes"]


def test_another_content_is_another_config_of_the_swarm() -> None:
    first, second = (swarm.document([shop(environment={"A": value})], GIVEN).data["configs"]["shop-1"]["name"] for value in ("1", "2"))
    assert first != second
    data = swarm.document([shop()], GIVEN).data
    assert data["secrets"] == {"shop-1-key": {"external": True}, "shop-1-environment": {"external": True}}
    assert data["services"]["shop-1"]["deploy"]["placement"] == {"constraints": ["node.labels.webstack.state == true"]}
    assert data["services"]["edge"]["deploy"]["endpoint_mode"] == "dnsrr"
    assert "uwsgi_pass $uwsgi_shop_1;" in edge.config([shop()], "x", network=True)


def test_nginx_tells_https_where_only_that_was_served() -> None:
    text = edge.config([shop()], "x")
    assert "listen 8080 default_server;" in text and "ssl" not in text and "uwsgi_param HTTPS on;" in text
    plain = edge.config([shop(nginx={"sites": [{"server_names": ["a.test"], "listen": ["80", "443 ssl", "[::]:80"]}]})], "x")
    assert "HTTPS" not in plain and plain.count("listen 8080;") == 1


def test_services_of_one_name_share_a_server() -> None:
    one = shop(nginx={"sites": [{"server_names": ["a.test"], "location": "/"}]})
    two = describe({**copy.deepcopy(SHOP), "name": "blog", "nginx": {"sites": [{"server_names": ["a.test"], "location": "/blog/", "listen": ["80"]}]}}, GIVEN)
    text = edge.config([one, two], "x")
    assert text.count("server_name a.test;") == 1 and "location /blog/ {" in text
    assert edge.ports([shop(nginx={"sites": [{"listen": ["127.0.0.1:8081"]}]})]) == [8080, 8081]


def test_what_speaks_http_is_proxied_with_its_headers() -> None:
    sites = [{"server_names": ["a.test"], "location": "/", "listen": ["443 ssl"], "params": {"Host": "$host", "X-Forwarded-Proto": "$scheme"}}]
    uwsgi = {**SHOP["uwsgi"], "protocol": "http", "socket": "127.0.0.1:9000", "options": {"http-socket": "127.0.0.1:9000"}}
    container = shop(uwsgi=uwsgi, nginx={"sites": sites})
    text = edge.config([container], "x")
    assert "proxy_pass http://unix:/run/webstack/Shop_1/uwsgi.sock;" in text and "proxy_set_header X-Forwarded-Proto https;" in text
    assert "http-socket = /s" in container.config("/s") and "addvar:SERVER_PORT=9000" in container.config("/s")


def plans() -> list[dict[str, Any]]:
    recorded = planner.plan("web1", RECORDED)
    return [{"version": 1, "host": "web1", "services": [SHOP]}, {**recorded, "services": recorded["services"] * 1}]


@pytest.mark.parametrize("state", settings.STATES)
@pytest.mark.parametrize("plan", plans(), ids=["written", "recorded"])
def test_every_file_of_a_plan(plan: dict[str, Any], state: str) -> None:
    wanted = settings.read(plan, {"state": state})
    files = tree.files(*wanted)
    assert files == tree.files(*wanted)
    for path, text in files.items():
        assert "None" not in text.split() and not path.startswith("/"), path
        if path.endswith(".yaml"):
            for document in yaml.safe_load_all(text):
                assert isinstance(document, dict), path
    assert "README.md" in files and {name.rpartition(".")[2] for name in files} > {"container", "volume", "timer", "yaml", "conf", "ini"}


@pytest.mark.parametrize("plan", plans(), ids=["written", "recorded"])
def test_kubernetes_takes_the_manifests(plan: dict[str, Any]) -> None:
    validate = pytest.importorskip("kubernetes_validate")
    containers, found = settings.described(plan, {})
    kinds = set()
    for container in containers:
        documents = [*kubernetes.documents(container, found), kubernetes.secret_manifest(container)]
        for document in documents:
            if document is not None:
                validate.validate(document.data, "1.34", strict=True)
                kinds.add(document.data["kind"])
    assert {"ConfigMap", "PersistentVolumeClaim", "Deployment", "Service", "Ingress", "CronJob"} <= kinds


def test_a_pod_has_its_secrets_by_reference_and_its_static_files() -> None:
    objects = {document.data["metadata"]["name"] + document.data["kind"]: document.data for document in kubernetes.documents(shop(), GIVEN)}
    pod = objects["shop-1Deployment"]["spec"]["template"]["spec"]
    application, nginx = pod["containers"]
    assert {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "shop-1-secrets", "key": "TOKEN"}}} in application["env"]
    assert {"name": "PRICE", "value": "5$ %(x) $$(HOME)"} in application["env"]
    assert "secrets.ini" not in objects["shop-1-configConfigMap"]["data"]["uwsgi.ini"]
    assert {"name": "secrets", "mountPath": "/etc/shop/key", "subPath": "key", "readOnly": True} in application["volumeMounts"]
    assert {"name": "static", "mountPath": "/srv/shop/current/static", "subPath": "srv/shop/current/static", "readOnly": True} in nginx["volumeMounts"]
    assert "cp -RL /srv/shop/current/static /static/srv/shop/current/static" in pod["initContainers"][0]["command"][2]
    assert pod["securityContext"]["fsGroup"] == 2002 and application["resources"] == {"limits": {"memory": "512Mi"}}
    jobs = [item for item in objects.values() if item["kind"] == "CronJob"]
    assert [item["spec"]["schedule"] for item in jobs] == ["*/5 * * * *"] and jobs[0]["spec"]["concurrencyPolicy"] == "Allow"
    assert [rule["host"] for rule in objects["shop-1Ingress"]["spec"]["rules"]] == ["shop.test", "*.shop.test"]
    assert objects["shop-1-mailDeployment"]["spec"]["replicas"] == 2


def test_quadlets_say_the_same() -> None:
    texts = tree.DATA["quadlet"]([shop()], GIVEN)
    unit = texts["webstack-shop-1.container"].splitlines()
    for line in ("Image=reg.example.org/shop@sha256:1", "User=2001", "Group=2002", "GroupAdd=33", "ReadOnly=true", "Network=webstack.network",
                 'Environment="PRICE=5$ %%(x) $(HOME)"', "Sysctl=net.core.somaxconn=5000", "Volume=/etc/shop.conf:/etc/shop.conf:ro",
                 "Secret=shop-1-key,type=mount,target=/etc/shop/key,uid=2001,gid=2002,mode=0400", "Ulimit=nofile=1024:524288"):
        assert line in unit, line
    assert "webstack-shop-1-mail-2.container" in texts and "webstack.network" in texts
    assert "OnCalendar=Mon *-*-* 02:00:00" in texts["webstack-shop-1-odd.timer"]
    assert texts["webstack-shop-1-job-1.service"].splitlines()[-1].endswith('/bin/sh -c "echo 100%%"')
    assert "webstack-shop-1-boot.timer" not in texts and "WantedBy=multi-user.target" in texts["webstack-shop-1-boot.service"]


def test_an_image_of_no_registry_is_not_asked_for_elsewhere() -> None:
    texts = tree.DATA["quadlet"]([describe(SHOP, Settings())], Settings())
    assert {"Image=localhost/webstack/shop-1:1", "Pull=never"} <= set(texts["webstack-shop-1.container"].splitlines())


def test_the_crontab_runs_in_the_container_and_escapes_percent_signs() -> None:
    lines = tree.files([SHOP], GIVEN)["shop-1/crontab"].splitlines()
    assert "*/5 * * * * root docker exec --user 2001 web1-shop-1-1 /bin/sh -c 'echo 100\\%'" in lines
    assert any(line.startswith("# odd runs by a time") for line in lines)
    assert any(line.startswith("@reboot root docker exec") for line in lines)
    assert not [line for line in lines if line.startswith("Mon")]


def test_a_dockerfile_says_whether_it_knows_hashes() -> None:
    container = shop()
    texts = tree.DATA["dockerfile"]([container], GIVEN)["Shop_1"]
    assert "--require-hashes" not in texts["Dockerfile"] and "Hashes of the distributions are not known" in texts["Dockerfile"]
    assert texts["requirements.txt"].splitlines()[-1] == "Flask==3.1.3"
    locked = Settings(locks={"Shop_1": "flask==3.1.3 --hash=sha256:1\n"}, facts={"codename": "bookworm"})
    texts = tree.DATA["dockerfile"]([container], locked)["Shop_1"]
    assert "--require-hashes" in texts["Dockerfile"] and "not known" not in texts["Dockerfile"]
    assert "ARG BASE=docker.io/library/debian:bookworm-slim" in texts["Dockerfile"]


@pytest.mark.parametrize(("given", "says"), [
    ({"sate": "host"}, "no setting 'sate'; there are base, facts"), ({"state": "disk"}, "state: 'disk' is none of host, volume"),
    ({"port": 0}, "port: 0 is no port"), ({"images": {"shup": "x"}}, "no service 'shup'; there are Shop_1"), ({"images": "x"}, "images: 'x' is no mapping"),
])
def test_a_setting_that_does_not_fit_is_named(given: dict[str, Any], says: str) -> None:
    with pytest.raises(model.ModelError, match=says):
        settings.read([SHOP], given)


def test_an_unknown_format_is_named() -> None:
    with pytest.raises(model.ModelError, match="no format 'helm'; there are dockerfile, compose"):
        tree.files([SHOP], GIVEN, ["helm"])
    assert list(tree.files([SHOP], GIVEN, ["dockerfile"])) == ["README.md", "shop-1/Dockerfile", "shop-1/requirements.txt", "shop-1/root/.gitkeep"]


def test_names_that_would_be_one_are_refused() -> None:
    with pytest.raises(model.ModelError, match="services Shop_1 and shop-1 would both be named 'shop-1'"):
        tree.files([SHOP, {**SHOP, "name": "shop-1"}], GIVEN)
