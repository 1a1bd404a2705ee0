# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Nothing secret survives; what a person needs to read does."""

from __future__ import annotations

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common import _nginx_tokens
from ansible_collections.gantry.webstack.plugins.module_utils.discover import _nginx_text, _redact


@pytest.mark.parametrize(("name", "value", "secret"), [
    ("SECRET_KEY", "canary", True), ("DB_PASSWORD", "x", True), ("API_KEY", "1", True), ("apiKey", "x", True), ("GITHUB_TOKEN", "x", True),
    ("DATABASE_URL", "postgres://u:canary@db/x", True), ("DATABASE_URL", "postgresql:///shop", False), ("SENTRY_DSN", "https://h", True),
    ("ANYTHING", "-----BEGIN RSA PRIVATE KEY-----", True), ("ANYTHING", "9b74c9897bac770ffc029102a200c5de9b74", True),
    ("SECRET_KEY_FILE", "/etc/shop/key", False), ("DJANGO_SETTINGS_MODULE", "guestbook.settings.production", False), ("LANG", "C.UTF-8", False),
    ("KEYBOARD", "de", False), ("MONKEY", "x", False), ("USE_TOKENS", "true", False), ("ALLOWED_HOSTS", "shop.example.org,www.shop.example.org", False),
    ("DJANGO_KEY", "django-insecure-8$kd93kd0aKDla9w", True), ("PATH", "/usr/local/bin:/usr/bin:/bin", False),
])
def test_named_values(name: str, value: str, secret: bool) -> None:
    assert _redact.is_secret(name, value) is secret


@pytest.mark.parametrize(("text", "clean"), [
    ("PGPASSWORD=canary psql -U x", "PGPASSWORD=*** psql -U x"),
    ("mysqldump --password=canary db", "mysqldump --password=*** db"),
    ("tool --api-key canary --out /x", "tool --api-key *** --out /x"),
    ("curl -H 'Authorization: Bearer canary' http://localhost/", "curl -H 'Authorization: *** ***' http://localhost/"),
    ("curl https://u:canary@h/x", "curl https://u:***@h/x"),
    ("/srv/venv/bin/python manage.py clearsessions --verbosity 0", "/srv/venv/bin/python manage.py clearsessions --verbosity 0"),
    ("uwsgi --ini shop.ini --keepalive 3", "uwsgi --ini shop.ini --keepalive 3"),
])
def test_command_lines(text: str, clean: str) -> None:
    cleaned = _redact.redact(text)
    assert "canary" not in cleaned
    assert cleaned == clean


NGINX = r"""# configuration file /etc/nginx/nginx.conf:
# the password is canary
http {
    set $token "canary"; # canary
    map $http_api_key $known { "canary" 1; default 0; }
    proxy_set_header Authorization "Basic Y2FuYXJ5";
    proxy_set_header X-Token $token;
    ssl_certificate_key /etc/ssl/private/site.key;
    log_format main '$remote_addr "$request" # not a comment';
    server {
        server_name shop.test;
        if ($arg_key = "canary") { return 403; }
        location / {
            content_by_lua_block { local s = "canary }" -- canary }
            }
            include snippets/app.conf;
        }
    }
}
# configuration file /etc/nginx/snippets/app.conf:
uwsgi_param SECRET_KEY canary;
uwsgi_param HTTPS on;
uwsgi_pass app;
# configuration file /etc/nginx/conf.d/upstream.conf:
upstream app { server unix:/run/shop.sock; server 127.0.0.1:9000; }
"""


def test_nginx_text_is_clean() -> None:
    clean = _nginx_text.clean(NGINX)
    assert "canary" not in clean and "Y2FuYXJ5" not in clean
    for kept in ("# configuration file /etc/nginx/snippets/app.conf:", "X-Token $token", "/etc/ssl/private/site.key", "# not a comment",
                 "uwsgi_param HTTPS on;", "server_name shop.test;", "return 403;", "uwsgi_pass app;"):
        assert kept in clean
    assert clean.count("{") == clean.count("}")


def test_uwsgi_passes_follow_snippets_and_upstreams() -> None:
    text = NGINX.replace("log_format", "include /etc/nginx/conf.d/*.conf;\n    log_format")
    assert _nginx_text.uwsgi_passes(text) == [("/run/shop.sock", "/", "shop.test", False, ""), ("127.0.0.1:9000", "/", "shop.test", False, "")]


def test_passes_over_http_have_the_uri_that_replaces_the_location() -> None:
    text = """# configuration file /etc/nginx/nginx.conf:
    http { server { server_name a.test; location /app/ { proxy_pass http://127.0.0.1:8000/in/; } location /b { proxy_pass http://unix:/run/b.sock:/c; }
    location /s { proxy_pass https://127.0.0.1:8443; } } }"""
    assert _nginx_text.uwsgi_passes(text) == [("127.0.0.1:8000", "/app/", "a.test", True, "/in/"), ("/run/b.sock", "/b", "a.test", True, "/c")]


def test_tokens_are_the_text() -> None:
    assert "".join(token.text for token in _nginx_tokens.tokens(NGINX)) == NGINX


def test_a_map_s_values_are_masked_in_the_file_that_it_includes() -> None:
    text = ("# configuration file /etc/nginx/nginx.conf:\nhttp { map $http_api_key $known { include maps/*.map; } include conf.d/*; }\n"
            "# configuration file /etc/nginx/maps/a.map:\nfirst-canary 1;\n# configuration file /etc/nginx/conf.d/b.conf:\nserver { server_name b; }\n")
    clean = _nginx_text.clean(text)
    assert "canary" not in clean and "include maps/*.map;" in clean and "server_name b;" in clean


@pytest.mark.parametrize("broken", [
    'proxy_set_header X-Token "canary canary;', "proxy_set_header X-Token 'a'canary canary;", "set $password 'canary\ncanary;",
    'add_header X "a;\nproxy_set_header Authorization "Basic canary";',
])
def test_a_broken_quote_uncovers_nothing(broken: str) -> None:
    clean = _nginx_text.clean("# configuration file /a:\nhttp { %s }\n# configuration file /b:\nserver { server_name b; }\n" % broken)
    assert "canary" not in clean and "server_name b;" in clean
