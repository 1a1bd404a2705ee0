# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The parity gate's requests to two web servers in place of two sockets: nginx, its static trees and all, is part of what is compared."""

from __future__ import annotations

import posixpath
from concurrent.futures import ThreadPoolExecutor
from typing import Any, List, Mapping
from urllib.parse import quote

from ansible_collections.gantry.webstack.plugins.module_utils.common._ask import host_header
from ansible_collections.gantry.webstack.plugins.module_utils.common._connection import is_listening
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError, yield_cpu
from ansible_collections.gantry.webstack.plugins.module_utils.common._uwsgi_client import Response, http_request
from ansible_collections.gantry.webstack.plugins.module_utils.image._hostfs import HostFs
from ansible_collections.gantry.webstack.plugins.module_utils.move import _parity, _parity_module, _static_trees

EACH = 4
"""Files of a static tree that are asked for."""

_OF_THE_SERVER = ("server",)
"""Headers in which two web servers tell their own names and versions."""


def served(service: Mapping[str, Any], fs: _static_trees.Fs) -> List[str]:
    """Targets of some files of the static trees that nginx serves for a service."""
    found: List[str] = []
    for item in service.get("nginx", {}).get("static", []):
        if item["location"].startswith("/"):
            names = [name for name, entry in _static_trees.files(fs, item["path"]).items()
                     if entry.kind == "file" and not posixpath.basename(name).startswith(".")]
            found += [quote(item["location"].rstrip("/") + "/" + name) for name in _static_trees.sample(names, EACH)]
    return found


class CompareAnswers(_parity_module.ParityModule):
    """The module compare_answers."""

    def run(self) -> None:
        """See WebstackModule."""
        self.result["services"] = []
        if self.check_mode:
            return
        yield_cpu()
        for address in (self.params["host"], self.params["other"]):
            if not is_listening(address):
                raise WebstackError("nobody listens at %s; start what shall be compared, or name another address" % address)
        services = self.params["services"]
        formats, fs = self._formats(services), HostFs()
        with ThreadPoolExecutor(_parity_module.AT_ONCE) as pool:
            for service in services:
                asked = self._ask_all(pool, service, formats, self.params["host"], self.params["other"],
                                      [*_static_trees.targets(service, fs), *served(service, fs)])
                found = _parity_module.Found(asked, [])
                self.result["services"].append(_parity_module.report(service["name"], found, _parity_module.hider(service)))
        bad = next((item for item in self.result["services"] if item["differences"]), None)
        if bad is not None:
            first = bad["differences"][0]
            raise WebstackError("service %s: %s answers %d of %d requests otherwise than %s, first %s: %s"
                                % (bad["service"], self.params["other"], len(bad["differences"]), bad["requests"], self.params["host"],
                                   first["request"], first["what"][0].replace("the host", self.params["host"])))

    def _ask(self, service: Mapping[str, Any], address: str, asked: _parity.Request) -> Response:
        headers = {"Host": asked.host or host_header(service), "User-Agent": "gantry.webstack", "Accept": "*/*", **dict(asked.headers)}
        answer = http_request(address, asked.method, quote(asked.target, safe="/%:@!$&'()*+,;=~?#[]"), headers, self.params["timeout"],
                              _parity_module.BODY_BYTES)
        return answer._replace(headers=[item for item in answer.headers if item[0].lower() not in _OF_THE_SERVER])
