# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""nginx's configuration is changed at the exact token, and changed back to the byte."""

from __future__ import annotations

import fnmatch

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.move import _nginx_places

MAIN = "/etc/nginx/nginx.conf"
SOCKET = "/run/webstack/shop/nginx.sock"


def led(address: str, **files: str) -> dict[str, str]:
    """The files that change, as they are then; and see that they come back to the byte."""
    parts = {MAIN: "http { %s }" % files.pop("http"), **{f"/etc/nginx/{name}.conf": text for name, text in files.items()}}
    places = _nginx_places.places(MAIN, parts.__getitem__, lambda pattern: sorted(fnmatch.filter(parts, pattern)), address, SOCKET)
    changed = {}
    for path in {place.file for place in places}:
        mine = [place for place in places if place.file == path]
        changed[path.rpartition("/")[2]] = _nginx_places.changed(parts[path], mine)
        assert _nginx_places.changed_back(changed[path.rpartition("/")[2]], mine) == parts[path]
    return changed


@pytest.mark.parametrize(("address", "before", "after"), [
    ("127.0.0.1:3031", "uwsgi_pass 127.0.0.1:3031;", f"uwsgi_pass unix:{SOCKET};"),
    (":3031", "uwsgi_pass localhost:3031;", f"uwsgi_pass unix:{SOCKET};"),
    ("127.0.0.1:3031", "uwsgi_pass 'uwsgi://127.0.0.1:3031' ;", f"uwsgi_pass 'uwsgi://unix:{SOCKET}' ;"),
    ("127.0.0.1:3031", "a 127.0.0.1:3031; uwsgi_pass # 127.0.0.1:3031;\n  127.0.0.1:3031; b 1;",
     f"a 127.0.0.1:3031; uwsgi_pass # 127.0.0.1:3031;\n  unix:{SOCKET}; b 1;"),
    ("/run/a/b.sock", "uwsgi_pass unix:///run/a/b.sock; # /run/a/b.sock", f"uwsgi_pass unix:{SOCKET}; # /run/a/b.sock"),
    ("/run/a/b.sock", "proxy_pass http://unix:/run/a/b.sock:/in/;", f"proxy_pass http://unix:{SOCKET}:/in/;"),
    ("127.0.0.1:80", "proxy_set_header Host $host; proxy_pass http://127.0.0.1:80/in/;", f"proxy_set_header Host $host; proxy_pass http://unix:{SOCKET}:/in/;"),
    ("127.0.0.1:80", "proxy_set_header HOST $host; proxy_pass http://127.0.0.1:80;", f"proxy_set_header HOST $host; proxy_pass http://unix:{SOCKET};"),
])
def test_one_token_changes(address: str, before: str, after: str) -> None:
    assert led(address, http="server { location / { %s } }" % before) == {"nginx.conf": "http { server { location / { %s } } }" % after}


def test_an_upstream_s_server_keeps_its_parameters_and_its_name() -> None:
    http = "upstream app { server  \"localhost:3031\"  weight=2; keepalive 4; } server { location / { proxy_pass http://app; } }"
    assert led("127.0.0.1:3031", http=http) == {"nginx.conf": "http { %s }" % http.replace('"localhost:3031"', f'"unix:{SOCKET}"')}


def test_what_nginx_takes_from_the_address_is_kept() -> None:
    text = "".join(led("127.0.0.1:8000", http="server { location /app/ { proxy_pass http://127.0.0.1:8000/in/; } }").values())
    assert (f"proxy_pass http://unix:{SOCKET}:/in/; proxy_set_header Host 127.0.0.1:8000; proxy_redirect http://127.0.0.1:8000/in/ /app/; }}") in text


def test_headers_that_a_location_inherits_are_not_lost() -> None:
    http = "proxy_cache one; proxy_redirect off; proxy_set_header X-Real-IP \"$remote_addr\"; server { location / { proxy_pass http://127.0.0.1:8000; } }"
    text = "".join(led("127.0.0.1:8000", http=http).values())
    assert (f"proxy_pass http://unix:{SOCKET}; proxy_set_header X-Real-IP \"$remote_addr\"; proxy_set_header Host 127.0.0.1:8000; "
            "proxy_cache_key http://127.0.0.1:8000$request_uri; }") in text


def test_every_file_changes_and_a_snippet_changes_once() -> None:
    changed = led("127.0.0.1:3031", http="server { include app.conf; } server { include app.conf; } include site.conf;",
                  app="location / { uwsgi_pass 127.0.0.1:3031; }", site="server { location / { uwsgi_pass 127.0.0.1:3031; uwsgi_pass 127.0.0.1:3032; } }")
    assert changed == {"app.conf": f"location / {{ uwsgi_pass unix:{SOCKET}; }}",
                       "site.conf": f"server {{ location / {{ uwsgi_pass unix:{SOCKET}; uwsgi_pass 127.0.0.1:3032; }} }}"}


@pytest.mark.parametrize(("http", "words"), [
    ("upstream app { server 127.0.0.1:3031; server 127.0.0.1:3032 backup; }", "its upstream app has further servers: 127.0.0.1:3032"),
    ("server { set $to 127.0.0.1:3031; location / { uwsgi_pass $to; } }",
     r"through a variable \(\$to in /etc/nginx/nginx.conf:1, set in /etc/nginx/nginx.conf:1\)"),
    ("map $host $to { default \"http://127.0.0.1:3031\"; } server { location / { proxy_pass $to; } }", "through a variable"),
    ("server { location / { proxy_pass https://127.0.0.1:3031; } }", "nginx speaks https to 127.0.0.1:3031"),
    ("server { location / { proxy_set_header Host $proxy_host; proxy_pass http://127.0.0.1:3031; } }", "is made of \\$proxy_host"),
    ("server { location / { if ($a) { proxy_pass http://127.0.0.1:3031; } } }", r"stands in a block \(if\)"),
    ("server { include app.conf; } server { proxy_set_header Host a; include app.conf; }", "is included in several places whose headers differ"),
])
def test_what_cannot_be_led_elsewhere_is_said(http: str, words: str) -> None:
    with pytest.raises(WebstackError, match=words):
        led("127.0.0.1:3031", http=http, app="location / { proxy_pass http://127.0.0.1:3031; }")


def test_another_host_s_port_is_not_ours() -> None:
    assert led(":3031", http="server { location / { uwsgi_pass 10.0.0.9:3031; } }") == {}


def test_only_the_token_changes_back_when_others_changed_the_file() -> None:
    place = _nginx_places.Place("f", 10, "127.0.0.1:3031", f"unix:{SOCKET}")
    now = f"# new\nserver {{ uwsgi_pass unix:{SOCKET}; deny all; }} # unix:{SOCKET}x"
    assert _nginx_places.changed_back(now, [place]) == f"# new\nserver {{ uwsgi_pass 127.0.0.1:3031; deny all; }} # unix:{SOCKET}x"


def test_a_location_that_others_added_meanwhile_is_led_back_too() -> None:
    text = f"http {{ server {{ location / {{ proxy_pass http://unix:{SOCKET}:/in; }} }} }}"
    places = _nginx_places.led(MAIN, {MAIN: text}.__getitem__, lambda pattern: [], SOCKET, "127.0.0.1:8000")
    assert _nginx_places.changed(text, places) == "http { server { location / { proxy_pass http://127.0.0.1:8000/in; } } }"
    places = _nginx_places.led(MAIN, {MAIN: text}.__getitem__, lambda pattern: [], SOCKET, "/run/a/b.sock")
    assert _nginx_places.changed(text, places) == "http { server { location / { proxy_pass http://unix:/run/a/b.sock:/in; } } }"
