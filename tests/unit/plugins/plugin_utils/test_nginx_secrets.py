# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""nginx's secrets by name and place, from its configuration as it leaves the target."""

from __future__ import annotations

from ansible_collections.gantry.webstack.plugins.module_utils.discover._nginx_text import clean
from ansible_collections.gantry.webstack.plugins.plugin_utils import nginx_config

TEXT = """# configuration file /etc/nginx/nginx.conf:
http {
  map $http_x_plan $api_token { default ""; gold CANARY-map; }
  include sites/*;
}
# configuration file /etc/nginx/sites/a:
server {
  listen 443 ssl;
  ssl_certificate /srv/tls/a.crt;
  ssl_certificate_key /srv/tls/a.key;
  ssl_certificate_key tls/second.key;
  ssl_password_file /srv/tls/pass;
  if ($http_x_token = CANARY-if) { return 204; }
  location / {
    auth_basic_user_file passwords;
    uwsgi_param GATE_TOKEN CANARY-param;
    uwsgi_param SCHEME https;
    proxy_set_header X-Api-Key "CANARY header";
    proxy_set_header X-Token $http_x_token;
    proxy_pass http://me:CANARYpass@10.0.0.1/;
  }
  location /b { proxy_set_header Authorization "Basic CANARY"; auth_basic_user_file passwords; uwsgi_ssl_certificate_key /srv/tls/client.key; }
  location /c { proxy_ssl_certificate_key $key; set $db_password CANARY-set; add_header X-Frame-Options DENY; }
}
"""


def test_each_is_told_by_name_and_place_once() -> None:
    text = clean(TEXT)
    assert "CANARY" not in text
    nginx = nginx_config.parse(text)
    assert not nginx.problems
    site = "file:/etc/nginx/sites/a"
    assert [(item["source"], item["name"]) for item in nginx.secrets] == [
        ("file:/etc/nginx/nginx.conf", "api_token"), ("file:/etc/nginx/passwords", "auth_basic_user_file"),
        (site, "Authorization"), (site, "GATE_TOKEN"), (site, "X-Api-Key"), (site, "db_password"), (site, "http_x_token"), (site, "proxy_pass"),
        ("file:/etc/nginx/tls/second.key", "ssl_certificate_key"), ("file:/srv/tls/a.key", "ssl_certificate_key"),
        ("file:/srv/tls/client.key", "uwsgi_ssl_certificate_key"), ("file:/srv/tls/pass", "ssl_password_file")]


def test_a_configuration_without_any() -> None:
    assert nginx_config.parse("# configuration file /etc/nginx/nginx.conf:\nhttp { server { listen 80; location / { return 204; } } }").secrets == []
