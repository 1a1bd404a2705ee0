# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which files nginx has read when it loaded its configuration, wherever they lie, and when they last changed.

They are found in the text, not by ``nginx -T``: that would resolve host names and make log files, in check mode too.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
from typing import Iterator, List, Set

from ansible_collections.gantry.webstack.plugins.module_utils.common._nginx_tokens import tokens, unquote

_READ_ONCE = re.compile(r"(?:\w+_)?ssl_(?:certificate|certificate_key|client_certificate|trusted_certificate|crl|dhparam|password_file|stapling_file|"
                        r"session_ticket_key)$")
"""Directives of ngx_http_ssl_module and its like for upstreams, mail and streams whose file is read when the configuration is loaded.
Password files of auth_basic are not among them: those are read with each request."""

_NO_FILE = re.compile(r".*\$|(?:data|engine|store):")
"""A value with a variable is read for each connection; the others name no file."""


def statements(text: str) -> Iterator[List[str]]:
    """Each directive of a configuration with its arguments, in blocks or not."""
    words: List[str] = []
    for token in tokens(text):
        if token.kind in ("word", "quoted"):
            words.append(unquote(token.text))
        elif token.kind == "mark":
            if words:
                yield words
            words = []


def loaded(config: str) -> Set[str]:
    """Files and, for the files that are no longer there, directories of a configuration: itself, what it includes, certificates and keys.

    A relative path counts from the main file's directory (nginx src/core/ngx_conf_file.c, ngx_conf_full_name).
    """
    prefix = os.path.dirname(config)
    found: Set[str] = set()
    left = [config]
    while left:
        path = left.pop()
        if path in found:
            continue
        found.add(path)
        try:
            with open(path, encoding="utf-8", errors="replace") as handle:
                text = handle.read()
        except OSError:
            continue
        for name, *arguments in statements(text):
            if not arguments:
                continue
            place = os.path.join(prefix, arguments[0])
            if name == "include":
                left += glob.glob(place)
                if glob.has_magic(place):
                    found.update(glob.glob(os.path.dirname(place)))
            elif _READ_ONCE.match(name) and not _NO_FILE.match(arguments[0]):
                found.add(place)
    return found


def changed(paths: Set[str]) -> List[float]:
    """When each path last changed, in seconds since the epoch: a file's content, name or rights, or the link that leads to it; a directory's list of names."""
    times: List[float] = []
    for path in paths:
        with contextlib.suppress(OSError):
            there = os.stat(path)
            times += [there.st_mtime] if os.path.isdir(path) else [there.st_ctime, os.lstat(path).st_ctime]
    return times
