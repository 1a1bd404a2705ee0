# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where nginx's configuration holds secrets or names files of them. Pure; the values were masked on the target already."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from ansible_collections.gantry.webstack.plugins.module_utils.discover._redact import MASK
from ansible_collections.gantry.webstack.plugins.plugin_utils.nginx_directives import Directive

_FILES = re.compile(r"(\w+_)?ssl_(certificate_key|password_file)|ssl_session_ticket_key|auth_basic_user_file|auth_jwt_key_file")
"""Directives whose argument is a file of keys or passwords (nginx.org: the http ssl, proxy, uwsgi, grpc and auth modules)."""
_OF_NAMES = frozenset(("set", "env", "add_header", "more_set_headers", "if"))
"""Directives whose first argument is what the value belongs to, beside all ``_param`` and ``_set_header``."""


def find(directives: tuple[Directive, ...]) -> list[dict[str, str]]:
    """{name, source} of every secret, each once, by place. ``source`` is ``file:`` and the file of keys, or that of the configuration itself.

    A relative path counts from the main file's directory (ngx_conf_full_name). A key whose place depends on variables has none.
    """
    prefix = posixpath.dirname(directives[0].file) if directives else ""
    found = {(source, name) for name, source in _inside(directives, prefix, "")}
    return [{"name": name, "source": f"file:{source}"} for source, name in sorted(found)]


def _inside(block: tuple[Directive, ...], prefix: str, values_of: str) -> Iterator[tuple[str, str]]:
    """``values_of`` is the variable of the map that the block belongs to."""
    for item in block:
        if _FILES.fullmatch(item.name) and item.args and not re.search(r"\$|^\w+:", item.args[0]):
            yield item.name, posixpath.normpath(posixpath.join(prefix, item.args[0]))
        elif any(MASK in word for word in (item.name, *item.args)):
            first = item.args[0] if item.args else ""
            yield values_of or (first.lstrip("$") if item.name in _OF_NAMES or item.name.endswith(("_param", "_set_header")) else item.name), item.file
        yield from _inside(item.block, prefix, item.args[-1].lstrip("$") if item.name in ("map", "geo") and item.args else "")
