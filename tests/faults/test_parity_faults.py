"""Defects planted into a candidate are each found by the parity gate, and clean runs under a load raise no alarm.

Alone: eval "$(./scripts/bench env)"; pytest --import-mode=prepend tests/faults/test_parity_faults.py
WEBSTACK_PARITY_RUNS=100 makes 100 clean runs instead of 10.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Host

RUNS = int(os.environ.get("WEBSTACK_PARITY_RUNS", "10"))
APP = (Path(__file__).parent / "apps/faithful/wsgi.py").read_text(encoding="utf-8")

PREPARE = """set -e
dpkg -s locales > /dev/null 2>&1 || DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends locales > /dev/null
localedef -i de_DE -f UTF-8 de_DE.UTF-8
mkdir -p /srv/faithful/code/pictures /srv/faithful/elsewhere/files
cat > /srv/faithful/code/wsgi.py
echo glyphs > /srv/faithful/code/pictures/a.woff2
echo elsewhere > /srv/faithful/elsewhere/files/b.txt
echo 'text/plain woff2' > /srv/faithful/code/other.types
for version in 1 2; do
    venv=/srv/faithful/venv$version
    python3 -m venv --without-pip $venv
    site=$(echo $venv/lib/python3*/site-packages)
    mkdir -p $site/pricing $site/pricing-$version.0.dist-info
    echo "def price(): return 'price $version,00 EUR'" > $site/pricing/__init__.py
    printf 'Metadata-Version: 2.1\\nName: pricing\\nVersion: %s.0\\n' $version > $site/pricing-$version.0.dist-info/METADATA
    printf 'pricing/__init__.py,,\\npricing-%s.0.dist-info/METADATA,,\\npricing-%s.0.dist-info/RECORD,,\\n' $version $version > \
        $site/pricing-$version.0.dist-info/RECORD
