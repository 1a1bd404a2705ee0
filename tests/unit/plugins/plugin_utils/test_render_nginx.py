# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sites: the text, and what crossplane reads in it again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import crossplane
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gantry.webstack.plugins.plugin_utils import model, nginx_config, nginx_routes, render_nginx
from ansible_collections.gantry.webstack.plugins.plugin_utils.nginx import syntax


def service(*sites: dict[str, Any], **more: Any) -> model.Service:
    nginx = {"sites": list(sites), "static": more.pop("static", [])}
    return model.complete_all([{"name": "shop", "nginx": nginx, **more}])[0]


def test_text() -> None:
    text = render_nginx.site_file(service(
        {"listen": ["80", "[::]:80 default_server"], "server_names": ["shop.test", "www.shop.test"], "client_max_body_size": "5m",
         "access_log": "/var/log/nginx/shop.log combined", "extra": "add_header X y;\n\nif ($a) {\n    return 403;\n}\n",
         "params": {"SCRIPT_NAME": "/shop", "P": "a b"}},
        static=[{"location": "/static/", "path": "/srv/shop/static"}, {"location": "= /favicon.ico", "path": "/srv/my icons/f.ico"}]))
    assert text == """\
# Managed by gantry.webstack; changes are overwritten. Service shop.

server {
    listen 80;
    listen [::]:80 default_server;
    server_name shop.test www.shop.test;
    access_log /var/log/nginx/shop.log combined;
    client_max_body_size 5m;

    add_header X y;

    if ($a) {
        return 403;
    }

    location /static/ {
        alias /srv/shop/static/;
    }

    location = /favicon.ico {
        alias "/srv/my icons/f.ico";
    }

    location / {
        include uwsgi_params;
        uwsgi_param SCRIPT_NAME /shop;
        uwsgi_param P "a b";
        uwsgi_pass unix:/run/uwsgi/shop/uwsgi.sock;
    }
}
"""


def test_tcp_and_several_sites() -> None:
    text = render_nginx.site_file(service({"server_names": ["a"]}, {"server_names": ["b"], "location": "~ ^/x{2}"}, uwsgi={"socket": "127.0.0.1:3031"}))
    assert text.count("server {") == 2 and "uwsgi_pass 127.0.0.1:3031;" in text and 'location ~ "^/x{2}" {' in text


# Without backslashes: crossplane keeps both of two, nginx (ngx_conf_read_token) makes one of them.
TOKEN = st.text(st.characters(codec="utf-8", exclude_characters="\n\r\0$\\", categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=20)


@given(TOKEN, TOKEN)
def test_crossplane_reads_the_same_words(tmp_path_factory: pytest.TempPathFactory, name: str, value: str) -> None:
    text = render_nginx.site_file(service({"server_names": [name], "params": {"X": value}}))
    path: Path = tmp_path_factory.mktemp("nginx") / "x.conf"
    path.write_text(text, encoding="utf-8")
    parsed = crossplane.parse(str(path), single=True, check_ctx=False)
    assert parsed["status"] == "ok", parsed["errors"]
    [server] = [item for item in parsed["config"][0]["parsed"] if item["directive"] == "server"]
    found = {item["directive"]: item for item in server["block"]}
    params = {item["directive"]: item["args"] for item in found["location"]["block"]}
    assert found["server_name"]["args"] == [name] and params["uwsgi_param"] == ["X", value]


def test_backslashes() -> None:
    assert syntax.token("a\\b", "x") == r'"a\\b"'
    assert syntax.token('"', "x") == r'"\""'


def test_discover_finds_the_same_site_again() -> None:
    definition = service({"listen": ["80"], "server_names": ["shop.test"], "client_max_body_size": "5m", "params": {"A": "b"}},
                         static=[{"location": "/static/", "path": "/srv/shop/static/"}])
    dump = ("# configuration file /etc/nginx/nginx.conf:\nevents {}\nhttp { include /etc/nginx/conf.d/*.conf; }\n"
            "# configuration file /etc/nginx/conf.d/webstack-shop.conf:\n" + render_nginx.site_file(definition) + "\n"
            "# configuration file /etc/nginx/uwsgi_params:\nuwsgi_param QUERY_STRING $query_string;\n")
    [route] = nginx_routes.routes(nginx_config.parse(dump))
    assert nginx_config.static(route.site) == definition["nginx"]["static"]


@pytest.mark.parametrize("site", [
    {"listen": ["80; root /"]}, {"access_log": "/a }"}, {"client_max_body_size": ""}, {"server_names": ["a\nb"]}, {"params": {"A": "x\ny"}},
    {"listen": ["80 {"]},
])
def test_what_would_end_a_directive_is_refused(site: dict[str, Any]) -> None:
    with pytest.raises(model.ModelError, match=r"^services\[shop\].nginx.sites"):
        render_nginx.site_file(service(site))