done
cat > /srv/faithful/uwsgi.ini <<END
[uwsgi]
plugins = python3
socket = /run/faithful/app.sock
chmod-socket = 666
master = true
processes = 2
chdir = /srv/faithful/code
module = wsgi:application
virtualenv = /srv/faithful/venv1
static-map = /pictures=/srv/faithful/code/pictures
static-map = /elsewhere=/srv/faithful/elsewhere/files
env = FAITHFUL_LOCALE=de_DE.UTF-8
env = FAITHFUL_FRAME=DENY
END
cat > /etc/systemd/system/faithful.service <<END
[Service]
User=www-data
RuntimeDirectory=faithful
ExecStart=/usr/bin/uwsgi --ini /srv/faithful/uwsgi.ini
KillSignal=SIGQUIT
END
cat > /etc/nginx/conf.d/faithful.conf <<END
server { listen 80; server_name faithful.test; location / { include uwsgi_params; uwsgi_pass unix:/run/faithful/app.sock; } }
END
systemctl daemon-reload
systemctl start faithful.service
nginx -s reload
until curl -sf -H 'Host: faithful.test' http://127.0.0.1/price > /dev/null; do sleep 0.2; done
"""
REMOVE = """systemctl stop faithful.service
rm -rf /etc/nginx/conf.d/faithful.conf /etc/systemd/system/faithful.service /srv/faithful /var/lib/webstack/faithful
systemctl daemon-reload && nginx -s reload
"""


class Faithful(Host):
    """The host with one service more, which shows what it depends on, and a directory of plans for it alone."""

    def convert(self) -> str:
        return self.refusal("convert", webstack_select="faithful", webstack_until="parity", convert_requests={"faithful": ["/amount", "/price"]})

    def told(self) -> dict[str, Any]:
        """What the gate told of the service last."""
        services = json.loads((self.plans / f"{self.name}.parity.json").read_text(encoding="utf-8"))["services"]
        return next(told for told in services if told["service"] == "faithful")


@pytest.fixture
def faithful(pristine: Host, tmp_path: Path) -> Iterator[Faithful]:
    pristine.run("sh", "-c", PREPARE.replace("cat > /srv/faithful/code/wsgi.py", f"cat > /srv/faithful/code/wsgi.py <<'END'\n{APP}\nEND"))
    found = Faithful(pristine.name, tmp_path)
    found.play("discover")
    yield found
    pristine.run("sh", "-c", REMOVE)


def spoil(plan: dict[str, Any]) -> None:
    """The five defects: no locale, a wrong MIME type, a lost header, a missing static directory, another version of a library."""
    service = next(item for item in plan["services"] if item["name"] == "faithful")
    service["environment"]["LOCPATH"] = "/nowhere"
    service["uwsgi"]["options"]["mimefile"] = "/srv/faithful/code/other.types"
    del service["environment"]["FAITHFUL_FRAME"]
    for key in ("files", "state"):
        service[key] = [item for item in service.get(key, []) if not item["path"].startswith("/srv/faithful/elsewhere")]
    service["python"]["venv"] = service["uwsgi"]["options"]["virtualenv"] = "/srv/faithful/venv2"


def test_each_planted_defect_is_found(faithful: Faithful) -> None:
    faithful.play("convert", webstack_select="faithful", webstack_until="parity", convert_requests={"faithful": ["/amount", "/price"]})
    told = faithful.told()
    assert told["differences"] == []
    assert {"health", "HEAD", "error page", "static file", "listed"} <= set(told["kinds"])
    plan = faithful.plan()
    spoil(plan)
    faithful.write_plan(plan)
    said = faithful.convert()
    assert "service faithful: the container answers" in said
    assert "the host serves on unchanged" in said
    found = {item["request"]: item for item in faithful.told()["differences"]}
    assert any("1234.5" in what and "1.234,50" in what for what in found["GET /amount"]["what"])
    assert any(what.startswith("header content-type is ['text/plain'], the host's") for what in found["GET /pictures/a.woff2"]["what"])
    assert "header x-frame-options is missing, the host's ['DENY']" in found["GET /"]["what"]
    assert found["GET /elsewhere/b.txt"]["what"]
    assert found["static tree /srv/faithful/elsewhere/files"]["what"] == ["/srv/faithful/elsewhere/files is missing in the container"]
    assert any("price 2,00 EUR" in what and "price 1,00 EUR" in what for what in found["GET /price"]["what"])
    assert "-price 1,00 EUR" in found["GET /price"]["diff"] and "+price 2,00 EUR" in found["GET /price"]["diff"]
    page = (faithful.plans / f"{faithful.name}.html").read_text(encoding="utf-8")
    assert "+price 2,00 EUR" in page and "GET /elsewhere/b.txt" in page
    assert faithful.run("curl", "-s", "-H", "Host: faithful.test", "http://127.0.0.1/price") == "price 1,00 EUR"
    assert faithful.containers() == []


CLEAN = [{"hosts": "all", "gather_facts": False, "tasks": [{
    "gantry.webstack.parity": {
        "services": "{{ (lookup('ansible.builtin.file', plan) | from_yaml).services }}",
        "requests": {"httpbin": ["!/delay/*"], "guestbook": ["!/slow"]},  # they take seconds each
    }, "loop": "{{ range(runs) | list }}", "loop_control": {"label": "{{ item }}"}}]}]


def test_clean_runs_raise_no_alarm(pristine: Host, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    pristine.play("convert", webstack_until="candidate")
    request.addfinalizer(lambda: pristine.play("rollback"))  # it takes the candidates away
    (tmp_path / "clean.yml").write_text(yaml.safe_dump(CLEAN), encoding="utf-8")
    extra = json.dumps({"plan": str(pristine.plans / f"{pristine.name}.yml"), "runs": RUNS})
    done = subprocess.run(["ansible-playbook", "-i", str(pristine.inventory), str(tmp_path / "clean.yml"), "-e", extra], capture_output=True, text=True,
                          check=False, env={**os.environ, "ANSIBLE_NOCOLOR": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("ok: [") == RUNS
